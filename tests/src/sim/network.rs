//! The simulated network: connections that delay, and datagrams that get lost and overtake.
//!
//! Control frames and streams arrive in order and whole, as QUIC streams and WebSockets see to it;
//! datagrams may be lost or reordered while faults are on.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use bytes::Bytes;
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_wire::request::Request;

use crate::sim::random::Random;

/// Longest one-way delay of a faulty network, milliseconds.
const DELAY_MS_MAX: u64 = 120;
/// One-way delay of a healthy network, milliseconds.
const DELAY_MS_MIN: u64 = 5;

/// Which client is at the far end.
pub type ClientIndex = usize;

/// How a connection carries batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// Like a WebSocket: everything in order, one batch at a time until the far end took it.
    Ordered,
    /// Like QUIC: small batches as datagrams, larger ones on streams of their own.
    Datagrams,
}

/// Names a connection during one life of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkKey {
    /// On which shard.
    pub shard: usize,
    /// Its id there.
    pub connection: ConnectionId,
}

/// Something that arrives.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// A frame of a client at the server.
    Request(LinkKey, Request),
    /// Whole frames at a client.
    Frames(LinkKey, Bytes),
    /// The far end has taken the last batch of an ordered connection.
    Writable(LinkKey),
    /// The far end has acknowledged a whole stream.
    StreamDone(LinkKey, ViewerId),
    /// The connection is gone, seen by the client.
    ClosedAtClient(LinkKey),
    /// The connection is gone, seen by the server.
    ClosedAtServer(LinkKey),
}

/// One connection.
#[derive(Debug)]
pub struct Link {
    /// Who is at the far end.
    pub client: ClientIndex,
    /// How it carries batches.
    pub kind: LinkKind,
    /// An ordered connection holds a batch that the far end has not taken.
    pub batch_in_flight: bool,
    /// Nothing sent later in order may arrive before this.
    ordered_until: [u64; 2],
}

#[derive(Debug)]
struct Due {
    at_ms: u64,
    sequence: u64,
    arrival: Arrival,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at_ms, self.sequence) == (other.at_ms, other.sequence)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.sequence).cmp(&(other.at_ms, other.sequence))
    }
}

/// Direction of an ordered delivery.
#[derive(Clone, Copy, Debug)]
enum Towards {
    Server = 0,
    Client = 1,
}

/// All connections and everything that is under way.
#[derive(Debug)]
pub struct Network {
    random: Random,
    links: HashMap<LinkKey, Link>,
    due: BinaryHeap<Reverse<Due>>,
    sequence: u64,
    /// Delays vary and datagrams get lost.
    pub faulty: bool,
    /// Loss of datagrams in percent while faulty.
    pub loss_percent: u64,
}

impl Network {
    /// An empty network.
    pub fn new(random: Random, loss_percent: u64) -> Self {
        Self {
            random,
            links: HashMap::new(),
            due: BinaryHeap::new(),
            sequence: 0,
            faulty: true,
            loss_percent,
        }
    }

    /// A new connection.
    pub fn open(&mut self, key: LinkKey, client: ClientIndex, kind: LinkKind) {
        let link = Link {
            client,
            kind,
            batch_in_flight: false,
            ordered_until: [0; 2],
        };
        self.links.insert(key, link);
    }

    /// One connection, while it lives.
    pub fn link(&self, key: LinkKey) -> Option<&Link> {
        self.links.get(&key)
    }

    /// The connection breaks: what is under way is lost; both ends learn of it later.
    pub fn cut(&mut self, now_ms: u64, key: LinkKey) {
        if self.links.remove(&key).is_some() {
            let delay = self.delay();
            self.schedule(now_ms + delay, Arrival::ClosedAtServer(key));
            let delay = self.delay();
            self.schedule(now_ms + delay, Arrival::ClosedAtClient(key));
        }
    }

