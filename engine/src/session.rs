//! Admission state of one live session at the owner of its chat.
//!
//! It changes when a point is accepted; the table changes later, when the record comes back from
//! the log. What is acknowledged is what came back.

use std::collections::VecDeque;

use skein_wire::error::Code;
use skein_wire::ids::{Counter, SessionId, UserName};
use skein_wire::point::{Payload, Point};
use skein_wire::update::SessionState;

use crate::binding::Binding;
use crate::caller::Caller;
use crate::counter_window::CounterWindow;
use crate::ids::{ConnectionId, RequestId, ShardId};
use crate::journal::Entry;
use crate::limits::{
    BINDINGS_PER_SESSION_MAX, DURABLE_WAITS_PER_SESSION_MAX, HEARTBEAT_LOG_MS, HISTORY_WINDOW,
};
use crate::rate::{Rate, RateLimit};
use crate::request::PointsReply;
use crate::time::Timestamp;

/// Limits of admission, computed once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdmissionLimits {
    pub live: RateLimit,
    pub historical: RateLimit,
    pub stale_after_ms: u64,
}

impl AdmissionLimits {
    /// From what the operator configured. A backlog may come in one burst as long as the window.
    pub fn new(points_per_second: u32, burst: u32, stale_after_ms: u64) -> Self {
        Self {
            live: RateLimit::new(points_per_second, burst),
            historical: RateLimit::new(points_per_second, HISTORY_WINDOW as u32),
            stale_after_ms,
        }
    }
}

/// A request of the API that waits for its last point to come back from the log.
#[derive(Debug)]
pub(crate) struct ApiWait {
    pub counter: Counter,
    pub request: RequestId,
    pub durable: bool,
    pub reply: PointsReply,
}

/// One live session.
#[derive(Debug)]
pub(crate) struct Session {
    pub user: UserName,
    pub started_at_ms: u64,
    pub expires_at_ms: u64,
    pub sealed: bool,
    pub window: CounterWindow,
    /// State as the newest record says it, on its way to the log or in it.
    pub state: SessionState,
    /// Greatest live counter that came back from the log.
    pub followed: Counter,
    pub bindings: Vec<Binding>,
    /// Counters whose senders asked for durability and that have not come back from the log.
    pub durable_marks: VecDeque<Counter>,
    /// Records on their way to being durable.
    pub durable_waits: usize,
    /// Requests of the API in the order in which their last points were appended.
    pub api_waits: VecDeque<ApiWait>,
    /// It is over, and its last record is on its way to the log.
    pub ended: Option<SessionState>,
    /// Its last record came back from the log.
    pub end_followed: Option<SessionState>,
    /// Who asked for its end, and whether the end is durable: they are told after the last
    /// acknowledgement.
    pub end_callers: Vec<(Caller, bool)>,
    /// The timer of its life that counts is set for this moment.
    pub life_timer_at: Timestamp,
    /// The timer of its acknowledgements that counts is set for this moment.
    pub ack_timer_at: Timestamp,
    heard_at: Timestamp,
    heartbeat_logged_at: Timestamp,
    rate: Rate,
    rate_historical: Rate,
}

impl Session {
    /// A session that nobody has been heard of yet.
    pub fn new(now: Timestamp, user: UserName, times_ms: (u64, u64), sealed: bool) -> Self {
        Self {
            user,
            started_at_ms: times_ms.0,
            expires_at_ms: times_ms.1,
            sealed,
            window: CounterWindow::default(),
            state: SessionState::Live,
            followed: Counter(0),
            bindings: Vec::new(),
            durable_marks: VecDeque::new(),
            durable_waits: 0,
            api_waits: VecDeque::new(),
            ended: None,
            end_followed: None,
            end_callers: Vec::new(),
            life_timer_at: Timestamp::NEVER,
            ack_timer_at: Timestamp::NEVER,
            heard_at: now,
            heartbeat_logged_at: Timestamp(0),
            rate: Rate::default(),
            rate_historical: Rate::default(),
        }
    }

    /// Judges a live point that has passed [`Point::check`]; an accepted one counts as appended.
    pub fn admit(
        &mut self,
        now: Timestamp,
        point: &Point,
        limits: &AdmissionLimits,
    ) -> Result<(), Code> {
        self.admit_any(point)?;
        if point.counter <= self.window.last() {
            return Err(Code::Superseded);
        }
        if !self.rate.take(now, limits.live) {
            return Err(Code::RateLimited);
        }
        self.window.accept_live(point.counter);
        self.hear(now);
        self.state = SessionState::Live;
        Ok(())
    }

