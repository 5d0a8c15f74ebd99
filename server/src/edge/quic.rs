//! All QUIC connections of a shard: one endpoint on the shard's own socket and runtime.
//!
//! Handshakes are dear, half a millisecond each, and a restart brings all clients at once: only
//! so many run at a time, addresses must prove themselves once there are several, and what is
//! beyond that is ignored, because a client that hears nothing comes again by itself.

use std::cell::Cell;
use std::net::UdpSocket;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connecting, Endpoint, Incoming, TokioRuntime};
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_wire::error::Code;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use crate::access::Access;
use crate::clock::Clock;
use crate::edge::error::EdgeError;
use crate::edge::event::Event;
use crate::edge::quic_config::QuicConfig;
use crate::edge::quic_connection::Offered;
use crate::edge::quic_shared::QuicShared;
use crate::edge::quic_tasks;
use crate::edge::stats::TransportStats;
use crate::edge::steering;
use crate::limits::{
    EVENTS_PER_POLL_MAX, QUIC_HANDSHAKE_DEADLINE_MS, QUIC_HANDSHAKES_MAX, QUIC_RETRY_FROM,
};

/// All QUIC connections of a shard.
#[derive(Debug)]
pub struct Quic {
    shared: Rc<QuicShared>,
    endpoint: Endpoint,
    accepting: JoinHandle<()>,
    /// The time of the last poll: the clock is read once a pass, not once an offer.
    now_ms: u64,
}

impl Quic {
    /// Begins to accept. Must be called inside the shard's runtime.
    ///
    /// # Errors
    /// When the system refuses the socket.
    pub fn new(
        config: &QuicConfig,
        socket: UdpSocket,
        shard: u16,
        shards: u16,
        access: Arc<Access>,
        clock: Clock,
    ) -> Result<Self, EdgeError> {
        let group = (shards > 1).then(|| socket.try_clone()).transpose()?;
        let endpoint = Endpoint::new(
            config.endpoint(shard, shards),
            Some(config.server()),
            socket,
            Arc::new(TokioRuntime),
        )?;
        if let Some(Err(error)) = group.as_ref().map(steering::keep_packets_apart) {
            tracing::warn!(%error, "connections behind one address may lose packets");
        }
        let shared = QuicShared::new(access, clock);
        let accepting = spawn_local(accept(Rc::clone(&shared), endpoint.clone()));
        Ok(Self {
            shared,
            endpoint,
            accepting,
            now_ms: clock.now_ms(),
        })
    }

    /// Takes what has happened, up to one share.
    pub fn poll(&mut self, now_ms: u64, events: &mut Vec<Event>) {
        self.now_ms = now_ms;
        for (id, code) in self.shared.overdue(now_ms) {
            match code {
                Some(code) => quic_tasks::close(&self.shared, id, code, 0, code.text()),
                None => quic_tasks::cut(&self.shared, id, Code::Deadline),
            }
        }
        self.shared
            .inbox
            .take(EVENTS_PER_POLL_MAX, |event| events.push(event));
    }

    /// Waits until [`Quic::poll`] may find something other than a deadline. A dropped wait loses
    /// nothing.
    pub async fn ready(&self) {
        self.shared.inbox.filled().await;
    }

    /// When the next deadline may come, if there is one.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.shared.next_deadline_ms()
    }

    /// Offers the frames of a batch to one viewer.
    pub fn offer(&mut self, id: ConnectionId, viewer: ViewerId, frames: Bytes) -> Offered {
        let now_ms = self.now_ms;
        let len = frames.len() as u64;
        let offered = self.shared.with(id, |connection, stats| {
            let offered = connection.offer(viewer, frames, now_ms);
            match offered {
                Offered::Datagram => stats.offers_datagram += 1,
                Offered::Streaming(_) => stats.offers_sent += 1,
                Offered::Full(_) => stats.offers_full += 1,
                Offered::Gone => {}
            }
            if matches!(offered, Offered::Datagram | Offered::Streaming(_)) {
                stats.bytes_out += len;
            }
            offered
        });
        let offered = offered.unwrap_or(Offered::Gone);
        match offered {
            Offered::Streaming(serial) => quic_tasks::drive_stream(&self.shared, id, serial),
            Offered::Full(Some(need)) => quic_tasks::wait_for(&self.shared, id, need),
            Offered::Datagram | Offered::Full(None) | Offered::Gone => {}
        }
        offered
    }

    /// Sends a small frame as a datagram, or not at all.
    pub fn offer_head(&mut self, id: ConnectionId, frame: &Bytes) {
        self.shared.with(id, |connection, stats| {
            if connection.offer_head(frame) {
                stats.bytes_out += frame.len() as u64;
            }
        });
    }

    /// Sends a frame on the control stream.
    pub fn send(&mut self, id: ConnectionId, frame: Bytes) {
        quic_tasks::send(&self.shared, id, frame);
    }

    /// Forgets what is on its way to a viewer that may not see it any more.
    pub fn purge(&mut self, id: ConnectionId, viewer: ViewerId) {
        self.shared
            .with(id, |connection, _| connection.purge(viewer));
    }

    /// Says goodbye to one client.
    pub fn close(&mut self, id: ConnectionId, code: Code, retry_after_ms: u32, text: &str) {
        quic_tasks::close(&self.shared, id, code, retry_after_ms, text);
    }

    /// Accepts nothing more; what is there goes on.
    pub fn stop_accepting(&mut self) {
        self.endpoint.set_server_config(None);
        self.accepting.abort();
    }

    /// Waits until the last packets of closed connections have left.
    pub async fn flushed(&self) {
        self.endpoint.wait_idle().await;
    }

    /// The numbers of all connections.
    pub fn ids(&self) -> Vec<ConnectionId> {
        self.shared.ids()
    }

    /// Connections in whatever state.
    pub fn count(&self) -> usize {
        self.shared.connections()
    }

    /// Counters.
    pub fn stats(&self) -> TransportStats {
        self.shared.stats()
    }
}

async fn accept(shared: Rc<QuicShared>, endpoint: Endpoint) {
    let handshakes = Rc::new(Cell::new(0));
    while let Some(incoming) = endpoint.accept().await {
        if handshakes.get() >= QUIC_HANDSHAKES_MAX || !shared.has_place() {
            shared.count(|stats| stats.shed += 1);
            incoming.ignore();
            continue;
        }
        if handshakes.get() >= QUIC_RETRY_FROM && incoming.may_retry() {
            // An error gives the connection back, which is dropped like any other we refuse.
            let _ = incoming.retry();
            continue;
        }
        begin(&shared, &handshakes, incoming);
    }
}

fn begin(shared: &Rc<QuicShared>, handshakes: &Rc<Cell<usize>>, incoming: Incoming) {
    let Ok(connecting) = incoming.accept() else {
        return;
    };
    handshakes.set(handshakes.get() + 1);
    let (shared, handshakes) = (Rc::clone(shared), Rc::clone(handshakes));
    spawn_local(async move {
        let link = handshake(connecting).await;
        handshakes.set(handshakes.get() - 1);
        if let Some(link) = link {
            let id = shared.add(link.clone());
            // A task of its own, so that the handshake's state is given back.
            spawn_local(quic_tasks::run(shared, id, link));
        }
    });
}

async fn handshake(connecting: Connecting) -> Option<quinn::Connection> {
    let deadline = Duration::from_millis(QUIC_HANDSHAKE_DEADLINE_MS);
    timeout(deadline, connecting).await.ok()?.ok()
}
