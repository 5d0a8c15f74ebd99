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
}

/// Decides about a client when `handshakes` run or are about to. `may_retry` tells whether it can
/// be asked for a proof.
pub fn answer(handshakes: usize, has_place: bool, may_retry: bool) -> Answer {
    if handshakes >= QUIC_HANDSHAKES_MAX || !has_place {
        Answer::Ignore
    } else if handshakes >= QUIC_RETRY_FROM && may_retry {
        Answer::Retry
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
        assert_eq!(answer(0, true, true), Answer::Accept);
        assert_eq!(answer(QUIC_RETRY_FROM - 1, true, true), Answer::Accept);
        assert_eq!(answer(QUIC_RETRY_FROM, true, true), Answer::Retry);
        assert_eq!(answer(QUIC_HANDSHAKES_MAX - 1, true, false), Answer::Accept);
        assert_eq!(answer(QUIC_HANDSHAKES_MAX, true, false), Answer::Ignore);
        assert_eq!(answer(0, false, false), Answer::Ignore);
    }
}
