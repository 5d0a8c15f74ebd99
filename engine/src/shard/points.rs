//! The owner takes points: state, rate and counter decide, then the log.

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, Counter, SessionId};
use skein_wire::point::{Payload, Point};
use skein_wire::update::Verdict;

use crate::ids::{ConnectionId, RequestId, ShardId};
use crate::journal::Entry;
use crate::output::Output;
use crate::peer_message::{LivePoint, Message, Target, Upload};
use crate::request::{Actor, ChatReply, ChatResult, PointsReply, PointsRequest};
use crate::rights::Rights;
use crate::session::ApiWait;
use crate::shard::Shard;
use crate::time::Timestamp;

/// How points of one upload are meant.
#[derive(Clone, Copy)]
struct Manner {
    historical: bool,
    durable: bool,
}

impl Shard {
    pub(super) fn take_point(&mut self, now: Timestamp, from: ShardId, sent: LivePoint) {
        let manner = Manner {
            historical: false,
            durable: sent.durable,
        };
        let source = (from, sent.connection);
        self.take_points(
            now,
            source,
            &sent.target,
            manner,
            std::iter::once(sent.point),
        );
    }

    pub(super) fn take_upload(&mut self, now: Timestamp, from: ShardId, sent: Upload) {
        let manner = Manner {
            historical: sent.historical,
            durable: sent.durable,
        };
        let source = (from, sent.connection);
        let points = sent.points.into_iter();
        self.take_points(now, source, &sent.target, manner, points);
    }

    fn take_points(
        &mut self,
        now: Timestamp,
        source: (ShardId, ConnectionId),
        target: &Target,
        manner: Manner,
        points: impl Iterator<Item = Point>,
    ) {
        if let Err(code) = self.check_target(target) {
            self.refuse_points(source, target, code, points);
            return;
        }
        for point in points {
            let counter = point.counter;
            if let Err(code) = self.take_one(now, target, manner, point)
                && let Some(session) = self.chats.session_mut(target.chat, target.session)
            {
                session.bind(now, source.0, source.1).verdict(counter, code);
            }
        }
        if let Some(session) = self.chats.session_mut(target.chat, target.session) {
            session.bind(now, source.0, source.1);
        }
        self.arm(target.chat, target.session);
    }

    /// Judges one point and, if it is good, asks for its append.
    fn take_one(
        &mut self,
        now: Timestamp,
        target: &Target,
        manner: Manner,
        point: Point,
    ) -> Result<(), Code> {
        let limits = self.admission;
        let session = self
            .chats
            .session_mut(target.chat, target.session)
            .ok_or(Code::NotFound)?;
        if manner.durable && !session.can_wait() {
            return self.count_point(manner, Err(Code::Busy));
        }
        let verdict = if manner.historical {
            session.admit_historical(now, &point, &limits)
        } else {
            session.admit(now, &point, &limits)
        };
        if verdict.is_ok() && manner.durable {
            session.durable_marks.push_back(point.counter);
        }
        let revived = (verdict.is_ok() && manner.historical)
            .then(|| session.revive(now, target.session))
            .flatten();
        self.count_point(manner, verdict)?;
        if let (false, Payload::Fix(fix)) = (manner.historical, &point.payload) {
            self.judge_point(now, target, fix);
        }
        let session = target.session;
        let entry = if manner.historical {
            Entry::HistoricalPoint { session, point }
        } else {
            Entry::Point { session, point }
        };
        self.append(target.chat, &entry);
        if let Some(entry) = revived {
            self.append(target.chat, &entry);
        }
        Ok(())
    }

    fn count_point(&mut self, manner: Manner, verdict: Result<(), Code>) -> Result<(), Code> {
        match verdict {
            Ok(()) if manner.historical => self.stats.points_historical += 1,
            Ok(()) => self.stats.points_accepted += 1,
            Err(Code::Superseded) => self.stats.points_superseded += 1,
            Err(code) => self.stats.count_refused(code),
        }
        verdict
    }

    pub(super) fn take_heartbeat(
        &mut self,
        now: Timestamp,
        source: (ShardId, ConnectionId),
        target: &Target,
        counter: Counter,
    ) {
        self.stats.heartbeats += 1;
        if self.check_target(target).is_err() {
            return;
        }
        let Some(session) = self.chats.session_mut(target.chat, target.session) else {
            return;
        };
        let lost = counter > session.window.last();
        let binding = session.bind(now, source.0, source.1);
        if lost {
            // A point got lost on the way: say where we are, so that it is sent again.
            binding.ask();
        }
        if let Some(entry) = session.heartbeat(now, target.session) {
            self.append(target.chat, &entry);
        }
        self.arm(target.chat, target.session);
    }

