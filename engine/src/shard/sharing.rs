//! Senders on this shard: their requests go to the owner of the chat, its answers come back.

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatName, Counter, RequestNumber, SessionId, ShareNumber, UserName};
use skein_wire::limits::VERDICTS_MAX;
use skein_wire::point::Point;
use skein_wire::request::{
    Heartbeat, ShareExtend, SharePoint, SharePoints, ShareResume, ShareStart, ShareStop,
};
use skein_wire::update::{
    Accepted, Demand, Done, SessionState, ShareEnded, Shared, Update, Verdict,
};

use crate::caller::Caller;
use crate::connection::Share;
use crate::ids::{ConnectionId, ShardId};
use crate::limits::VERDICTS_HELD_MAX;
use crate::peer_message::{Answer, Bound, LivePoint, Message, Start, Target, Upload};
use crate::rights::Rights;
use crate::shard::Shard;

impl Shard {
    pub(super) fn share_start(&mut self, connection: ConnectionId, start: ShareStart) {
        if !self.has_room_for_share(connection, start.request) {
            return;
        }
        let owner = self.owner_of_name(&start.chat);
        let Some((user, claim)) = self.user_of(connection, &start.chat) else {
            return;
        };
        let message = Message::Start {
            caller: self.caller(connection, start.request),
            start: Start {
                chat: start.chat,
                user,
                claim,
                duration_s: start.duration_s,
                idempotency_key: start.idempotency_key,
                sealed: start.sealed,
            },
        };
        self.ask(connection, start.request, owner, message);
    }

    pub(super) fn share_resume(&mut self, connection: ConnectionId, resume: ShareResume) {
        if !self.has_room_for_share(connection, resume.request) {
            return;
        }
        let owner = self.owner_of_name(&resume.chat);
        let Some((user, claim)) = self.user_of(connection, &resume.chat) else {
            return;
        };
        let message = Message::Resume {
            caller: self.caller(connection, resume.request),
            chat: resume.chat,
            session: resume.session,
            user,
            claim,
        };
        self.ask(connection, resume.request, owner, message);
    }

    pub(super) fn share_extend(&mut self, connection: ConnectionId, extend: ShareExtend) {
        let Some((owner, target)) = self.target(connection, extend.request, extend.share) else {
            return;
        };
        let message = Message::Extend {
            caller: self.caller(connection, extend.request),
            target,
            duration_s: extend.duration_s,
        };
        self.ask(connection, extend.request, owner, message);
    }

    pub(super) fn share_stop(&mut self, connection: ConnectionId, stop: ShareStop) {
        let Some((owner, target)) = self.target(connection, stop.request, stop.share) else {
            return;
        };
        let message = Message::Stop {
            caller: self.caller(connection, stop.request),
            target,
        };
        self.ask(connection, stop.request, owner, message);
    }

    pub(super) fn share_point(&mut self, connection: ConnectionId, sent: SharePoint) {
        let Some((owner, target)) = self.target_of_points(connection, sent.share, &[&sent.point])
        else {
            return;
        };
        if let Err(error) = self.check_point(owner, &sent.point, sent.durable) {
            self.verdicts_now(connection, sent.share, [(sent.point.counter, error)]);
            return;
        }
        let point = LivePoint {
            connection,
            target,
            durable: sent.durable,
            point: sent.point,
        };
        if owner == self.config.shard {
            self.local.push_back(Message::Point(point));
            return;
        }
        let outbox = &mut self.outboxes[usize::from(owner.0)];
        if let Some(replaced) = outbox.push_point(point) {
            self.stats.points_conflated += 1;
            self.hold_verdict(replaced);
        }
    }

    pub(super) fn share_points(&mut self, connection: ConnectionId, sent: SharePoints) {
        let all: Vec<&Point> = sent.points.iter().collect();
        let Some((owner, target)) = self.target_of_points(connection, sent.share, &all) else {
            return;
        };
        let mut good = Vec::with_capacity(sent.points.len());
        let mut bad = Vec::new();
        for point in sent.points {
            match self.check_point(owner, &point, true) {
                Ok(()) => good.push(point),
                Err(code) => bad.push((point.counter, code)),
            }
        }
        if !bad.is_empty() {
            self.verdicts_now(connection, sent.share, bad);
        }
        if !good.is_empty() {
            let upload = Upload {
                connection,
                target,
                historical: sent.historical,
                durable: sent.durable,
                points: good,
            };
            self.post(owner, Message::Upload(upload));
        }
    }

