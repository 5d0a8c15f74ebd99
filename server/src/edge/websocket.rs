//! All WebSockets of a shard: bare sockets behind one edge-triggered epoll.
//!
//! The runtime sees one descriptor, the epoll's own, whatever the number of viewers. A socket is
//! registered once, for both directions, and never touched again; the kernel's events only say
//! whom to give a turn. Turns are taken in line, one share of bytes each, so that nobody who
//! talks a lot keeps the others waiting.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use rustix::event::epoll;
use rustix::time::Timespec;
use rustls::ServerConnection;
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_wire::error::Code;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::access::Access;
use crate::edge::deadlines::Deadlines;
use crate::edge::event::Event;
use crate::edge::handoff::Handoff;
use crate::edge::slots::{Slots, Transport};
use crate::edge::stats::TransportStats;
use crate::edge::websocket_connection::{Fate, Took, Turn, WebSocketConnection};
use crate::edge::websocket_socket::Socket;
use crate::limits::{
    CONNECTIONS_PER_SHARD_MAX, EVENTS_PER_POLL_MAX, HELLOS_PER_POLL_MAX,
    WEBSOCKET_EPOLL_EVENTS_MAX, WEBSOCKET_READ_BYTES_MAX,
};

/// A socket that the HTTP library has upgraded and given back.
#[derive(Debug)]
pub struct Upgraded {
    /// The socket.
    pub stream: TcpStream,
    /// Its TLS state, unless plain.
    pub tls: Option<Box<ServerConnection>>,
    /// What came right behind the request.
    pub early: Bytes,
}

/// A buffer for the kernel's events.
struct KernelEvents(Vec<epoll::Event>);

impl std::fmt::Debug for KernelEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KernelEvents(..)")
    }
}

/// All WebSockets of a shard.
#[derive(Debug)]
pub struct WebSockets {
    access: Arc<Access>,
    upgraded: Rc<Handoff<Upgraded>>,
    epoll: AsyncFd<OwnedFd>,
    /// The kernel may have events that we have not taken.
    more: Cell<bool>,
    connections: Slots<WebSocketConnection>,
    /// Those that may have something to read.
    line: VecDeque<ConnectionId>,
    deadlines: Deadlines,
    /// What happened outside of [`WebSockets::poll`].
    outbox: Vec<Event>,
    /// Kept for their memory.
    kernel_events: KernelEvents,
    scratch: Box<[u8]>,
    stats: TransportStats,
    now_ms: u64,
}

