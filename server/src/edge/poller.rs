//! The one place where a shard waits: an epoll over its sockets, its waker and nothing else.
//!
//! WebSockets are registered once, edge-triggered in both directions, and never touched again.
//! The waker is watched for edges too, so that nobody has to read it. The UDP socket is watched
//! by level: what a bounded read leaves behind is told again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::Timespec;
use skein_engine::ids::ConnectionId;

use crate::edge::waker::ShardWaker;
use crate::limits::EPOLL_EVENTS_MAX;

/// Marks the waker's events; no connection has this number.
const WAKER: u64 = u64::MAX;
/// Marks the UDP socket's events; no connection has this number.
const QUIC: u64 = u64::MAX - 1;

/// The end of what a peer sends, or an error.
const ENDING: EventFlags = EventFlags::RDHUP
    .union(EventFlags::HUP)
    .union(EventFlags::ERR);

/// What the kernel has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Somebody woke the shard.
    Woken,
    /// Packets have come, or there is room for some.
    Quic,
    /// One WebSocket.
    WebSocket(ConnectionId, SocketReady),
}

/// What the kernel has told about one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketReady {
    /// It may have bytes for us.
    pub readable: bool,
    /// It may take bytes again.
    pub writable: bool,
    /// Its peer sends nothing more, or it has failed.
    pub ending: bool,
}

/// An epoll and what it has told last.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}

impl Poller {
    /// One that waits for `waker` only.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new(waker: &ShardWaker) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, waker, EventData::new_u64(WAKER), flags)?;
        Ok(Self {
            epoll,
            events: Vec::with_capacity(EPOLL_EVENTS_MAX),
        })
    }

    /// Watches a WebSocket until its descriptor is closed.
    ///
    /// # Errors
    /// When the system has no memory for it.
    pub fn add_websocket(&self, socket: impl AsFd, id: ConnectionId) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(
            &self.epoll,
            socket,
            EventData::new_u64(id.0),
            flags,
        )?)
    }

    /// Watches the UDP socket for packets.
    ///
    /// # Errors
    /// When the system has no memory for it.
    pub fn add_quic(&self, socket: impl AsFd) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            socket,
            EventData::new_u64(QUIC),
            EventFlags::IN,
        )?)
    }

    /// Watches the UDP socket for packets, and for room while some wait to leave.
    ///
    /// # Errors
    /// When it was not added.
    pub fn watch_quic(&self, socket: impl AsFd, for_room: bool) -> io::Result<()> {
        let room = match for_room {
            true => EventFlags::OUT,
            false => EventFlags::empty(),
        };
        Ok(epoll::modify(
            &self.epoll,
            socket,
            EventData::new_u64(QUIC),
            EventFlags::IN | room,
        )?)
    }

    /// Waits until something happens, at most `limit` (`None`: as long as it takes), rounded up
    /// to a millisecond. What it has told before is forgotten.
    pub fn wait(&mut self, limit: Option<Duration>) {
        self.events.clear();
        let limit = limit.map(|limit| Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            limit.as_ref(),
        ) {
            // A signal: the caller looks around and waits again.
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => tracing::error!(%error, "epoll_wait failed"),
        }
    }

    /// Whether the last wait was told nothing that has not been handled.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether the kernel may have more to tell at once.
    pub fn is_full(&self) -> bool {
        self.events.len() == EPOLL_EVENTS_MAX
    }

    /// What the last wait was told.
    pub fn ready(&self) -> impl Iterator<Item = Ready> {
        self.events.iter().map(|event| {
            // A packed struct: its fields are copied out before they are looked at.
            let flags = event.flags;
            match event.data.u64() {
                WAKER => Ready::Woken,
                QUIC => Ready::Quic,
                id => {
                    let ready = SocketReady {
                        readable: flags.intersects(EventFlags::IN | ENDING),
                        writable: flags.contains(EventFlags::OUT),
                        ending: flags.intersects(ENDING),
                    };
                    Ready::WebSocket(ConnectionId(id), ready)
                }
            }
        })
    }

    /// Forgets what the last wait was told: it has been handled.
    pub fn clear(&mut self) {
        self.events.clear();
    }
}