    pub(super) fn share_heartbeat(&mut self, connection: ConnectionId, heartbeat: Heartbeat) {
        let Some((owner, target)) = self.target_of_points(connection, heartbeat.share, &[]) else {
            return;
        };
        if self.outbox_is_full(owner) {
            return;
        }
        let message = Message::Heartbeat {
            connection,
            target,
            counter: heartbeat.counter,
        };
        self.post(owner, message);
    }

    /// An answer of the owner.
    pub(super) fn answered(
        &mut self,
        owner: ShardId,
        caller: Caller,
        answer: Result<Answer, WireError>,
    ) {
        let Caller::Connection {
            connection,
            request,
            ..
        } = caller
        else {
            return;
        };
        let Some(known) = self.connections.get_mut(&connection) else {
            if let Ok(Answer::Shared(bound)) = answer {
                self.unbind_lost(owner, connection, &bound);
            }
            return;
        };
        known.waiting = known.waiting.saturating_sub(1);
        match answer {
            Ok(Answer::Shared(bound)) => self.bound(owner, connection, request, &bound),
            Ok(Answer::Done { durable } | Answer::Changed { durable, .. }) => {
                self.frame(connection, Update::Done(Done { request, durable }));
            }
            Err(error) => self.refuse(connection, request, error),
        }
    }

    fn bound(
        &mut self,
        owner: ShardId,
        connection: ConnectionId,
        request: RequestNumber,
        bound: &Bound,
    ) {
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        let share = known.bind(Share {
            chat: bound.chat,
            session: bound.session,
            owner,
            told: bound.counter_last,
            verdicts: Vec::new(),
        });
        let shared = Shared {
            request,
            session: bound.session,
            share,
            counter_last: bound.counter_last,
            expires_at_ms: bound.expires_at_ms,
        };
        self.frame(connection, Update::Shared(shared));
        if let Some(interval_ms) = bound.demand_ms {
            self.frame(connection, Update::Demand(Demand { share, interval_ms }));
        }
    }

    fn unbind_lost(&mut self, owner: ShardId, connection: ConnectionId, bound: &Bound) {
        let unbind = Message::Unbind {
            connection,
            chat: bound.chat,
            session: bound.session,
        };
        self.post(owner, unbind);
    }

    /// The owner says what became of points.
    pub(super) fn accepted(
        &mut self,
        connection: ConnectionId,
        session: SessionId,
        counters: (Counter, Counter),
        verdicts: Vec<Verdict>,
    ) {
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        let Some((share, state)) = known.share_of(session) else {
            return;
        };
        state.told = state.told.max(counters.0);
        let mut all = std::mem::take(&mut state.verdicts);
        all.extend(verdicts);
        let counter = state.told;
        loop {
            let rest = all.split_off(all.len().min(VERDICTS_MAX));
            let accepted = Accepted {
                share,
                counter,
                durable: counters.1,
                verdicts: std::mem::replace(&mut all, rest),
            };
            self.frame(connection, Update::Accepted(accepted));
            if all.is_empty() {
                return;
            }
        }
    }

    /// A session that this connection fed is over.
    pub(super) fn share_ended(
        &mut self,
        connection: ConnectionId,
        session: SessionId,
        state: SessionState,
    ) {
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        let Some((share, _)) = known.share_of(session) else {
            return;
        };
        known.shares.remove(&share);
        self.frame(connection, Update::ShareEnded(ShareEnded { share, state }));
    }

    /// The owner says how often reporting is worth it.
    pub(super) fn demanded(
        &mut self,
        connection: ConnectionId,
        session: SessionId,
        interval_ms: u32,
    ) {
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        if let Some((share, _)) = known.share_of(session) {
            self.frame(connection, Update::Demand(Demand { share, interval_ms }));
        }
    }

    fn ask(
        &mut self,
        connection: ConnectionId,
        request: RequestNumber,
        owner: ShardId,
        message: Message,
    ) {
        if self.outbox_is_full(owner) {
            self.refuse(connection, request, WireError::of(Code::Busy));
            return;
        }
        if let Some(known) = self.connections.get_mut(&connection) {
            known.waiting += 1;
        }
        self.post(owner, message);
    }

