//! Messages to one other shard that its ring has no room for yet.
//!
//! A full ring never makes anyone wait. From a soft bound on, live points are kept newest-only per
//! session; everything else keeps its place. What is asked about a session never overtakes the
//! point that was sent before it.

use std::collections::VecDeque;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use skein_wire::ids::SessionId;

use crate::limits::{OUTBOX_MESSAGES_MAX, OUTBOX_MESSAGES_SOFT};
use crate::peer_message::{LivePoint, Message, PeerMessage};

/// The queue to one shard.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Message>,
    held: HashMap<SessionId, LivePoint, RandomState>,
    /// Sessions in `held`, oldest first; may name sessions that have left it.
    held_order: VecDeque<SessionId>,
}

impl Outbox {
    /// Queues a message.
    pub fn push(&mut self, message: Message) {
        if let Some(session) = message.session_to_owner() {
            self.release(session);
        }
        self.queue.push_back(message);
    }

    /// Queues a live point; while the queue is long, in place of the session's older one, which
    /// comes back.
    pub fn push_point(&mut self, point: LivePoint) -> Option<LivePoint> {
        let session = point.target.session;
        if point.durable || self.queue.len() < OUTBOX_MESSAGES_SOFT {
            self.push(Message::Point(point));
            return None;
        }
        match self.held.get_mut(&session) {
            Some(held) if held.point.counter >= point.point.counter => Some(point),
            Some(held) => Some(std::mem::replace(held, point)),
            None => {
                self.held.insert(session, point);
                self.held_order.push_back(session);
                None
            }
        }
    }

    /// Takes the next message.
    pub fn pop(&mut self) -> Option<PeerMessage> {
        if let Some(message) = self.queue.pop_front() {
            return Some(PeerMessage(message));
        }
        while let Some(session) = self.held_order.pop_front() {
            if let Some(point) = self.held.remove(&session) {
                return Some(PeerMessage(Message::Point(point)));
            }
        }
        None
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.held.is_empty()
    }

    /// Whether uploads and requests have to be refused.
    pub fn is_full(&self) -> bool {
        self.queue.len() >= OUTBOX_MESSAGES_MAX
    }

    fn release(&mut self, session: SessionId) {
        if let Some(point) = self.held.remove(&session) {
            self.queue.push_back(Message::Point(point));
            self.held_order.retain(|held| *held != session);
        }
    }
}

#[cfg(test)]
mod tests {
    use skein_wire::ids::{ChatHandle, Counter, UserName};
    use skein_wire::point::{Fix, Payload, Point};

    use super::*;
    use crate::ids::ConnectionId;
    use crate::peer_message::Target;

    fn target(session: u64) -> Target {
        Target {
            chat: ChatHandle(1),
            session: SessionId(session),
            user: UserName::new("ana").unwrap(),
        }
    }

    fn point(session: u64, counter: u64) -> LivePoint {
        LivePoint {
            connection: ConnectionId(1),
            target: target(session),
            durable: false,
            point: Point {
                counter: Counter(counter),
                captured_at_ms: 0,
                payload: Payload::Fix(Fix::default()),
            },
        }
    }

    fn unbind(session: u64) -> Message {
        Message::Unbind {
            connection: ConnectionId(1),
            chat: ChatHandle(1),
            session: SessionId(session),
        }
    }

    fn drain(outbox: &mut Outbox) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| outbox.pop())
            .filter_map(|message| match message.0 {
                Message::Point(point) => Some((point.target.session.0, point.point.counter.0)),
                Message::Unbind { session, .. } => Some((session.0, 0)),
                _ => None,
            })
            .collect()
    }

    fn fill(outbox: &mut Outbox) {
        for _ in 0..OUTBOX_MESSAGES_SOFT {
            outbox.push(unbind(999));
        }
    }

    #[test]
    fn short_queue_keeps_every_point() {
        let mut outbox = Outbox::default();
        for counter in 1..=3 {
            assert!(outbox.push_point(point(7, counter)).is_none());
        }
        assert_eq!(drain(&mut outbox), [(7, 1), (7, 2), (7, 3)]);
    }

    #[test]
    fn long_queue_keeps_the_newest_point_of_each_session() {
        let mut outbox = Outbox::default();
        fill(&mut outbox);
        assert!(outbox.push_point(point(7, 1)).is_none());
        assert!(outbox.push_point(point(8, 1)).is_none());
        assert_eq!(outbox.push_point(point(7, 3)).unwrap().point.counter.0, 1);
        let late = outbox.push_point(point(7, 2)).unwrap();
        assert_eq!(late.point.counter.0, 2, "an older one does not replace it");
        let sent = drain(&mut outbox);
        assert_eq!(sent[OUTBOX_MESSAGES_SOFT..], [(7, 3), (8, 1)]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn durable_points_are_never_replaced() {
        let mut outbox = Outbox::default();
        fill(&mut outbox);
        for counter in 1..=2 {
            let mut promised = point(7, counter);
            promised.durable = true;
            assert!(outbox.push_point(promised).is_none());
        }
        assert_eq!(drain(&mut outbox)[OUTBOX_MESSAGES_SOFT..], [(7, 1), (7, 2)]);
    }

    #[test]
    fn a_request_does_not_overtake_a_held_point() {
        let mut outbox = Outbox::default();
        fill(&mut outbox);
        outbox.push_point(point(7, 5));
        outbox.push(unbind(7));
        assert_eq!(drain(&mut outbox)[OUTBOX_MESSAGES_SOFT..], [(7, 5), (7, 0)]);
    }
}
