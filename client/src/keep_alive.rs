//! Tells a dead server from a quiet one: asks after a silence, doubts and then gives up when no answer
//! comes, and measures the round trip on the way.
//!
//! Where frames came all the time a silence is soon asked about; the answer comes after a silence, so that one question is all that
//! this costs.

use skein_wire::request::Request;
use skein_wire::update::Pong;

use crate::limits::{DOUBT_MS, KEEP_ALIVE_MS_DEFAULT, LIVELY_MS, PONG_MS_MAX, ROUND_TRIP_MS_GUESS};

/// Silence on one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepAlive {
    interval_ms: u64,
    heard_at_ms: u64,
    /// What was heard last came soon after what was heard before.
    is_lively: bool,
    /// When the newest question was sent, while its answer is not here.
    asked_at_ms: Option<u64>,
    /// When the first question since the server was last heard was sent.
    unanswered_since_ms: Option<u64>,
    number: u64,
    round_trip_ms: Option<u64>,
}

impl KeepAlive {
    /// A connection that begins now.
    pub fn new(now_ms: u64) -> Self {
        Self {
            interval_ms: KEEP_ALIVE_MS_DEFAULT,
            heard_at_ms: now_ms,
            is_lively: false,
            asked_at_ms: None,
            unanswered_since_ms: None,
            number: 0,
            round_trip_ms: None,
        }
    }

    /// What the server wants; values that would miss a dead server are shortened.
    pub fn set_interval(&mut self, interval_ms: u32) {
        self.interval_ms = u64::from(interval_ms).clamp(100, KEEP_ALIVE_MS_DEFAULT);
    }

    /// Anything came: the server lives, even if it is not the answer.
    pub fn heard(&mut self, now_ms: u64) {
        self.unanswered_since_ms = None;
        self.is_lively = now_ms < self.heard_at_ms + LIVELY_MS;
        self.heard_at_ms = self.heard_at_ms.max(now_ms);
    }

    /// An answer came.
    pub fn pong(&mut self, now_ms: u64, pong: &Pong) {
        let Some(asked) = self.asked_at_ms.filter(|_| pong.number == self.number) else {
            return;
        };
        let sample = now_ms.saturating_sub(asked);
        let smooth = |old: u64| (old * 7 + sample) / 8;
        self.round_trip_ms = Some(self.round_trip_ms.map_or(sample, smooth));
        self.asked_at_ms = None;
    }

    /// The question, to be sent now.
    pub fn ask(&mut self, now_ms: u64) -> Request {
        self.number += 1;
        self.asked_at_ms = Some(now_ms);
        self.unanswered_since_ms.get_or_insert(now_ms);
        Request::Ping(self.number)
    }

    /// Whether it is time to ask.
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.unanswered_since_ms.is_none() && now_ms >= self.due_ms()
    }

    /// Whether the server is to be taken for dead.
    pub fn is_dead(&self, now_ms: u64) -> bool {
        self.unanswered_since_ms
            .is_some_and(|asked| now_ms >= asked + PONG_MS_MAX)
    }

    /// When [`Self::is_due`] or [`Self::is_dead`] may become true.
    pub fn timeout_ms(&self) -> u64 {
        match self.unanswered_since_ms {
            Some(asked) => asked + PONG_MS_MAX,
            None => self.due_ms(),
        }
    }

    /// When it is to be said that the client may be offline, unless something is heard by then; `None` while
    /// nothing is asked.
    pub fn doubt_ms(&self) -> Option<u64> {
        self.unanswered_since_ms.map(|asked| asked + DOUBT_MS)
    }

    /// When it is time to ask.
    fn due_ms(&self) -> u64 {
        let silence_ms = match self.is_lively {
            true => self.interval_ms.min(LIVELY_MS),
            false => self.interval_ms,
        };
        self.heard_at_ms + silence_ms
    }

    /// Milliseconds of a round trip, as measured or guessed.
    pub fn round_trip_ms(&self) -> u64 {
        self.round_trip_ms.unwrap_or(ROUND_TRIP_MS_GUESS)
    }
}

#[cfg(test)]
mod tests {
    use skein_wire::update::Pong;

    use crate::keep_alive::KeepAlive;

    #[test]
    fn a_dead_server_shows_within_fifteen_seconds() {
        let mut keep_alive = KeepAlive::new(1_000);
        assert!(!keep_alive.is_due(10_999));
        assert!(keep_alive.is_due(11_000));
        keep_alive.ask(11_000);
        assert!(!keep_alive.is_due(12_000), "asked already");
        assert!(!keep_alive.is_dead(15_999));
        assert!(keep_alive.is_dead(16_000));
        assert_eq!(keep_alive.timeout_ms(), 16_000);
        keep_alive.ask(15_000);
        assert!(
            keep_alive.is_dead(16_000),
            "asking again is no sign of life"
        );
    }

    #[test]
    fn a_silence_after_frames_that_came_often_is_asked_about_soon_and_once() {
        let mut keep_alive = KeepAlive::new(0);
        for now_ms in [2_000, 4_000, 6_999] {
            keep_alive.heard(now_ms);
        }
        assert!(!keep_alive.is_due(9_998));
        assert!(keep_alive.is_due(9_999));
        assert_eq!(keep_alive.doubt_ms(), None);
        keep_alive.ask(9_999);
        assert_eq!(keep_alive.doubt_ms(), Some(11_999));
        assert_eq!(keep_alive.timeout_ms(), 14_999);
        // It was only quiet: from now on the interval is the usual one.
        keep_alive.heard(10_040);
        assert_eq!(keep_alive.doubt_ms(), None);
        assert_eq!(keep_alive.timeout_ms(), 20_040);
    }

    #[test]
    fn an_answer_starts_a_new_silence_and_measures_the_way() {
        let mut keep_alive = KeepAlive::new(0);
        keep_alive.ask(10_000);
        keep_alive.heard(10_040);
        let pong = Pong {
            number: 1,
            server_time_ms: 7,
        };
        keep_alive.pong(10_040, &pong);
        assert_eq!(keep_alive.round_trip_ms(), 40);
        assert_eq!(keep_alive.timeout_ms(), 20_040);
        keep_alive.pong(90_000, &pong);
        assert_eq!(keep_alive.round_trip_ms(), 40, "an answer counts once");
    }
}
