//! Connections whose handshake is to begin.
//!
//! Handshakes are dear, half a millisecond each, and a restart brings all clients at once: only
//! so many run at a time, addresses must prove themselves once there are several, and what is
//! beyond that is ignored, because a client that hears nothing comes again by itself. Few begin
//! in one pass, so that viewers do not wait for newcomers.

use std::collections::VecDeque;

use quinn_proto::Incoming;

use crate::limits::{QUIC_HANDSHAKES_MAX, QUIC_RETRY_FROM};

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

/// Decides about a client when `handshakes` run or are about to. `may_retry` tells whether it can
/// be asked for a proof, and `is_busy` that its address has opened too many connections: whoever
/// only pretends to have that address cannot keep others out of it.
pub fn answer(handshakes: usize, has_place: bool, may_retry: bool, is_busy: bool) -> Answer {
    if handshakes >= QUIC_HANDSHAKES_MAX || !has_place {
        Answer::Ignore
    } else if (is_busy || handshakes >= QUIC_RETRY_FROM) && may_retry {
        Answer::Retry
    } else if is_busy {
        Answer::Refuse
    } else {
        Answer::Accept
    }
}

/// Those that wait for their turn.
#[derive(Debug, Default)]
pub struct QuicArrivals {
    line: VecDeque<Incoming>,
}

impl QuicArrivals {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Stands in line.
    pub fn push(&mut self, incoming: Incoming) {
        self.line.push_back(incoming);
    }

    /// Whose turn it is.
    pub fn pop(&mut self) -> Option<Incoming> {
        self.line.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_must_prove_its_addresses_and_is_ignored_beyond_a_bound() {
        let calm =
            |handshakes, has_place, may_retry| answer(handshakes, has_place, may_retry, false);
        assert_eq!(calm(0, true, true), Answer::Accept);
        assert_eq!(calm(QUIC_RETRY_FROM - 1, true, true), Answer::Accept);
        assert_eq!(calm(QUIC_RETRY_FROM, true, true), Answer::Retry);
        assert_eq!(calm(QUIC_HANDSHAKES_MAX - 1, true, false), Answer::Accept);
        assert_eq!(calm(QUIC_HANDSHAKES_MAX, true, false), Answer::Ignore);
        assert_eq!(calm(0, false, false), Answer::Ignore);
    }

    #[test]
    fn a_busy_address_must_be_proved_before_it_is_refused() {
        assert_eq!(answer(0, true, true, true), Answer::Retry);
        assert_eq!(answer(0, true, false, true), Answer::Refuse);
    }
}