    /// Judges a point of the sender's backlog.
    pub fn admit_historical(
        &mut self,
        now: Timestamp,
        point: &Point,
        limits: &AdmissionLimits,
    ) -> Result<(), Code> {
        self.admit_any(point)?;
        if !self.rate_historical.take(now, limits.historical) {
            return Err(Code::RateLimited);
        }
        if !self.window.accept_historical(point.counter) {
            return Err(Code::OutsideWindow);
        }
        self.hear(now);
        Ok(())
    }

    fn admit_any(&self, point: &Point) -> Result<(), Code> {
        if self.ended.is_some() {
            return Err(Code::SessionEnded);
        }
        if self.sealed != matches!(point.payload, Payload::Sealed(_)) {
            return Err(Code::WrongSealing);
        }
        Ok(())
    }

    /// Whether it goes on and its sender has not fallen silent: its newest place is good.
    pub fn is_heard(&self) -> bool {
        self.ended.is_none() && self.state != SessionState::Stale
    }

    /// Whether a durable acknowledgement is still to come.
    pub fn owes_durable(&self) -> bool {
        !self.durable_marks.is_empty() || self.durable_waits > 0
    }

    /// Whether one more point can be promised to be durable, or one more request be answered when its points
    /// come back from the log.
    pub fn can_wait(&self) -> bool {
        let waits = self.durable_marks.len() + self.durable_waits + self.api_waits.len();
        waits < DURABLE_WAITS_PER_SESSION_MAX
    }

    /// The request whose last point this is, which came back from the log, and those before it: theirs were dropped on
    /// the way, or they would have come back earlier.
    pub fn api_waits_until(&mut self, counter: Counter) -> (Vec<ApiWait>, Option<ApiWait>) {
        let waits = &mut self.api_waits;
        match waits.iter().position(|wait| wait.counter == counter) {
            Some(index) => (waits.drain(..index).collect(), waits.pop_front()),
            None => (Vec::new(), None),
        }
    }

    /// A word from the sender.
    pub fn hear(&mut self, now: Timestamp) {
        self.heard_at = self.heard_at.max(now);
    }

    /// A historical word from a sender thought silent: the record that says it lives.
    pub fn revive(&mut self, now: Timestamp, session: SessionId) -> Option<Entry> {
        if self.state != SessionState::Stale || self.ended.is_some() {
            return None;
        }
        self.state = SessionState::Live;
        Some(Entry::State {
            session,
            state: SessionState::Live,
            at_ms: now.0,
        })
    }

    /// "Still here": the record of it, unless the log knows already.
    pub fn heartbeat(&mut self, now: Timestamp, session: SessionId) -> Option<Entry> {
        if self.ended.is_some() {
            return None;
        }
        self.hear(now);
        let known = self.heartbeat_logged_at != Timestamp(0)
            && now.since_ms(self.heartbeat_logged_at) < HEARTBEAT_LOG_MS;
        if known {
            return None;
        }
        self.heartbeat_logged_at = now;
        self.state = SessionState::Stationary;
        Some(Entry::Heartbeat { session })
    }

    /// The record of its silence, once per silence.
    pub fn grow_stale(
        &mut self,
        now: Timestamp,
        session: SessionId,
        stale_after_ms: u64,
    ) -> Option<Entry> {
        if now < self.stale_at(stale_after_ms)? {
            return None;
        }
        self.state = SessionState::Stale;
        Some(Entry::State {
            session,
            state: SessionState::Stale,
            at_ms: now.0,
        })
    }

    fn stale_at(&self, stale_after_ms: u64) -> Option<Timestamp> {
        let can = self.ended.is_none() && self.state != SessionState::Stale;
        can.then(|| self.heard_at.plus_ms(stale_after_ms))
    }

    /// When it expires or grows stale, whichever comes first.
    pub fn life_due_at(&self, stale_after_ms: u64) -> Timestamp {
        if self.ended.is_some() {
            return Timestamp::NEVER;
        }
        let stale_at = self.stale_at(stale_after_ms).unwrap_or(Timestamp::NEVER);
        stale_at.min(Timestamp(self.expires_at_ms))
    }

