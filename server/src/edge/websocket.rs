//! All WebSockets of a shard: bare sockets, watched for edges by the shard's poller.
//!
//! Batches leave one by one as they are offered, or, with a ring, gathered by [`Gathered`]: whoever
//! does anything but offer lets them leave first.
//!
//! The kernel's events only say whom to give a turn. Turns are taken in line, one share of bytes
//! each, so that nobody who talks a lot keeps the others waiting.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::Bytes;
use skein_engine::ids::ConnectionId;
use skein_wire::error::Code;
use skein_wire::ids::ChatHandle;
use skein_wire::request::Request;

use crate::access::Access;
use crate::edge::arrivals::{Arrivals, Upgraded};
use crate::edge::deadlines::Deadlines;
use crate::edge::event::Event;
use crate::edge::poller::{Poller, Ready, SocketReady};
use crate::edge::send_ring::SendRing;
use crate::edge::slots::{Slots, Transport};
use crate::edge::stats::TransportStats;
use crate::edge::websocket_connection::{Fate, Took, Turn, WebSocketConnection};
use crate::edge::websocket_gathered::Gathered;
use crate::edge::websocket_socket::Socket;
use crate::limits::{
    CONNECTIONS_PER_SHARD_MAX, EVENTS_PER_POLL_MAX, HELLOS_PER_POLL_MAX, WEBSOCKET_READ_BYTES_MAX,
};

/// All WebSockets of a shard.
#[derive(Debug)]
pub struct WebSockets {
    access: Arc<Access>,
    arrivals: Arrivals,
    connections: Slots<WebSocketConnection>,
    /// Those that may have something to read.
    line: VecDeque<ConnectionId>,
    deadlines: Deadlines,
    /// What happened outside of [`WebSockets::poll`].
    outbox: Vec<Event>,
    /// Batches that leave together.
    gathered: Gathered,
    /// Kept for its memory.
    scratch: Box<[u8]>,
    /// The same, of the requests of one message.
    requests: Vec<Request>,
    stats: TransportStats,
    now_ms: u64,
}

impl WebSockets {
    /// An empty set that takes what arrives, and sends by a ring if it is given one.
    pub fn new(
        access: Arc<Access>,
        arrivals: Arrivals,
        ring: Option<SendRing>,
        now_ms: u64,
    ) -> Self {
        Self {
            access,
            arrivals,
            connections: Slots::new(Transport::WebSocket),
            line: VecDeque::new(),
            deadlines: Deadlines::new(now_ms),
            outbox: Vec::new(),
            gathered: Gathered::new(ring),
            scratch: vec![0; WEBSOCKET_READ_BYTES_MAX].into(),
            requests: Vec::new(),
            stats: TransportStats::default(),
            now_ms,
        }
    }

    /// Takes what has happened, up to one share: what the poller was told last, and what has
    /// arrived, which it watches from here on.
    pub fn poll(&mut self, now_ms: u64, poller: &Poller, events: &mut Vec<Event>) {
        self.now_ms = now_ms;
        events.append(&mut self.outbox);
        for ready in poller.ready() {
            if let Ready::WebSocket(id, ready) = ready {
                self.handle_ready(id, ready, events);
            }
        }
        for _ in 0..EVENTS_PER_POLL_MAX {
            let Some(new) = self.arrivals.pop() else {
                break;
            };
            self.add(new, poller, events);
        }
        self.poll_line(events);
        self.poll_deadlines(events);
    }

    /// Whether [`WebSockets::poll`] would find something at once.
    pub fn has_input(&self) -> bool {
        !self.line.is_empty() || !self.outbox.is_empty() || self.arrivals.has_input()
    }