impl WebSockets {
    /// An empty set. Must be made inside the shard's runtime.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new(
        access: Arc<Access>,
        upgraded: Rc<Handoff<Upgraded>>,
        now_ms: u64,
    ) -> io::Result<Self> {
        let epoll = watch(
            epoll::create(epoll::CreateFlags::CLOEXEC)?,
            Interest::READABLE,
        )?;
        Ok(Self {
            access,
            upgraded,
            epoll,
            more: Cell::new(false),
            connections: Slots::new(Transport::WebSocket),
            line: VecDeque::new(),
            deadlines: Deadlines::new(now_ms),
            outbox: Vec::new(),
            kernel_events: KernelEvents(Vec::with_capacity(WEBSOCKET_EPOLL_EVENTS_MAX)),
            scratch: vec![0; WEBSOCKET_READ_BYTES_MAX].into(),
            stats: TransportStats::default(),
            now_ms,
        })
    }

    /// Takes what has happened, up to one share.
    pub fn poll(&mut self, now_ms: u64, events: &mut Vec<Event>) {
        self.now_ms = now_ms;
        events.append(&mut self.outbox);
        let upgraded = Rc::clone(&self.upgraded);
        upgraded.take(EVENTS_PER_POLL_MAX, |new| self.add(new, events));
        self.poll_kernel(events);
        self.poll_line(events);
        self.poll_deadlines(events);
    }

    /// Waits until [`WebSockets::poll`] may find something other than a deadline. A dropped wait
    /// loses nothing.
    pub async fn ready(&self) {
        if self.more.get() || !self.line.is_empty() || !self.outbox.is_empty() {
            return;
        }
        tokio::select! {
            () = self.upgraded.filled() => {}
            guard = self.epoll.readable() => match guard {
                // Cleared before the events are taken: what comes in between is an edge again.
                Ok(mut guard) => {
                    guard.clear_ready();
                    self.more.set(true);
                }
                Err(error) => tracing::error!(%error, "the runtime is gone"),
            }
        }
    }

    /// When the next deadline may come, if there is one.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.next_ms()
    }

    /// Offers the bytes of a batch to one viewer.
    pub fn offer(&mut self, id: ConnectionId, viewer: ViewerId, bytes: &Bytes) -> Took {
        let took = self.with(id, None, |connection, turn| {
            let took = connection.offer(bytes, viewer, turn);
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

    /// Cuts the connection if a batch of this viewer is half written: the rest of it must not
    /// leave, and a WebSocket cannot take back what has begun.
    pub fn purge(&mut self, id: ConnectionId, viewer: ViewerId) {
        self.with(id, None, |connection, turn| {
            if !connection.is_half_written(viewer) {
                return ((), Fate::Stays);
            }
            turn.stats.cut += 1;
            turn.stats.count_close(Code::MembershipRevoked);
            ((), Fate::Over)
        });
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

    fn add(&mut self, new: Upgraded, events: &mut Vec<Event>) {
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
        let flags = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        let data = epoll::EventData::new_u64(id.0);
        if let Err(error) = epoll::add(self.epoll.get_ref(), connection, data, flags) {
            tracing::warn!(%error, "a socket cannot be watched; it is closed");
            self.connections.remove(id);
            return;
        }
        self.step(id, events, |_, _| ((), Fate::Stays));
        self.stand_in_line(id);
    }

    fn poll_kernel(&mut self, events: &mut Vec<Event>) {
        let mut kernel_events = std::mem::take(&mut self.kernel_events.0);
        kernel_events.clear();
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let spare = rustix::buffer::spare_capacity(&mut kernel_events);
        match epoll::wait(self.epoll.get_ref(), spare, Some(&now)) {
            Ok(count) => self.more.set(count == WEBSOCKET_EPOLL_EVENTS_MAX),
            Err(rustix::io::Errno::INTR) => self.more.set(true),
            Err(error) => tracing::error!(%error, "epoll_wait failed"),
        }
        let ending = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        let readable = epoll::EventFlags::IN | ending;
        for event in &kernel_events {
            let id = ConnectionId(event.data.u64());
            let flags = event.flags;
            if flags.contains(epoll::EventFlags::OUT) {
                self.step(id, events, |connection, turn| {
                    ((), connection.handle_writable(id, turn))
                });
            }
            if flags.intersects(ending)
                && let Some(connection) = self.connections.get_mut(id)
            {
                connection.ending = true;
            }
            if flags.intersects(readable) {
                self.stand_in_line(id);
            }
        }
        self.kernel_events.0 = kernel_events;
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

    /// One connection does something; whatever it was, its deadline is looked after, and it is
    /// taken out when it is over. Without `events` what happens is told at the next poll.
    fn with<R>(
        &mut self,
        id: ConnectionId,
        events: Option<&mut Vec<Event>>,
        act: impl FnOnce(&mut WebSocketConnection, &mut Turn<'_>) -> (R, Fate),
    ) -> Option<R> {
        let connection = self.connections.get_mut(id)?;
        let mut turn = Turn {
            access: &self.access,
            now_ms: self.now_ms,
            stats: &mut self.stats,
            events: events.unwrap_or(&mut self.outbox),
            hellos_left: 0,
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

/// Lets the runtime wait for a descriptor.
///
/// The constructor's successor is `unsafe` because of types that may change their descriptor;
/// `OwnedFd` keeps one open descriptor as long as it lives, so the old one does no harm here.
#[expect(
    deprecated,
    reason = "sound for OwnedFd, and spares this file an unsafe block"
)]
pub fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, interest)
}
