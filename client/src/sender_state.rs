//! A sender without I/O: fixes, frames and time in, requests and verdicts out.
//!
//! One session in one chat, over one connection after the other. Points go over an ordered stream,
//! so that a cumulative `Accepted` settles exactly those sent before. After a reconnect the newest
//! fix goes first, at once; the others follow as historical uploads at a pace that leaves room for
//! live points. Every point gets exactly one verdict. The newest accepted point is kept: a server
//! that lost it in a power failure gets it again, without a second verdict.
//!
//! ```
//! use skein_client::sender_state::{SenderOptions, SenderState};
//! use skein_wire::ids::{ChatName, Counter};
//! use skein_wire::point::{Fix, Payload, Position};
//!
//! let options = SenderOptions::new(ChatName::new("geese")?, 900, "one key per share");
//! let mut sender = SenderState::new(options);
//! let position = Position::from_degrees(45.27, 13.72)?;
//! let fix = Payload::Fix(Fix { position, ..Fix::default() });
//! assert_eq!(sender.share(0, 1_000, fix, false), Counter(1));
//! assert!(sender.poll_request().is_none(), "it waits for a session");
//! # Ok::<(), skein_wire::error::WireError>(())
//! ```

use std::collections::{BTreeMap, VecDeque};

use skein_wire::error::Code;
use skein_wire::ids::{ChatName, Counter, RequestNumber, SessionId, ShareNumber};
use skein_wire::point::{Payload, Point};
use skein_wire::request::{
    Heartbeat, Request, ShareExtend, SharePoint, SharePoints, ShareResume, ShareStart, ShareStop,
};
use skein_wire::update::{
    Accepted, Done, Goodbye, Refused, SessionState, ShareEnded, Shared, Update, Welcome,
};

use crate::error::is_transient;
use crate::keep_alive::KeepAlive;
use crate::limits::{
    ACKNOWLEDGEMENT_MS, BACKLOG_POINTS_MAX, EVENTS_WAITING, HEARTBEAT_MS, RETRY_REFUSED_MS,
    SETTLE_MS, UNACKNOWLEDGED_MAX, UPLOAD_BYTES, UPLOAD_INTERVAL_MS, UPLOAD_POINTS,
};
use crate::pending::{Pending, Stage};

pub use crate::sender_event::{PointVerdict, SenderEvent, Tally};

/// What to share, where.
#[derive(Clone, Debug)]
pub struct SenderOptions {
    /// Which chat.
    pub chat: ChatName,
    /// How long, in seconds.
    pub duration_s: u32,
    /// The same key gives the same session; a new share needs a new one.
    pub idempotency_key: String,
    /// Points are sealed blobs.
    pub sealed: bool,
}

impl SenderOptions {
    /// A plain share.
    pub fn new(chat: ChatName, duration_s: u32, idempotency_key: &str) -> Self {
        Self {
            chat,
            duration_s,
            idempotency_key: idempotency_key.to_owned(),
            sealed: false,
        }
    }
}

/// The sender's half of one session.
#[derive(Debug)]
pub struct SenderState {
    options: SenderOptions,
    phase: Phase,
    session: Option<SessionId>,
    /// A start was asked for on a connection that was lost before its answer: the server may have
    /// begun the session.
    is_start_unanswered: bool,
    counter_last: u64,
    /// Greatest counter sent live.
    live_last: u64,
    pending: BTreeMap<u64, Pending>,
    /// The accepted point with the greatest counter. Accepted is not durable: see
    /// [`Self::send_newest`].
    newest: Option<Pending>,
    tally: Tally,
    durable_last: Counter,
    demand_ms: Option<u32>,
    keep_alive: Option<KeepAlive>,
    goodbye: Option<Goodbye>,
    request_last: u32,
    extend: Option<RequestNumber>,
    stop_wanted: bool,
    stop: Option<RequestNumber>,
    ended: Option<Option<SessionState>>,
    said_at_ms: u64,
    upload_at_ms: u64,
    asked_at_ms: u64,
    requests: VecDeque<Request>,
    events: VecDeque<SenderEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No connection.
    Offline,
    /// A start or resume is on its way.
    Asked(RequestNumber),
    /// Refused for now; ask again then.
    Later(u64),
    Bound(ShareNumber),
    Over,
}

