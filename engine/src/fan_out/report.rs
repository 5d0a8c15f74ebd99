//! What a pass of the fan-out did, for the caller's figures.

use crate::sink::Offer;

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FanOutReport {
    /// Batches encoded.
    pub batches: u64,
    /// Bytes of them.
    pub batch_bytes: u64,
    /// Those among them that are of a part of the map.
    pub view_batches: u64,
    /// Offers that an ordered transport took.
    pub sent: u64,
    /// Offers that went as datagrams.
    pub datagrams: u64,
    /// Offers that opened a stream.
    pub streams: u64,
    /// Offers for which there was no room.
    pub full: u64,
    /// Bytes taken by transports.
    pub sent_bytes: u64,
    /// `Head` frames handed over.
    pub heads: u64,
    /// Viewers and scopes looked at: what a pass has a bound of.
    pub steps: u64,
    /// Whether there is more to do at once: the pass was cut off by its bound.
    pub more: bool,
}

impl FanOutReport {
    pub(crate) fn count(&mut self, offer: Offer, bytes: usize) {
        match offer {
            Offer::Sent => self.sent += 1,
            Offer::Datagram => self.datagrams += 1,
            Offer::Streaming => self.streams += 1,
            Offer::Full => self.full += 1,
            Offer::Gone => {}
        }
        if matches!(offer, Offer::Sent | Offer::Datagram | Offer::Streaming) {
            self.sent_bytes += bytes as u64;
        }
    }
}