    /// When the next acknowledgement is due.
    pub fn ack_due_at(&self) -> Timestamp {
        self.bindings
            .iter()
            .filter_map(|binding| binding.due_at(self.followed))
            .min()
            .unwrap_or(Timestamp::NEVER)
    }

    /// The binding of a connection. One that is not known (any more) takes the place of the oldest
    /// when there are too many.
    pub fn bind(
        &mut self,
        now: Timestamp,
        shard: ShardId,
        connection: ConnectionId,
    ) -> &mut Binding {
        let known = self
            .bindings
            .iter()
            .position(|binding| binding.is(shard, connection));
        let index = known.unwrap_or_else(|| {
            if self.bindings.len() >= BINDINGS_PER_SESSION_MAX {
                self.bindings.remove(0);
            }
            self.bindings
                .push(Binding::new(now, shard, connection, self.followed));
            self.bindings.len() - 1
        });
        &mut self.bindings[index]
    }

    /// The connection is gone.
    pub fn unbind(&mut self, shard: ShardId, connection: ConnectionId) {
        self.bindings
            .retain(|binding| !binding.is(shard, connection));
    }
}

#[cfg(test)]
mod tests {
    use skein_wire::point::{Fix, Position};

    use super::*;

    const STALE_MS: u64 = 30_000;
    const ID: SessionId = SessionId(7);

    fn limits() -> AdmissionLimits {
        AdmissionLimits::new(100, 200, STALE_MS)
    }

    fn session() -> Session {
        Session::new(
            Timestamp(1_000),
            UserName::new("ana").unwrap(),
            (1_000, 901_000),
            false,
        )
    }

    fn point(counter: u64) -> Point {
        Point {
            counter: Counter(counter),
            captured_at_ms: 0,
            payload: Payload::Fix(Fix {
                position: Position {
                    lat_e6: 1,
                    lon_e6: 1,
                },
                ..Fix::default()
            }),
        }
    }

    #[test]
    fn only_greater_counters_are_live_and_history_is_taken_once() {
        let mut session = session();
        let now = Timestamp(1_001);
        assert_eq!(session.admit(now, &point(5), &limits()), Ok(()));
        for counter in [5, 4] {
            let again = session.admit(now, &point(counter), &limits());
            assert_eq!(again, Err(Code::Superseded));
        }
        assert_eq!(session.admit_historical(now, &point(4), &limits()), Ok(()));
        let again = session.admit_historical(now, &point(4), &limits());
        assert_eq!(again, Err(Code::OutsideWindow));
    }

    #[test]
    fn sealed_and_plain_do_not_mix() {
        let mut session = session();
        session.sealed = true;
        let refused = session.admit(Timestamp(1_001), &point(1), &limits());
        assert_eq!(refused, Err(Code::WrongSealing));
    }

    #[test]
    fn silence_is_told_once_and_a_word_ends_it() {
        let mut session = session();
        assert_eq!(session.life_due_at(STALE_MS), Timestamp(31_000));
        assert!(
            session
                .grow_stale(Timestamp(30_999), ID, STALE_MS)
                .is_none()
        );
        assert!(
            session
                .grow_stale(Timestamp(31_000), ID, STALE_MS)
                .is_some()
        );
        assert!(
            session
                .grow_stale(Timestamp(90_000), ID, STALE_MS)
                .is_none()
        );
        assert_eq!(session.life_due_at(STALE_MS), Timestamp(901_000));
        assert!(session.heartbeat(Timestamp(90_001), ID).is_some());
        assert_eq!(session.life_due_at(STALE_MS), Timestamp(120_001));
    }

    #[test]
    fn heartbeats_are_logged_at_most_every_twenty_seconds() {
        let mut session = session();
        let logged = (0..=60)
            .filter(|second| {
                let now = Timestamp(1_000 + second * 1_000);
                session.heartbeat(now, ID).is_some()
            })
            .count();
        assert_eq!(logged, 4, "at 0, 20, 40 and 60 s");
    }

    #[test]
    fn bindings_are_bounded_and_the_oldest_gives_way() {
        let mut session = session();
        for connection in 0..=BINDINGS_PER_SESSION_MAX as u64 {
            session.bind(Timestamp(1_000), ShardId(0), ConnectionId(connection));
        }
        assert_eq!(session.bindings.len(), BINDINGS_PER_SESSION_MAX);
        let first = |binding: &Binding| binding.is(ShardId(0), ConnectionId(0));
        assert!(!session.bindings.iter().any(first));
    }
}