    fn caller(&self, connection: ConnectionId, request: RequestNumber) -> Caller {
        Caller::Connection {
            shard: self.config.shard,
            connection,
            request,
        }
    }

    fn has_room_for_share(&mut self, connection: ConnectionId, request: RequestNumber) -> bool {
        let shares_max = self.config.limits.shares_per_connection_max;
        let known = self.connections.get(&connection);
        let has_room =
            known.is_some_and(|known| known.shares.len() + (known.waiting as usize) < shares_max);
        if !has_room {
            self.refuse(connection, request, WireError::of(Code::LimitReached));
        }
        has_room
    }

    /// The session behind a share number that a request names, or a refusal.
    fn target(
        &mut self,
        connection: ConnectionId,
        request: RequestNumber,
        share: ShareNumber,
    ) -> Option<(ShardId, Target)> {
        let found = self.find_target(connection, share);
        if found.is_none() {
            let code = if self.share_is_over(connection, share) {
                Code::SessionEnded
            } else {
                Code::UnknownShare
            };
            self.refuse(connection, request, WireError::of(code));
        }
        found
    }

    /// The session behind a share number that points name. Points that crossed its end have verdicts.
    fn target_of_points(
        &mut self,
        connection: ConnectionId,
        share: ShareNumber,
        points: &[&Point],
    ) -> Option<(ShardId, Target)> {
        let found = self.find_target(connection, share);
        if found.is_some() {
            return found;
        }
        if self.share_is_over(connection, share) {
            let over = points
                .iter()
                .map(|point| (point.counter, Code::SessionEnded));
            self.verdicts_now(connection, share, over);
        } else {
            let error = WireError::of(Code::UnknownShare);
            self.refuse(connection, RequestNumber(0), error);
        }
        None
    }

    fn find_target(
        &self,
        connection: ConnectionId,
        share: ShareNumber,
    ) -> Option<(ShardId, Target)> {
        let known = self.connections.get(&connection)?;
        let share = known.shares.get(&share)?;
        let target = Target {
            chat: share.chat,
            session: share.session,
            user: known.person.user.clone(),
        };
        Some((share.owner, target))
    }

    /// What can be said about a point without its session.
    fn check_point(&self, owner: ShardId, point: &Point, needs_room: bool) -> Result<(), Code> {
        point.check().map_err(|error| error.code)?;
        if needs_room && self.outbox_is_full(owner) {
            return Err(Code::Busy);
        }
        Ok(())
    }

    pub(super) fn outbox_is_full(&self, to: ShardId) -> bool {
        let outbox = self.outboxes.get(usize::from(to.0));
        outbox.is_some_and(|outbox| outbox.is_full())
    }

    fn verdicts_now(
        &mut self,
        connection: ConnectionId,
        share: ShareNumber,
        refused: impl IntoIterator<Item = (Counter, Code)>,
    ) {
        let known = self.connections.get_mut(&connection);
        let mut state = known.and_then(|known| known.shares.get_mut(&share));
        let mut verdicts = state
            .as_mut()
            .map(|state| std::mem::take(&mut state.verdicts))
            .unwrap_or_default();
        for (counter, code) in refused {
            self.stats.count_refused(code);
            verdicts.push(Verdict { counter, code });
        }
        if verdicts.is_empty() {
            return;
        }
        let accepted = Accepted {
            share,
            counter: state.map_or(Counter(0), |state| state.told),
            durable: Counter(0),
            verdicts,
        };
        self.frame(connection, Update::Accepted(accepted));
    }

    /// A point that made room for a newer one: its sender is told with the next acknowledgement.
    fn hold_verdict(&mut self, replaced: LivePoint) {
        let connection = replaced.connection;
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        let Some((number, share)) = known.share_of(replaced.target.session) else {
            return;
        };
        share.verdicts.push(Verdict {
            counter: replaced.point.counter,
            code: Code::Superseded,
        });
        if share.verdicts.len() >= VERDICTS_HELD_MAX {
            self.verdicts_now(connection, number, []);
        }
    }

    /// The user of a connection, and the rights in a chat that the token brings.
    fn user_of(&self, connection: ConnectionId, chat: &ChatName) -> Option<(UserName, Rights)> {
        let person = &self.connections.get(&connection)?.person;
        Some((person.user.clone(), person.claim(chat)))
    }
}