    /// When the next deadline may come, if there is one.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.next_ms()
    }

    /// Offers the bytes of a batch of a chat to one client. They leave with [`WebSockets::flush`] at
    /// the latest.
    pub fn offer(&mut self, id: ConnectionId, chat: ChatHandle, bytes: &Bytes) -> Took {
        if self.gathered.is_full() || self.is_gathered(id) {
            self.flush();
        }
        let took = self.act(id, None, |connection, turn| {
            let took = connection.offer(id, bytes, chat, turn);
            match took {
                Took::All => turn.stats.offers_sent += 1,
                Took::Nothing => turn.stats.offers_full += 1,
                Took::Gone => {}
            }
            (
                took,
                if took == Took::Gone {
                    Fate::Over
                } else {
                    Fate::Stays
                },
            )
        });
        took.unwrap_or(Took::Gone)
    }

    /// Sends a frame to one client, behind what waits for it. One that lets too much pile up is
    /// cut.
    pub fn send(&mut self, id: ConnectionId, frame: &[u8]) {
        self.with(id, None, |connection, turn| {
            let fate = connection.send(frame, turn);
            if fate == Fate::Over {
                turn.stats.cut += 1;
            }
            ((), fate)
        });
    }

    /// Discards a batch of this chat that waits. Cuts the connection if it is half written: the rest
    /// of it must not leave, and a WebSocket cannot take back what has begun.
    pub fn purge(&mut self, id: ConnectionId, chat: ChatHandle) {
        self.with(id, None, |connection, turn| {
            if connection.purge(chat) {
                return ((), Fate::Stays);
            }
            turn.stats.cut += 1;
            turn.stats.count_close(Code::MembershipRevoked);
            ((), Fate::Over)
        });
    }

    /// What was gathered leaves.
    pub fn flush(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let mut gathered = std::mem::take(&mut self.gathered);
        let connections = &self.connections;
        let socket = |id| {
            let connection = connections.get(id);
            connection.expect("nobody goes who is gathered").as_fd()
        };
        self.stats.offers_ring += gathered.send(socket) as u64;
        for (offer, outcome) in gathered.left() {
            match outcome {
                Ok(count) if count == offer.bytes.len() => self.stats.bytes_out += count as u64,
                outcome => {
                    self.act(offer.to, None, |connection, turn| {
                        ((), connection.handle_left(offer, outcome, turn))
                    });
                }
            }
        }
        gathered.begin();
        self.gathered = gathered;
    }

    /// Says goodbye to one client.
    pub fn close(&mut self, id: ConnectionId, code: Code, retry_after_ms: u32, text: &str) {
        self.with(id, None, |connection, turn| {
            ((), connection.close(id, code, retry_after_ms, text, turn))
        });
    }

    /// The numbers of all connections.
    pub fn ids(&self) -> Vec<ConnectionId> {
        self.connections.ids()
    }

    /// Connections in whatever state.
    pub fn count(&self) -> usize {
        self.connections.len()
    }

    /// Counters.
    pub fn stats(&self) -> TransportStats {
        TransportStats {
            connections: self.connections.len() as u64,
            ..self.stats.clone()
        }
    }

    /// Whether a batch of it is on its way already.
    fn is_gathered(&self, id: ConnectionId) -> bool {
        let (round, connection) = (self.gathered.round(), self.connections.get(id));
        round.is_some_and(|round| connection.is_some_and(|it| it.is_in(round)))
    }

    fn handle_ready(&mut self, id: ConnectionId, ready: SocketReady, events: &mut Vec<Event>) {
        if ready.writable {
            self.step(id, events, |connection, turn| {
                ((), connection.handle_writable(id, turn))
            });
        }
        if ready.ending
            && let Some(connection) = self.connections.get_mut(id)
        {
            connection.ending = true;
        }
        if ready.readable {
            self.stand_in_line(id);
        }
    }

    fn add(&mut self, new: Upgraded, poller: &Poller, events: &mut Vec<Event>) {
        if self.connections.len() >= CONNECTIONS_PER_SHARD_MAX {
            self.stats.shed += 1;
            return;
        }
        let Ok(socket) = Socket::new(new.stream, new.tls) else {
            self.stats.shed += 1;
            return;
        };
        self.stats.opened += 1;
        let connection = WebSocketConnection::new(socket, &new.early, self.now_ms);
        let id = self.connections.insert(connection);
        let connection = self.connections.get(id).expect("just inserted");
        if let Err(error) = poller.add_websocket(connection, id) {
            tracing::warn!(%error, "a socket cannot be watched; it is closed");
            self.connections.remove(id);
            return;
        }
        self.step(id, events, |_, _| ((), Fate::Stays));
        self.stand_in_line(id);
    }

    fn stand_in_line(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.readable = true;
            if !std::mem::replace(&mut connection.in_line, true) {
                self.line.push_back(id);
            }
        }
    }

    fn poll_line(&mut self, events: &mut Vec<Event>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut hellos_left = HELLOS_PER_POLL_MAX;
        for _ in 0..self.line.len() {
            if events.len() >= EVENTS_PER_POLL_MAX {
                break;
            }
            let Some(id) = self.line.pop_front() else {
                break;
            };
            let Some(connection) = self.connections.get_mut(id) else {
                continue;
            };
            if connection.is_greeting() && hellos_left == 0 {
                self.line.push_back(id);
                continue;
            }
            connection.in_line = false;
            hellos_left = self
                .step(id, events, |connection, turn| {
                    turn.hellos_left = hellos_left;
                    let fate = connection.handle_readable(id, &mut scratch, turn);
                    (turn.hellos_left, fate)
                })
                .unwrap_or(hellos_left);
            if self
                .connections
                .get(id)
                .is_some_and(|connection| connection.readable)
            {
                self.stand_in_line(id);
            }
        }
        self.scratch = scratch;
    }

    fn poll_deadlines(&mut self, events: &mut Vec<Event>) {
        for (id, mark) in self.deadlines.take(self.now_ms) {
            let now_ms = self.now_ms;
            self.step(id, events, |connection, turn| {
                if connection.armed != mark {
                    return ((), Fate::Stays);
                }
                connection.armed = Default::default();
                if connection.due_ms() > now_ms {
                    return ((), Fate::Stays);
                }
                ((), connection.handle_due(id, turn))
            });
        }
    }

    /// One connection does something inside of a poll.
    fn step<R>(
        &mut self,
        id: ConnectionId,
        events: &mut Vec<Event>,
        act: impl FnOnce(&mut WebSocketConnection, &mut Turn<'_>) -> (R, Fate),
    ) -> Option<R> {
        self.with(id, Some(events), act)
    }

    /// One connection does something, behind what was gathered.
    fn with<R>(
        &mut self,
        id: ConnectionId,
        events: Option<&mut Vec<Event>>,
        act: impl FnOnce(&mut WebSocketConnection, &mut Turn<'_>) -> (R, Fate),
    ) -> Option<R> {
        self.flush();
        self.act(id, events, act)
    }

    /// One connection does something; whatever it was, its deadline is looked after, and it is
    /// taken out when it is over. Without `events` what happens is told at the next poll.
    fn act<R>(
        &mut self,
        id: ConnectionId,
        events: Option<&mut Vec<Event>>,
        act: impl FnOnce(&mut WebSocketConnection, &mut Turn<'_>) -> (R, Fate),
    ) -> Option<R> {
        let connection = self.connections.get_mut(id)?;
        let mut turn = Turn {
            gathered: &mut self.gathered,
            access: &self.access,
            now_ms: self.now_ms,
            stats: &mut self.stats,
            events: events.unwrap_or(&mut self.outbox),
            hellos_left: 0,
            requests: &mut self.requests,
        };
        let (result, fate) = act(connection, &mut turn);
        match fate {
            Fate::Stays => {
                let due_ms = connection.due_ms();
                self.deadlines.arm(id, &mut connection.armed, due_ms);
            }
            Fate::Over => {
                connection.over(id, &mut turn);
                // Closing the descriptor takes it out of the epoll too.
                self.connections.remove(id);
            }
        }
        Some(result)
    }
}
