//! The rings between shards: one bounded single-producer single-consumer ring per ordered pair.
//!
//! Beside them each shard has a number that grows when it has appended something, which the others look at
//! instead of looking at each of its partitions.
//!
//! A full ring makes nobody wait: the message stays in the engine's outbox, which conflates
//! points by session, and is offered again in the next pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};
use skein_engine::ids::ShardId;
use skein_engine::peer_message::PeerMessage;

use crate::edge::waker::ShardWaker;

/// Messages that one ring holds. Some passes' worth of points at full speed; what does not fit
/// is conflated at the sender.
pub const PEER_RING_MESSAGES: usize = 4096;

/// Messages taken from one ring per pass, so that a busy peer cannot keep a shard from its viewers.
pub const PEER_MESSAGES_PER_PASS: usize = 1024;

/// One shard's ends of the rings to and from every other shard.
#[derive(Debug)]
pub struct Peers {
    shard: ShardId,
    outgoing: Vec<Option<Producer<PeerMessage>>>,
    incoming: Vec<Option<Consumer<PeerMessage>>>,
    wakers: Vec<ShardWaker>,
    appends: Arc<[Appends]>,
}

/// How often a shard has said that it appended something; written by that shard alone.
#[derive(Debug, Default)]
#[repr(align(128))] // Two cache lines, which processors fetch together: nobody else's writes disturb it.
struct Appends(AtomicU64);

impl Peers {
    /// Makes the full mesh for as many shards as there are wakers.
    pub fn mesh(wakers: &[ShardWaker]) -> Vec<Peers> {
        let shards = wakers.len();
        let appends: Arc<[Appends]> = (0..shards).map(|_| Appends::default()).collect();
        let mut peers: Vec<Peers> = (0..shards)
            .map(|shard| Peers {
                shard: ShardId(shard as u16),
                outgoing: (0..shards).map(|_| None).collect(),
                incoming: (0..shards).map(|_| None).collect(),
                wakers: wakers.to_vec(),
                appends: Arc::clone(&appends),
            })
            .collect();
        for from in 0..shards {
            for to in (0..shards).filter(|&to| to != from) {
                let (producer, consumer) = RingBuffer::new(PEER_RING_MESSAGES);
                peers[from].outgoing[to] = Some(producer);
                peers[to].incoming[from] = Some(consumer);
            }
        }
        peers
    }

    /// The other shards.
    pub fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let me = self.shard;
        (0..self.wakers.len() as u16)
            .map(ShardId)
            .filter(move |&shard| shard != me)
    }

    /// Whether the ring to `shard` takes one more message.
    pub fn has_room(&self, shard: ShardId) -> bool {
        self.outgoing[usize::from(shard.0)]
            .as_ref()
            .is_some_and(|ring| ring.slots() > 0)
    }

    /// Puts one message into the ring to `shard`. Ask [`Peers::has_room`] first.
    ///
    /// # Panics
    /// When the ring is full: the outbox would lose a message.
    pub fn push(&mut self, shard: ShardId, message: PeerMessage) {
        let ring = self.outgoing[usize::from(shard.0)]
            .as_mut()
            .expect("no ring to oneself");
        assert!(
            ring.push(message).is_ok(),
            "the ring was full; the caller did not ask first"
        );
    }

    /// Takes one message that came from `shard`.
    pub fn pop(&mut self, shard: ShardId) -> Option<PeerMessage> {
        self.incoming[usize::from(shard.0)].as_mut()?.pop().ok()
    }

    /// Whether any message waits.
    pub fn has_input(&self) -> bool {
        self.incoming.iter().flatten().any(|ring| !ring.is_empty())
    }

    /// Says that this shard has appended something.
    pub fn note_appended(&self) {
        let Appends(count) = &self.appends[usize::from(self.shard.0)];
        // Nobody else writes it. Whoever sees the new number sees what was appended before.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// How often another shard has said so.
    pub fn appended_by(&self, shard: ShardId) -> u64 {
        let Appends(count) = &self.appends[usize::from(shard.0)];
        count.load(Ordering::Acquire)
    }

    /// Wakes another shard.
    pub fn wake(&self, shard: ShardId) {
        self.wakers[usize::from(shard.0)].wake();
    }
}