    /// The server is gone: every connection breaks, only clients learn of it.
    /// Returns the clients that had one.
    pub fn drop_all(&mut self) -> Vec<ClientIndex> {
        self.due.clear();
        let mut clients: Vec<_> = self.links.drain().map(|(_, link)| link.client).collect();
        clients.sort_unstable();
        clients
    }

    /// A frame from a client, in order.
    pub fn send_request(&mut self, now_ms: u64, key: LinkKey, request: Request) {
        if let Some(at_ms) = self.ordered_at(now_ms, key, Towards::Server) {
            self.schedule(at_ms, Arrival::Request(key, request));
        }
    }

    /// Frames to a client, in order with its other control frames.
    pub fn send_frames(&mut self, now_ms: u64, key: LinkKey, frames: Bytes) {
        if let Some(at_ms) = self.ordered_at(now_ms, key, Towards::Client) {
            self.schedule(at_ms, Arrival::Frames(key, frames));
        }
    }

    /// A batch on an ordered connection. The far end takes it some time later.
    pub fn send_ordered_batch(&mut self, now_ms: u64, key: LinkKey, frames: Bytes) {
        let Some(at_ms) = self.ordered_at(now_ms, key, Towards::Client) else {
            return;
        };
        if let Some(link) = self.links.get_mut(&key) {
            link.batch_in_flight = true;
        }
        self.schedule(at_ms, Arrival::Frames(key, frames));
        let stall = if self.faulty && self.random.one_in(8) {
            self.random.range(0, 3_000)
        } else {
            0
        };
        self.schedule(at_ms + stall, Arrival::Writable(key));
    }

    /// The far end has taken the batch of an ordered connection.
    pub fn batch_taken(&mut self, key: LinkKey) {
        if let Some(link) = self.links.get_mut(&key) {
            link.batch_in_flight = false;
        }
    }

    /// A datagram: may be lost, may overtake.
    pub fn send_datagram(&mut self, now_ms: u64, key: LinkKey, frames: Bytes) {
        if self.faulty && self.random.percent(self.loss_percent) {
            return;
        }
        let delay = self.delay();
        self.schedule(now_ms + delay, Arrival::Frames(key, frames));
    }

    /// A stream of its own: whole, not in order with anything else, then acknowledged.
    pub fn send_stream(&mut self, now_ms: u64, key: LinkKey, viewer: ViewerId, frames: Bytes) {
        let there = now_ms + self.delay() * 2;
        let back = there + self.delay();
        self.schedule(there, Arrival::Frames(key, frames));
        self.schedule(back, Arrival::StreamDone(key, viewer));
    }

    /// Takes what arrives up to `now_ms`, in order of time. What belongs to a broken connection is dropped.
    pub fn arrive(&mut self, now_ms: u64) -> Option<Arrival> {
        loop {
            if self
                .due
                .peek()
                .is_none_or(|Reverse(due)| due.at_ms > now_ms)
            {
                return None;
            }
            let Reverse(due) = self.due.pop()?;
            let alive = match &due.arrival {
                Arrival::Request(key, _)
                | Arrival::Frames(key, _)
                | Arrival::Writable(key)
                | Arrival::StreamDone(key, _) => self.links.contains_key(key),
                Arrival::ClosedAtClient(_) | Arrival::ClosedAtServer(_) => true,
            };
            if alive {
                return Some(due.arrival);
            }
        }
    }

    fn delay(&mut self) -> u64 {
        match self.faulty {
            true => self.random.range(DELAY_MS_MIN, DELAY_MS_MAX),
            false => DELAY_MS_MIN,
        }
    }

    fn ordered_at(&mut self, now_ms: u64, key: LinkKey, towards: Towards) -> Option<u64> {
        let delay = self.delay();
        let until = &mut self.links.get_mut(&key)?.ordered_until[towards as usize];
        *until = (now_ms + delay).max(*until);
        Some(*until)
    }

    fn schedule(&mut self, at_ms: u64, arrival: Arrival) {
        self.sequence += 1;
        self.due.push(Reverse(Due {
            at_ms,
            sequence: self.sequence,
            arrival,
        }));
    }
}