impl SenderState {
    /// A share that begins with the first connection.
    pub fn new(options: SenderOptions) -> Self {
        Self {
            options,
            phase: Phase::Offline,
            session: None,
            is_start_unanswered: false,
            counter_last: 0,
            live_last: 0,
            pending: BTreeMap::new(),
            newest: None,
            tally: Tally::default(),
            durable_last: Counter(0),
            demand_ms: None,
            keep_alive: None,
            goodbye: None,
            request_last: 0,
            extend: None,
            stop_wanted: false,
            stop: None,
            ended: None,
            said_at_ms: 0,
            upload_at_ms: 0,
            asked_at_ms: 0,
            requests: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The counter that the next point gets: what is sealed is bound to it.
    pub fn counter_next(&self) -> Counter {
        Counter(self.counter_last + 1)
    }

    /// Shares a point and gives it its counter. It goes out at once if there is a session, and
    /// after the reconnect otherwise. With `durable` its acknowledgement waits for stable storage,
    /// see [`SenderEvent::Durable`].
    pub fn share(
        &mut self,
        now_ms: u64,
        captured_at_ms: i64,
        payload: Payload,
        durable: bool,
    ) -> Counter {
        let counter = self.counter_next();
        self.counter_last = counter.0;
        let point = Point {
            counter,
            captured_at_ms,
            payload,
        };
        if let Some(code) = self.refusal(&point) {
            self.settle(counter.0, PointVerdict::Refused(code));
            return counter;
        }
        let pending = Pending {
            point,
            durable,
            stage: Stage::Waiting,
            sent_before: false,
        };
        self.pending.insert(counter.0, pending);
        match self.phase {
            Phase::Bound(share) => self.send_live(now_ms, share, counter.0),
            _ => self.bound_backlog(),
        }
        self.bound_unacknowledged();
        counter
    }

    /// Moves the end of the session to so many seconds from now. Only while connected.
    pub fn extend(&mut self, duration_s: u32) -> bool {
        let Phase::Bound(share) = self.phase else {
            return false;
        };
        let request = self.next_request();
        self.extend = Some(request);
        self.requests.push_back(Request::ShareExtend(ShareExtend {
            request,
            share,
            duration_s,
        }));
        true
    }

    /// Ends the session, now or as soon as there is a connection. It is repeated until it is met.
    pub fn stop(&mut self) {
        self.stop_wanted = true;
        match self.phase {
            Phase::Bound(share) => self.send_stop(share),
            Phase::Offline | Phase::Later(_) if self.is_nothing_begun() => self.end(None, false),
            // The same key gives the session that a lost answer spoke of; then it is stopped.
            _ => {}
        }
    }

    fn is_nothing_begun(&self) -> bool {
        self.session.is_none() && !self.is_start_unanswered
    }

    /// Takes a frame from the server. A `Welcome` begins a connection.
    pub fn handle(&mut self, now_ms: u64, update: &Update) {
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.heard(now_ms);
        }
        match update {
            Update::Welcome(welcome) => self.handle_welcome(now_ms, welcome),
            Update::Shared(shared) => self.handle_shared(now_ms, shared),
            Update::Accepted(accepted) => self.handle_accepted(now_ms, accepted),
            Update::Demand(demand) if self.is_bound(demand.share) => {
                let interval_ms = demand.interval_ms;
                self.demand_ms = Some(interval_ms);
                self.events.push_back(SenderEvent::Demand { interval_ms });
            }
            Update::ShareEnded(ended) => self.handle_ended(ended),
            Update::Done(done) => self.handle_done(done),
            Update::Refused(refused) => self.handle_refused(now_ms, refused),
            Update::Pong(pong) => {
                let keep_alive = self.keep_alive.iter_mut();
                keep_alive.for_each(|it| it.pong(now_ms, pong));
                self.settle_uploads(now_ms);
            }
            Update::Goodbye(goodbye) => self.goodbye = Some(goodbye.clone()),
            Update::Demand(_)
            | Update::Watching(_)
            | Update::Batch(_)
            | Update::Head(_)
            | Update::WatchEnded(_)
            | Update::Coarse(_)
            | Update::Members(_)
            | Update::Upstream(_)
            | Update::Crossing(_)
            | Update::Viewing(_)
            | Update::Clusters(_) => {}
        }
    }

    /// The connection is gone. Points without a verdict are sent again on the next one.
    pub fn handle_disconnected(&mut self) {
        self.keep_alive = None;
        self.requests.clear();
        self.extend = None;
        self.stop = None;
        self.is_start_unanswered |= self.session.is_none() && matches!(self.phase, Phase::Asked(_));
        if self.phase != Phase::Over {
            self.phase = Phase::Offline;
        }
        for pending in self.pending.values_mut() {
            pending.sent_before |= pending.stage != Stage::Waiting;
            pending.stage = Stage::Waiting;
        }
        self.bound_backlog();
    }

    /// There is no connection, and the next try is made in so many milliseconds: the application is
    /// told with [`SenderEvent::Offline`].
    pub fn handle_offline(&mut self, why: String, retry_ms: u64) {
        if self.phase != Phase::Over && self.events.len() < EVENTS_WAITING {
            self.events
                .push_back(SenderEvent::Offline { why, retry_ms });
        }
    }

    /// The next request to send.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<SenderEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called, in the time of the other calls.
    pub fn poll_timeout(&self) -> Option<u64> {
        let keep_alive = self.keep_alive.as_ref()?.timeout_ms();
        let own = match self.phase {
            Phase::Later(at) => Some(at),
            Phase::Bound(_) => {
                let heartbeat = Some(self.said_at_ms + HEARTBEAT_MS);
                let upload = self.has_backlog().then_some(self.upload_at_ms);
                [heartbeat, upload, self.question_at()]
                    .into_iter()
                    .flatten()
                    .min()
            }
            _ => None,
        };
        Some(own.map_or(keep_alive, |own| own.min(keep_alive)))
    }

    /// Time has passed: heartbeats, uploads, questions.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        match self.phase {
            Phase::Later(at) if at <= now_ms => self.ask(),
            Phase::Bound(share) => {
                self.upload(now_ms, share);
                if now_ms >= self.said_at_ms + HEARTBEAT_MS {
                    self.send_heartbeat(now_ms, share);
                }
                if self.question_at().is_some_and(|at| at <= now_ms) {
                    // A heartbeat makes the server say what it has; the answer to a ping settles
                    // uploads, whose refusals would have been here before.
                    self.asked_at_ms = now_ms;
                    self.send_heartbeat(now_ms, share);
                    self.ping(now_ms);
                }
            }
            _ => {}
        }
        if self
            .keep_alive
            .is_some_and(|keep_alive| keep_alive.is_due(now_ms))
        {
            self.ping(now_ms);
        }
    }

    /// The session, once there is one.
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Whether the session is bound to a live connection.
    pub fn is_sharing(&self) -> bool {
        matches!(self.phase, Phase::Bound(_))
    }

    /// Whether the session is over, or could not be had.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Whether the server has not answered for so long that the connection is to be given up.
    pub fn is_server_silent(&self, now_ms: u64) -> bool {
        self.keep_alive
            .is_some_and(|keep_alive| keep_alive.is_dead(now_ms))
    }

    /// The server's farewell on this connection, once.
    pub fn take_goodbye(&mut self) -> Option<Goodbye> {
        self.goodbye.take()
    }

    /// Points that have no verdict yet.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Verdicts so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Wanted time between points in milliseconds, if the server has said; 0 = nobody watches.
    pub fn demand_ms(&self) -> Option<u32> {
        self.demand_ms
    }

    /// Gives up: every point without a verdict is unknown.
    pub fn give_up(&mut self) {
        self.settle_all(PointVerdict::Unknown);
    }

    fn handle_welcome(&mut self, now_ms: u64, welcome: &Welcome) {
        self.handle_disconnected();
        self.goodbye = None;
        let mut keep_alive = KeepAlive::new(now_ms);
        keep_alive.set_interval(welcome.keep_alive_ms);
        self.keep_alive = Some(keep_alive);
        if self.phase != Phase::Over {
            self.ask();
        }
    }

    fn ask(&mut self) {
        let request = self.next_request();
        self.phase = Phase::Asked(request);
        let chat = self.options.chat.clone();
        self.requests.push_back(match self.session {
            Some(session) => Request::ShareResume(ShareResume {
                request,
                chat,
                session,
            }),
            None => Request::ShareStart(ShareStart {
                request,
                chat,
                duration_s: self.options.duration_s,
                idempotency_key: self.options.idempotency_key.clone(),
                sealed: self.options.sealed,
            }),
        });
    }

    fn handle_shared(&mut self, now_ms: u64, shared: &Shared) {
        if self.extend == Some(shared.request) {
            self.extend = None;
            self.events.push_back(SenderEvent::Extended {
                expires_at_ms: shared.expires_at_ms,
            });
            return;
        }
        if self.phase != Phase::Asked(shared.request) {
            return;
        }
        self.phase = Phase::Bound(shared.share);
        let resumed = self.session.replace(shared.session).is_some();
        self.events.push_back(SenderEvent::Started {
            session: shared.session,
            expires_at_ms: shared.expires_at_ms,
            resumed,
        });
        self.said_at_ms = now_ms;
        self.asked_at_ms = now_ms;
        self.take_up(now_ms, shared.share, shared.counter_last.0);
        if self.stop_wanted {
            self.send_stop(shared.share);
        }
    }

    /// Goes on where the server is: what it has is accepted, the newest fix goes first, the others
    /// behind it.
    fn take_up(&mut self, now_ms: u64, share: ShareNumber, server_last: u64) {
        self.counter_last = self.counter_last.max(server_last);
        let has = |(counter, pending): (&u64, &Pending)| {
            let sent = pending.sent_before || pending.stage != Stage::Waiting;
            (*counter <= server_last && sent).then_some(*counter)
        };
        let known: Vec<u64> = self.pending.iter().filter_map(has).collect();
        for counter in known {
            self.settle(counter, PointVerdict::Accepted);
        }
        self.send_newest(now_ms, share, server_last);
        self.upload_at_ms = now_ms;
        self.upload(now_ms, share);
    }

    /// Sends the newest point, if the server does not have it. It may have been accepted before: a
    /// power failure takes what was not durable yet, and without the point the server's table would
    /// stay behind what viewers show until the next movement.
    fn send_newest(&mut self, now_ms: u64, share: ShareNumber, server_last: u64) {
        let waiting = self.pending.last_key_value().map_or(0, |(last, _)| *last);
        match &self.newest {
            Some(known) if known.point.counter.0 > server_last.max(waiting) => {
                let lost = known.clone();
                self.request_live(now_ms, share, &lost);
            }
            _ if waiting > server_last => self.send_live(now_ms, share, waiting),
            _ => {}
        }
    }

    fn send_live(&mut self, now_ms: u64, share: ShareNumber, counter: u64) {
        let Some(pending) = self.pending.get_mut(&counter) else {
            return;
        };
        pending.stage = Stage::Live { at_ms: now_ms };
        let sent = pending.clone();
        self.request_live(now_ms, share, &sent);
    }

    fn request_live(&mut self, now_ms: u64, share: ShareNumber, sent: &Pending) {
        self.live_last = self.live_last.max(sent.point.counter.0);
        self.said_at_ms = now_ms;
        self.requests.push_back(Request::Point(SharePoint {
            share,
            durable: sent.durable,
            point: sent.point.clone(),
        }));
    }

    /// Sends the next part of the backlog, newest part first, oldest point first within it.
    fn upload(&mut self, now_ms: u64, share: ShareNumber) {
        if now_ms < self.upload_at_ms || !self.has_backlog() {
            return;
        }
        let mut chosen = Vec::new();
        let mut bytes = 0;
        for (counter, pending) in self.pending.iter().rev() {
            if pending.stage != Stage::Waiting {
                continue;
            }
            bytes += pending.bytes_max();
            if chosen.len() >= UPLOAD_POINTS || bytes > UPLOAD_BYTES {
                break;
            }
            chosen.push(*counter);
        }
        let mut durable = false;
        let mut points = Vec::with_capacity(chosen.len());
        for counter in chosen.iter().rev() {
            if let Some(pending) = self.pending.get_mut(counter) {
                pending.stage = Stage::Uploaded { at_ms: now_ms };
                durable |= pending.durable;
                points.push(pending.point.clone());
            }
        }
        self.upload_at_ms = now_ms + UPLOAD_INTERVAL_MS;
        self.said_at_ms = now_ms;
        self.requests.push_back(Request::Points(SharePoints {
            share,
            historical: true,
            durable,
            points,
        }));
    }

    fn send_heartbeat(&mut self, now_ms: u64, share: ShareNumber) {
        self.said_at_ms = now_ms;
        self.requests.push_back(Request::Heartbeat(Heartbeat {
            share,
            counter: Counter(self.live_last),
        }));
    }

    fn send_stop(&mut self, share: ShareNumber) {
        if self.stop.is_some() {
            return;
        }
        let request = self.next_request();
        self.stop = Some(request);
        self.requests
            .push_back(Request::ShareStop(ShareStop { request, share }));
    }

    fn ping(&mut self, now_ms: u64) {
        if let Some(keep_alive) = &mut self.keep_alive {
            self.requests.push_back(keep_alive.ask(now_ms));
        }
    }

    fn handle_accepted(&mut self, now_ms: u64, accepted: &Accepted) {
        if !self.is_bound(accepted.share) {
            return;
        }
        for verdict in &accepted.verdicts {
            self.handle_verdict(verdict.counter.0, verdict.code);
        }
        let settled = self.pending.range(..=accepted.counter.0);
        let live = settled.filter(|(_, pending)| matches!(pending.stage, Stage::Live { .. }));
        let live: Vec<u64> = live.map(|(counter, _)| *counter).collect();
        for counter in live {
            self.settle(counter, PointVerdict::Accepted);
        }
        self.settle_uploads(now_ms);
        if accepted.durable > self.durable_last {
            self.durable_last = accepted.durable;
            self.events.push_back(SenderEvent::Durable {
                counter: accepted.durable,
            });
        }
    }

    fn handle_verdict(&mut self, counter: u64, code: Code) {
        let sent_before = self
            .pending
            .get(&counter)
            .is_some_and(|pending| pending.sent_before);
        let verdict = match code {
            Code::Superseded => PointVerdict::Superseded,
            // "Seen before": it arrived on the connection that was lost.
            Code::OutsideWindow if sent_before => PointVerdict::Accepted,
            code => PointVerdict::Refused(code),
        };
        if self.pending.contains_key(&counter) {
            self.settle(counter, verdict);
        }
    }

    /// The server says nothing of historical points that it takes, and at once of those that it
    /// refuses: no word by the time that a later answer is here means accepted.
    fn settle_uploads(&mut self, now_ms: u64) {
        let old = |(counter, pending): (&u64, &Pending)| match pending.stage {
            Stage::Uploaded { at_ms } if at_ms + SETTLE_MS <= now_ms => Some(*counter),
            _ => None,
        };
        let old: Vec<u64> = self.pending.iter().filter_map(old).collect();
        for counter in old {
            self.settle(counter, PointVerdict::Accepted);
        }
    }

    fn handle_ended(&mut self, ended: &ShareEnded) {
        if !self.is_bound(ended.share) {
            return;
        }
        // Everything that the server has taken was acknowledged before.
        self.settle_end(PointVerdict::Refused(Code::SessionEnded));
        if self.stop.is_some() && ended.state == SessionState::Stopped {
            // `Done` says whether it is durable.
            self.ended = Some(Some(ended.state));
            return;
        }
        self.end(Some(ended.state), true);
    }

    fn handle_done(&mut self, done: &Done) {
        if self.stop != Some(done.request) {
            return;
        }
        self.settle_end(PointVerdict::Refused(Code::SessionEnded));
        let why = self.ended.flatten().unwrap_or(SessionState::Stopped);
        self.end(Some(why), done.durable);
    }

    fn handle_refused(&mut self, now_ms: u64, refused: &Refused) {
        let (request, code, text) = (refused.request, refused.code, refused.text.clone());
        if self.phase == Phase::Asked(request) {
            self.handle_share_refused(now_ms, code, text);
        } else if self.extend == Some(request) {
            self.extend = None;
            self.events.push_back(SenderEvent::Refused {
                code,
                text,
                fatal: false,
            });
        } else if self.stop == Some(request) {
            self.handle_stop_refused(now_ms, code);
        }
    }

    fn handle_share_refused(&mut self, now_ms: u64, code: Code, text: String) {
        if is_transient(code) && code != Code::MembershipRevoked {
            self.phase = Phase::Later(now_ms + RETRY_REFUSED_MS);
            if self.stop_wanted && self.is_nothing_begun() {
                self.end(None, false);
            }
            return;
        }
        self.settle_all(PointVerdict::Refused(code));
        if self.session.is_some() {
            let stopped = self.stop_wanted.then_some(SessionState::Stopped);
            self.end(stopped, false);
            return;
        }
        self.phase = Phase::Over;
        self.events.push_back(SenderEvent::Refused {
            code,
            text,
            fatal: true,
        });
    }

    fn handle_stop_refused(&mut self, now_ms: u64, code: Code) {
        self.stop = None;
        if is_transient(code) {
            // Resuming leads to the stop again.
            self.phase = Phase::Later(now_ms + RETRY_REFUSED_MS);
            return;
        }
        self.settle_end(PointVerdict::Refused(code));
        self.end(self.ended.flatten(), false);
    }

    fn end(&mut self, why: Option<SessionState>, durable: bool) {
        if self.phase != Phase::Over {
            self.phase = Phase::Over;
            self.events.push_back(SenderEvent::Ended { why, durable });
        }
    }

    fn refusal(&self, point: &Point) -> Option<Code> {
        if self.phase == Phase::Over {
            return Some(Code::SessionEnded);
        }
        if self.options.sealed != matches!(point.payload, Payload::Sealed(_)) {
            return Some(Code::WrongSealing);
        }
        point.check().err().map(|error| error.code)
    }

    fn settle(&mut self, counter: u64, verdict: PointVerdict) {
        if let Some(settled) = self.pending.remove(&counter)
            && verdict == PointVerdict::Accepted
            && self
                .newest
                .as_ref()
                .is_none_or(|it| it.point.counter.0 < counter)
        {
            self.newest = Some(settled);
        }
        *match verdict {
            PointVerdict::Accepted => &mut self.tally.accepted,
            PointVerdict::Superseded => &mut self.tally.superseded,
            PointVerdict::Refused(_) => &mut self.tally.refused,
            PointVerdict::Unknown => &mut self.tally.unknown,
        } += 1;
        if self.events.len() < EVENTS_WAITING {
            self.events.push_back(SenderEvent::Verdict {
                counter: Counter(counter),
                verdict,
            });
        }
    }

    fn settle_all(&mut self, verdict: PointVerdict) {
        let counters: Vec<u64> = self.pending.keys().copied().collect();
        for counter in counters {
            self.settle(counter, verdict);
        }
    }

    /// The last acknowledgement is in: uploads were not refused, all others came too late.
    fn settle_end(&mut self, late: PointVerdict) {
        let counters: Vec<(u64, Stage)> = self
            .pending
            .iter()
            .map(|(counter, pending)| (*counter, pending.stage))
            .collect();
        for (counter, stage) in counters {
            let verdict = match stage {
                Stage::Uploaded { .. } => PointVerdict::Accepted,
                Stage::Waiting | Stage::Live { .. } => late,
            };
            self.settle(counter, verdict);
        }
    }

    /// When the oldest point without a word is to be asked about.
    fn question_at(&self) -> Option<u64> {
        let due = |pending: &Pending| match pending.stage {
            Stage::Waiting => None,
            Stage::Live { at_ms } => {
                Some((at_ms + ACKNOWLEDGEMENT_MS).max(self.asked_at_ms + ACKNOWLEDGEMENT_MS))
            }
            Stage::Uploaded { at_ms } => {
                Some((at_ms + SETTLE_MS).max(self.asked_at_ms + SETTLE_MS))
            }
        };
        self.pending.values().filter_map(due).min()
    }

    fn has_backlog(&self) -> bool {
        // Waiting points are the older ones, and few unless there is a backlog.
        self.pending
            .values()
            .any(|pending| pending.stage == Stage::Waiting)
    }

    /// Offline, the oldest give way: the server would not take them any more.
    fn bound_backlog(&mut self) {
        while self.pending.len() > BACKLOG_POINTS_MAX {
            let Some(oldest) = self.pending.keys().next().copied() else {
                return;
            };
            self.settle(oldest, PointVerdict::Refused(Code::OutsideWindow));
        }
    }

    fn bound_unacknowledged(&mut self) {
        while self.pending.len() > UNACKNOWLEDGED_MAX {
            let Some(oldest) = self.pending.keys().next().copied() else {
                return;
            };
            self.settle(oldest, PointVerdict::Unknown);
        }
    }

    fn is_bound(&self, share: ShareNumber) -> bool {
        self.phase == Phase::Bound(share)
    }

    fn next_request(&mut self) -> RequestNumber {
        // 0 means the connection itself.
        self.request_last = self.request_last.checked_add(1).unwrap_or(1);
        RequestNumber(self.request_last)
    }
}