    /// Whether chat, session and user belong together and the session is live. Somebody else's
    /// session looks like none.
    pub(super) fn check_target(&self, target: &Target) -> Result<(), Code> {
        let chat = self.chats.get(target.chat).ok_or(Code::NotFound)?;
        let owner = chat.owner().ok_or(Code::NotFound)?;
        if let Some(session) = owner.sessions.get(&target.session) {
            return match session.ended {
                _ if session.user != target.user => Err(Code::NotFound),
                Some(_) => Err(Code::SessionEnded),
                None => Ok(()),
            };
        }
        let row = chat.table.row(target.session);
        Err(match row {
            Some(row) if row.descriptor().user == target.user => Code::SessionEnded,
            _ => Code::NotFound,
        })
    }

    /// Whether somebody may learn that an own session is over: not who has no right in the chat any more. For how long
    /// it is known depends on how many sessions of others end, and so tells of them.
    pub(super) fn check_end_shown(&self, target: &Target, claim: Rights) -> Result<(), Code> {
        let rights = self.chats.rights(target.chat, (&target.user, claim));
        let is_over = self.check_target(target) == Err(Code::SessionEnded);
        match is_over && rights.is_none() {
            true => Err(Code::NotFound),
            false => Ok(()),
        }
    }

    fn refuse_points(
        &mut self,
        source: (ShardId, ConnectionId),
        target: &Target,
        code: Code,
        points: impl Iterator<Item = Point>,
    ) {
        let verdict = |point: Point| Verdict {
            counter: point.counter,
            code,
        };
        self.stats.count_refused(code);
        let message = Message::Accepted {
            connection: source.1,
            session: target.session,
            counter: Counter(0),
            durable: Counter(0),
            verdicts: points.map(verdict).collect(),
        };
        self.post(source.0, message);
    }

    /// Points over HTTP: the reply comes when the last of them came back from the log, or is
    /// durable.
    pub(super) fn api_points(&mut self, now: Timestamp, request: RequestId, sent: PointsRequest) {
        let manner = Manner {
            historical: sent.historical,
            durable: sent.durable,
        };
        let found = self
            .chats
            .named(&sent.chat)
            .ok_or(Code::NotFound)
            .and_then(|chat| self.target_of(chat, sent.session, &sent.actor));
        let found = found.and_then(|target| {
            self.check_target(&target)?;
            let may = self.check_sharer(&target, &sent.actor);
            may.map(|()| target).map_err(|error| error.code)
        });
        let target = match found {
            Ok(target) => target,
            Err(code) => {
                self.reply(request, Err(WireError::of(code)));
                return;
            }
        };
        let session = self.chats.session_mut(target.chat, target.session);
        if session.is_some_and(|session| !session.can_wait()) {
            // Before any of them is taken: the request can be repeated as it is.
            self.reply(request, Err(WireError::of(Code::Busy)));
            return;
        }
        let mut reply = PointsReply {
            counter_last: Counter(0),
            accepted: 0,
            durable: false,
            verdicts: Vec::new(),
        };
        let mut last = None;
        for point in sent.points {
            let counter = point.counter;
            let checked = point.check().map_err(|error| error.code);
            match checked.and_then(|()| self.take_one(now, &target, manner_of_api(manner), point)) {
                Ok(()) => {
                    reply.accepted += 1;
                    last = Some(counter);
                }
                Err(code) => reply.verdicts.push(Verdict { counter, code }),
            }
        }
        self.arm(target.chat, target.session);
        let Some(session) = self.chats.session_mut(target.chat, target.session) else {
            self.reply(request, Err(Self::not_found()));
            return;
        };
        reply.counter_last = session.window.last();
        match last {
            Some(counter) => session.api_waits.push_back(ApiWait {
                counter,
                request,
                durable: sent.durable,
                reply,
            }),
            None => self.reply(request, Ok(ChatReply::Points(reply))),
        }
    }

    /// The session that an actor names, with the user as whom it acts.
    pub(super) fn target_of(
        &self,
        chat: ChatHandle,
        session: SessionId,
        actor: &Actor,
    ) -> Result<Target, Code> {
        let known = self.chats.get(chat).ok_or(Code::NotFound)?;
        let user = match actor {
            Actor::User(person) => {
                let target = Target {
                    chat,
                    session,
                    user: person.user.clone(),
                };
                self.check_end_shown(&target, person.claim(&known.name))?;
                return Ok(target);
            }
            Actor::Control => {
                let live = known.owner().and_then(|owner| owner.sessions.get(&session));
                let row = known.table.row(session);
                live.map(|session| session.user.clone())
                    .or_else(|| row.map(|row| row.descriptor().user.clone()))
                    .ok_or(Code::NotFound)?
            }
        };
        Ok(Target {
            chat,
            session,
            user,
        })
    }

    pub(super) fn reply(&mut self, request: RequestId, reply: ChatResult) {
        if let Err(error) = &reply {
            self.stats.count_refused(error.code);
        }
        self.emit(Output::Reply { request, reply });
    }
}

/// The API has a wait of its own for its last point; marks are for connections.
fn manner_of_api(manner: Manner) -> Manner {
    Manner {
        durable: false,
        ..manner
    }
}
