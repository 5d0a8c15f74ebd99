//! Connections whose handshake is to begin.
//!
//! Handshakes are dear, half a millisecond each, and a restart brings all clients at once: only
//! so many run at a time, the others stand in line, and addresses must prove themselves once there
//! are several. Who stands in line waits for less time than one who is ignored: that client asks
//! again after 1 s, then after 2 s more, 4, 8, and all that were ignored together come together
//! again. Only beyond the line nobody is heard. Few begin in one pass, so that viewers do not wait
//! for newcomers.

use std::collections::VecDeque;

use quinn_proto::Incoming;

use crate::limits::{QUIC_HANDSHAKES_MAX, QUIC_INCOMING_MAX, QUIC_RETRY_FROM};

/// What to do with a client that knocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its handshake begins.
    Accept,
    /// It must prove its address first.
    Retry,
    /// Nothing.
    Ignore,
    /// Its connection is refused.
    Refuse,
}

/// Decides about a client when `running` handshakes are under way and `waiting` stand in line. `may_retry`
/// tells whether it can be asked for a proof, and `is_busy` that its address has opened too many
/// connections: whoever only pretends to have that address cannot keep others out of it.
pub fn answer(
    running: usize,
    waiting: usize,
    has_place: bool,
    may_retry: bool,
    is_busy: bool,
) -> Answer {
    if waiting >= LINE_MAX || !has_place {
        Answer::Ignore
    } else if (is_busy || running + waiting >= QUIC_RETRY_FROM) && may_retry {
        Answer::Retry
    } else if is_busy {
        Answer::Refuse
    } else {
        Answer::Accept
    }
}

/// The endpoint holds one more: the client that is judged.
const LINE_MAX: usize = QUIC_INCOMING_MAX - 1;

/// Those that wait for their turn.
#[derive(Debug, Default)]
pub struct QuicArrivals {
    line: VecDeque<Incoming>,
}

impl QuicArrivals {
    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Whether one waits whose handshake may begin while so many are under way.
    pub fn has_turn(&self, running: usize) -> bool {
        !self.line.is_empty() && running < QUIC_HANDSHAKES_MAX
    }

    /// Stands in line.
    pub fn push(&mut self, incoming: Incoming) {
        self.line.push_back(incoming);
    }

    /// Whose turn it is while so many handshakes are under way.
    pub fn next(&mut self, running: usize) -> Option<Incoming> {
        match self.has_turn(running) {
            true => self.pop(),
            false => None,
        }
    }

    /// Who came first.
    pub fn pop(&mut self) -> Option<Incoming> {
        self.line.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_must_prove_its_addresses_and_is_ignored_beyond_a_line() {
        let calm = |running, waiting, has_place, may_retry| {
            answer(running, waiting, has_place, may_retry, false)
        };
        assert_eq!(calm(0, 0, true, true), Answer::Accept);
        assert_eq!(calm(QUIC_RETRY_FROM - 1, 0, true, true), Answer::Accept);
        assert_eq!(calm(QUIC_RETRY_FROM, 0, true, true), Answer::Retry);
        assert_eq!(calm(1, QUIC_RETRY_FROM - 1, true, true), Answer::Retry);
        assert_eq!(calm(QUIC_HANDSHAKES_MAX, 1, true, false), Answer::Accept);
        let last = LINE_MAX - 1;
        assert_eq!(calm(QUIC_HANDSHAKES_MAX, last, true, false), Answer::Accept);
        assert_eq!(calm(0, LINE_MAX, true, false), Answer::Ignore);
        assert_eq!(calm(0, LINE_MAX, true, true), Answer::Ignore);
        assert_eq!(calm(0, 0, false, false), Answer::Ignore);
    }

    #[test]
    fn a_busy_address_must_be_proved_before_it_is_refused() {
        assert_eq!(answer(0, 0, true, true, true), Answer::Retry);
        assert_eq!(answer(0, 0, true, false, true), Answer::Refuse);
    }
}
