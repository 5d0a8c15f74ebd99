//! What the pass of a shard and the tasks of its QUIC connections share: one thread's data.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use skein_engine::ids::ConnectionId;
use skein_wire::error::{Code, WireError};
use skein_wire::frame::decode_request;
use skein_wire::request::Request;

use crate::access::Access;
use crate::clock::Clock;
use crate::edge::deadlines::Deadlines;
use crate::edge::event::Event;
use crate::edge::greeting;
use crate::edge::handoff::Handoff;
use crate::edge::quic_connection::QuicConnection;
use crate::edge::slots::{Slots, Transport};
use crate::edge::stats::TransportStats;
use crate::limits::{CONNECTIONS_PER_SHARD_MAX, EVENTS_PER_POLL_MAX};

/// On what a frame came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The control stream: ordered, any frame.
    Control,
    /// A stream of its own or a datagram: points and heartbeats only.
    Side,
}

/// The QUIC connections of a shard.
#[derive(Debug)]
pub struct QuicShared {
    /// Verifies tokens.
    pub access: Arc<Access>,
    /// The time.
    pub clock: Clock,
    /// What the tasks bring for the pass.
    pub inbox: Handoff<Event>,
    table: RefCell<Table>,
}

#[derive(Debug)]
struct Table {
    connections: Slots<QuicConnection>,
    deadlines: Deadlines,
    stats: TransportStats,
}

impl QuicShared {
    /// No connections.
    pub fn new(access: Arc<Access>, clock: Clock) -> Rc<Self> {
        Rc::new(Self {
            access,
            clock,
            inbox: Handoff::new(EVENTS_PER_POLL_MAX),
            table: RefCell::new(Table {
                connections: Slots::new(Transport::Quic),
                deadlines: Deadlines::new(clock.now_ms()),
                stats: TransportStats::default(),
            }),
        })
    }

    /// Whether another connection may come.
    pub fn has_place(&self) -> bool {
        self.table.borrow().connections.len() < CONNECTIONS_PER_SHARD_MAX
    }

    /// Connections in whatever state.
    pub fn connections(&self) -> usize {
        self.table.borrow().connections.len()
    }

    /// The numbers of all connections.
    pub fn ids(&self) -> Vec<ConnectionId> {
        self.table.borrow().connections.ids()
    }

    /// Counters.
    pub fn stats(&self) -> TransportStats {
        let table = self.table.borrow();
        TransportStats {
            connections: table.connections.len() as u64,
            ..table.stats.clone()
        }
    }

    /// Changes the counters.
    pub fn count(&self, change: impl FnOnce(&mut TransportStats)) {
        change(&mut self.table.borrow_mut().stats);
    }

    /// Takes a connection in.
    pub fn add(&self, link: quinn::Connection) -> ConnectionId {
        let now_ms = self.clock.now_ms();
        let mut table = self.table.borrow_mut();
        table.stats.opened += 1;
        let id = table.connections.insert(QuicConnection::new(link, now_ms));
        drop(table);
        self.with(id, |_, _| ());
        id
    }

    /// Takes a connection out; says so to the shard if it was greeted and not parted with yet.
    pub fn remove(&self, id: ConnectionId) {
        let gone = self.table.borrow_mut().connections.remove(id);
        if gone.is_some_and(|connection| connection.present) {
            self.inbox.put(Event::Disconnected { connection: id });
        }
    }

    /// Does something with a connection, and looks after its deadline.
    pub fn with<R>(
        &self,
        id: ConnectionId,
        act: impl FnOnce(&mut QuicConnection, &mut TransportStats) -> R,
    ) -> Option<R> {
        let table = &mut *self.table.borrow_mut();
        let connection = table.connections.get_mut(id)?;
        let result = act(connection, &mut table.stats);
        let due_ms = connection.due_ms();
        table.deadlines.arm(id, &mut connection.armed, due_ms);
        Some(result)
    }

    /// The connections whose deadline has come, and with which code to close them.
    pub fn overdue(&self, now_ms: u64) -> Vec<(ConnectionId, Option<Code>)> {
        let mut overdue = Vec::new();
        let due = self.table.borrow_mut().deadlines.take(now_ms);
        for (id, mark) in due {
            self.with(id, |connection, _| {
                if connection.armed == mark {
                    connection.armed = Default::default();
                    if connection.due_ms() <= now_ms {
                        overdue.push((id, connection.overdue(now_ms)));
                    }
                }
            });
        }
        overdue
    }

    /// When [`QuicShared::overdue`] may find something next.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.table.borrow().deadlines.next_ms()
    }

    /// Takes one frame of a client. What the edge answers itself is returned.
    ///
    /// # Errors
    /// Whatever is wrong with it: the connection is to be closed.
    pub fn take_frame(
        &self,
        id: ConnectionId,
        frame: &[u8],
        lane: Lane,
    ) -> Result<Option<bytes::Bytes>, WireError> {
        let greeted = self.with(id, |connection, stats| {
            stats.frames_in += 1;
            (!connection.is_closing()).then_some(connection.present)
        });
        let Some(Some(mut greeted)) = greeted else {
            return Ok(None);
        };
        let Some(request) = decode_request(frame)? else {
            return Ok(None);
        };
        if lane == Lane::Side && !is_point(&request) {
            return Err(WireError::new(
                Code::OutOfOrder,
                "only points and heartbeats may leave the control stream",
            ));
        }
        let before = greeted;
        let now_ms = self.clock.now_ms();
        let taken = greeting::take(&self.access, now_ms, &mut greeted, id, request)?;
        if greeted && !before {
            self.with(id, |connection, stats| {
                stats.greeted += 1;
                connection.open();
            });
        }
        if let Some(event) = taken.event {
            self.inbox.put(event);
        }
        Ok(taken.answer)
    }
}

fn is_point(request: &Request) -> bool {
    matches!(
        request,
        Request::Point(_) | Request::Points(_) | Request::Heartbeat(_)
    )
}
