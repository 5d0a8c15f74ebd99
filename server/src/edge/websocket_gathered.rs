//! Batches that were offered to WebSockets and leave together, in one system call.
//!
//! An offer that is gathered is as good as taken: if the socket turns out to be full, the batch
//! waits in its link, like the rest of a half-written one. So there is at most one for each
//! connection, and before anything else is done with any connection they leave.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;

use bytes::Bytes;
use skein_engine::ids::ConnectionId;
use skein_wire::ids::ChatHandle;

use crate::edge::send_ring::SendRing;
use crate::limits::{WEBSOCKET_SENDS_MAX, WEBSOCKET_SENDS_MIN};

/// A batch for one connection.
#[derive(Clone, Debug)]
pub struct GatheredOffer {
    /// For whom.
    pub to: ConnectionId,
    /// Of which chat.
    pub chat: ChatHandle,
    /// Shared with everybody who gets the same.
    pub bytes: Bytes,
}

/// A number that differs from one gathering to the next: a connection that has this one is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round(u32);

/// Batches that leave together.
#[derive(Default)]
pub struct Gathered {
    /// Without one nothing is gathered.
    ring: Option<SendRing>,
    offers: Vec<GatheredOffer>,
    round: Round,
}

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathered")
            .field("offers", &self.offers.len())
            .finish_non_exhaustive()
    }
}

impl Gathered {
    /// None yet; without a ring there never are any.
    pub fn new(ring: Option<SendRing>) -> Self {
        let room = match ring {
            Some(_) => WEBSOCKET_SENDS_MAX,
            None => 0,
        };
        Self {
            ring,
            offers: Vec::with_capacity(room),
            // A connection that was never in any has the default one.
            round: Round(1),
        }
    }

    /// The gathering that is open now, if offers are gathered at all.
    pub fn round(&self) -> Option<Round> {
        self.ring.is_some().then_some(self.round)
    }

    /// Takes one more.
    pub fn put(&mut self, offer: GatheredOffer) {
        self.offers.push(offer);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.offers.is_empty()
    }

    /// Whether there is no room for another one.
    pub fn is_full(&self) -> bool {
        self.offers.len() >= WEBSOCKET_SENDS_MAX
    }

    /// Sends all of them by the ring; how many those were. Few are left to be written by themselves:
    /// a call costs less than the way through the ring.
    pub fn send<'a>(&'a mut self, socket: impl Fn(ConnectionId) -> BorrowedFd<'a>) -> usize {
        let Some(ring) = &mut self.ring else {
            return 0;
        };
        let count = match self.offers.len() {
            len if len < WEBSOCKET_SENDS_MIN => 0,
            len => len,
        };
        let offers = self.offers[..count].iter();
        ring.send(offers.map(|offer| (socket(offer.to), &offer.bytes[..])));
        count
    }

    /// What became of each: bytes taken, or why none. `Interrupted`: it has to be written by itself.
    pub fn left(&self) -> impl Iterator<Item = (&GatheredOffer, io::Result<usize>)> {
        let outcomes = self.ring.as_ref().map_or(&[][..], SendRing::outcomes);
        self.offers.iter().enumerate().map(|(index, offer)| {
            let outcome = match outcomes.get(index) {
                Some(Ok(count)) => Ok(*count),
                Some(Err(error)) => Err(error.kind().into()),
                None => Err(ErrorKind::Interrupted.into()),
            };
            (offer, outcome)
        })
    }

    /// Begins the next gathering, in the same memory.
    pub fn begin(&mut self) {
        self.offers.clear();
        self.round = Round(self.round.0.wrapping_add(1));
        if self.ring.as_ref().is_some_and(|ring| !ring.is_alive()) {
            self.ring = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::skip;

    /// With a ring, unless this kernel gives none.
    fn with_ring() -> Option<Gathered> {
        let ring =
            SendRing::new().inspect_err(|error| skip::say("batches by a ring", &error.to_string()));
        Some(Gathered::new(Some(ring.ok()?)))
    }

    fn put(gathered: &mut Gathered, count: usize) {
        for at in 0..count {
            gathered.put(GatheredOffer {
                to: ConnectionId(at as u64),
                chat: ChatHandle(1),
                bytes: Bytes::from_static(b"batch"),
            });
        }
    }

    /// What became of each, after so many were sent by the ring.
    fn check(gathered: &mut Gathered, count: usize, by_ring: usize) {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        put(gathered, count);
        assert_eq!(gathered.send(|_| ours.as_fd()), by_ring);
        let left: Vec<_> = gathered.left().collect();
        assert_eq!(left.len(), count);
        for (at, (offer, outcome)) in left.into_iter().enumerate() {
            assert_eq!(offer.to, ConnectionId(at as u64));
            match at < by_ring {
                true => assert_eq!(outcome.unwrap(), offer.bytes.len()),
                false => assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Interrupted),
            }
        }
        gathered.begin();
        assert!(gathered.is_empty());
    }

    #[test]
    fn nothing_is_gathered_without_a_ring() {
        assert_eq!(Gathered::new(None).round(), None);
    }

    #[test]
    fn few_are_written_by_themselves_and_rounds_differ() {
        let Some(mut gathered) = with_ring() else {
            return;
        };
        let first = gathered.round();
        assert_ne!(first, Some(Round::default()), "that is of those in none");
        check(&mut gathered, WEBSOCKET_SENDS_MAX, WEBSOCKET_SENDS_MAX);
        assert_ne!(gathered.round(), first);
        let few = WEBSOCKET_SENDS_MIN - 1;
        check(&mut gathered, few, 0);
        check(&mut gathered, few + 1, few + 1);
    }

    #[test]
    fn what_a_ring_that_dies_has_not_sent_is_written_and_no_more_is_gathered() {
        let Some(mut gathered) = with_ring() else {
            return;
        };
        // A ring serves the thread that made it, and no other one.
        let elsewhere = std::thread::spawn(move || {
            let (ours, _theirs) = UnixStream::pair().unwrap();
            put(&mut gathered, FEW);
            gathered.send(|_| ours.as_fd());
            for (_, outcome) in gathered.left() {
                assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Interrupted);
            }
            gathered.begin();
            assert_eq!(gathered.round(), None);
        });
        elsewhere.join().unwrap();
    }

    /// Enough for the ring.
    const FEW: usize = WEBSOCKET_SENDS_MIN + 2;
}
