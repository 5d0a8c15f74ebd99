//! The edge of one shard: all its sockets behind one type, on the shard's own thread.
//!
//! The shard asks [`Edge::ready`] whether something may have happened, takes it with
//! [`Edge::poll_events`], and hands out frames and batches. Which transport a connection uses
//! does not matter to it, except through what an offer answers.

use std::future::{pending, poll_fn};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_wire::error::Code;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::access::Access;
use crate::clock::Clock;
use crate::edge::bind::ShardSockets;
use crate::edge::bridge::HttpBridge;
use crate::edge::error::EdgeError;
use crate::edge::event::Event;
use crate::edge::handoff::Handoff;
use crate::edge::http_listener::{self, HttpStage};
use crate::edge::origins::Origins;
use crate::edge::quic::Quic;
use crate::edge::quic_config::QuicConfig;
use crate::edge::quic_keys::QuicKeys;
use crate::edge::slots::{Transport, transport_of};
use crate::edge::stats::{EdgeStats, TransportStats};
use crate::edge::tls::Tls;
use crate::edge::websocket::{WebSockets, watch};
use crate::edge::websocket_connection::Took;
use crate::limits::HTTP_CONNECTIONS_MAX;

/// What the edges of all shards share. Made once, cloned for each shard.
#[derive(Clone, Debug)]
pub struct EdgeConfig {
    /// Verifies tokens.
    pub access: Arc<Access>,
    /// The server's clock.
    pub clock: Clock,
    /// Pages from elsewhere that may open a WebSocket.
    pub origins: Origins,
    /// The way to the HTTP service.
    pub http: HttpBridge,
    /// TLS, needed where `https` or QUIC is served.
    pub tls: Option<Tls>,
    /// QUIC, where it is served; made once, so that all shards know each other's tokens.
    pub quic: Option<QuicConfig>,
    /// How many shards there are.
    pub shards: u16,
}

impl EdgeConfig {
    /// Adds TLS and QUIC.
    pub fn with_tls(mut self, tls: Tls, keys: QuicKeys) -> Self {
        self.quic = Some(QuicConfig::new(&tls, keys));
        self.tls = Some(tls);
        self
    }
}

/// QUIC and what its socket is watched with.
#[derive(Debug)]
struct WatchedQuic {
    quic: Quic,
    socket: AsyncFd<OwnedFd>,
}

/// The edge of one shard.
#[derive(Debug)]
pub struct Edge {
    clock: Clock,
    websockets: WebSockets,
    quic: Option<WatchedQuic>,
    http: Rc<HttpStage>,
    listeners: Vec<JoinHandle<()>>,
    turn: bool,
}

impl Edge {
    /// Begins to accept on the sockets of shard number `shard`. Must be called inside the shard's
    /// local runtime, whose tasks the edge uses.
    ///
    /// # Errors
    /// When the system refuses a socket, or TLS is missing for one that needs it.
    pub fn new(config: &EdgeConfig, shard: u16, sockets: ShardSockets) -> Result<Self, EdgeError> {
        let upgraded = Rc::new(Handoff::new(HTTP_CONNECTIONS_MAX));
        let websockets = WebSockets::new(
            Arc::clone(&config.access),
            Rc::clone(&upgraded),
            config.clock.now_ms(),
        )?;
        let http = HttpStage::new(config.http.clone(), config.origins.clone(), upgraded);
        let mut edge = Self {
            clock: config.clock,
            websockets,
            quic: None,
            http: Rc::new(http),
            listeners: Vec::new(),
            turn: false,
        };
        if let Some(listener) = sockets.http {
            edge.listen(listener, None)?;
        }
        if let Some(listener) = sockets.https {
            let tls = config.tls.as_ref().ok_or_else(no_certificate)?;
            edge.listen(listener, Some(Arc::clone(&tls.tcp)))?;
        }
        if let Some(socket) = sockets.quic {
            let quic = config.quic.as_ref().ok_or_else(no_certificate)?;
            let access = Arc::clone(&config.access);
            let quic = Quic::new(quic, socket, shard, config.shards, access, config.clock)?;
            let socket = quic.as_fd().try_clone_to_owned()?;
            let socket = watch(socket, Interest::READABLE | Interest::WRITABLE)?;
            edge.quic = Some(WatchedQuic { quic, socket });
        }
        Ok(edge)
    }

    /// Takes what has happened since the last call, up to one share for each transport, which
    /// take turns in going first. Never waits.
    pub fn poll_events(&mut self, events: &mut Vec<Event>) {
        let now_ms = self.clock.now_ms();
        self.turn = !self.turn;
        if self.turn {
            self.websockets.poll(now_ms, events);
        }
        if let Some(watched) = &mut self.quic {
            watched.quic.poll(now_ms, events);
        }
        if !self.turn {
            self.websockets.poll(now_ms, events);
        }
    }

    /// Ends a pass: what the transports have gathered leaves.
    pub fn flush(&mut self) {
        if let Some(watched) = &mut self.quic {
            watched.quic.flush();
        }
    }

    /// Waits until [`Edge::poll_events`] may find something. A dropped wait loses nothing.
    ///
    /// The shard's other tasks, handshakes of TLS among them, run meanwhile, at least once even when there
    /// is something at once: a flood on one transport does not starve the other.
    pub async fn ready(&mut self) {
        let mut waited = false;
        let mut something = pin!(self.something());
        poll_fn(|cx| {
            let polled = something.as_mut().poll(cx);
            waited |= polled.is_pending();
            polled
        })
        .await;
        if !waited {
            tokio::task::yield_now().await;
        }
    }

    /// Sends a whole frame to one client, in order, behind what waits for it. A client that lets
    /// too much pile up is cut.
    pub fn send(&mut self, connection: ConnectionId, frame: Bytes) {
        match self.transport(connection) {
            Some(Lane::WebSocket(websockets)) => websockets.send(connection, &frame),
            Some(Lane::Quic(quic)) => quic.send(connection, frame),
            None => {}
        }
    }

    /// Makes sure that nothing more of what is on its way to this viewer leaves the server.
    ///
    /// A WebSocket with a batch of this viewer half written is cut; its client comes back with
    /// its cursors. On QUIC the viewer's stream is reset and a waiting datagram discarded.
    pub fn purge(&mut self, connection: ConnectionId, viewer: ViewerId) {
        match self.transport(connection) {
            Some(Lane::WebSocket(websockets)) => websockets.purge(connection, viewer),
            Some(Lane::Quic(quic)) => quic.purge(connection, viewer),
            None => {}
        }
    }

    /// Says goodbye to one client; [`Event::Disconnected`] follows, and nothing else of it.
    pub fn close(&mut self, connection: ConnectionId, code: Code, retry_after_ms: u32, text: &str) {
        match self.transport(connection) {
            Some(Lane::WebSocket(websockets)) => {
                websockets.close(connection, code, retry_after_ms, text);
            }
            Some(Lane::Quic(quic)) => quic.close(connection, code, retry_after_ms, text),
            None => {}
        }
    }

    /// Accepts nothing more and says goodbye to everybody. Each is told another moment to come
    /// back, between `retry_after_ms` and twice that, so that they do not all come at once.
    pub fn shutdown(&mut self, retry_after_ms: u32) {
        for listener in self.listeners.drain(..) {
            listener.abort();
        }
        let mut ids = self.websockets.ids();
        if let Some(WatchedQuic { quic, .. }) = &mut self.quic {
            quic.stop_accepting();
            ids.extend(quic.ids());
        }
        for id in ids {
            let spread = jitter(id, retry_after_ms);
            let retry_after_ms = retry_after_ms.saturating_add(spread);
            self.close(id, Code::GoingAway, retry_after_ms, Code::GoingAway.text());
        }
    }

    /// After [`Edge::shutdown`]: waits, at most `deadline`, until the goodbyes have left.
    pub async fn drain(&mut self, deadline: Duration) {
        let drained = tokio::time::timeout(deadline, async {
            let mut events = Vec::new();
            self.flush();
            while self.connections() > 0 || !self.is_idle() {
                self.ready().await;
                self.poll_events(&mut events);
                events.clear();
                self.flush();
            }
        });
        if drained.await.is_err() {
            tracing::info!(
                left = self.connections(),
                "some clients did not hear the goodbye"
            );
        }
    }

    /// Connections in whatever state.
    pub fn connections(&self) -> usize {
        let quic = self.quic.as_ref().map_or(0, |watched| watched.quic.count());
        self.websockets.count() + quic
    }

    /// Counters.
    pub fn stats(&self) -> EdgeStats {
        let mut stats = EdgeStats {
            websocket: self.websockets.stats(),
            quic: self.quic.as_ref().map(stats_of).unwrap_or_default(),
            ..EdgeStats::default()
        };
        self.http.add_stats(&mut stats);
        stats
    }

    async fn something(&self) {
        tokio::select! {
            () = self.websockets.ready() => {}
            () = ready_quic(self.quic.as_ref()) => {}
            () = sleep_until(self.clock, self.websockets.next_deadline_ms()) => {}
        }
    }

    /// Whether the last packets of closed connections have left.
    fn is_idle(&self) -> bool {
        let quic = self.quic.as_ref();
        quic.is_none_or(|watched| watched.quic.is_idle())
    }

    fn listen(
        &mut self,
        listener: std::net::TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Result<(), EdgeError> {
        let listener = TcpListener::from_std(listener)?;
        let task = http_listener::listen(Rc::clone(&self.http), listener, tls);
        self.listeners.push(task);
        Ok(())
    }

    fn transport(&mut self, connection: ConnectionId) -> Option<Lane<'_>> {
        match transport_of(connection) {
            Transport::WebSocket => Some(Lane::WebSocket(&mut self.websockets)),
            Transport::Quic => {
                let watched = self.quic.as_mut()?;
                Some(Lane::Quic(&mut watched.quic))
            }
        }
    }
}

impl Sink for Edge {
    fn offer(&mut self, connection: ConnectionId, viewer: ViewerId, batch: &SharedBatch) -> Offer {
        match self.transport(connection) {
            Some(Lane::WebSocket(websockets)) => {
                match websockets.offer(connection, viewer, batch.websocket()) {
                    Took::All => Offer::Sent,
                    Took::Nothing => Offer::Full,
                    Took::Gone => Offer::Gone,
                }
            }
            Some(Lane::Quic(quic)) => quic.offer(connection, viewer, batch.frames()),
            None => Offer::Gone,
        }
    }

    fn offer_head(&mut self, connection: ConnectionId, frame: &Bytes) {
        // A WebSocket loses nothing, so its viewers need no reminder.
        if let Some(Lane::Quic(quic)) = self.transport(connection) {
            quic.offer_head(connection, frame);
        }
    }
}

enum Lane<'a> {
    WebSocket(&'a mut WebSockets),
    Quic(&'a mut Quic),
}

fn stats_of(watched: &WatchedQuic) -> TransportStats {
    watched.quic.stats()
}

async fn ready_quic(watched: Option<&WatchedQuic>) {
    let Some(WatchedQuic { quic, socket }) = watched else {
        return pending().await;
    };
    if quic.has_more() {
        return;
    }
    tokio::select! {
        () = await_socket(socket, Interest::READABLE) => {}
        () = await_socket(socket, Interest::WRITABLE), if quic.wants_writable() => {}
        () = sleep_till(quic.next_due()) => {}
    }
}

async fn await_socket(socket: &AsyncFd<OwnedFd>, interest: Interest) {
    match socket.ready(interest).await {
        // Cleared before the packets are taken: what comes in between is an edge again.
        Ok(mut guard) => guard.clear_ready(),
        Err(error) => tracing::error!(%error, "the runtime is gone"),
    }
}

async fn sleep_till(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

async fn sleep_until(clock: Clock, at_ms: Option<u64>) {
    match at_ms {
        Some(at_ms) => {
            let wait_ms = at_ms.saturating_sub(clock.now_ms());
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
        None => pending().await,
    }
}

/// Spreads clients over the time from 0 to `width_ms`, evenly and without a random number each.
fn jitter(id: ConnectionId, width_ms: u32) -> u32 {
    // Fibonacci hashing: consecutive numbers land far apart.
    let hash = id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    ((hash * (u64::from(width_ms) + 1)) >> 32) as u32
}

fn no_certificate() -> EdgeError {
    EdgeError::Io(std::io::Error::other(
        "TLS and QUIC need a certificate; name cert and key files, or start with --dev",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_sent_away_to_come_back_spread_out() {
        let width = 1_000;
        let mut tenths = [0; 10];
        for id in 0..1_000 {
            let spread = jitter(ConnectionId(1 << 32 | id), width);
            assert!(spread <= width);
            tenths[(spread / 101) as usize] += 1;
        }
        assert!(
            tenths.iter().all(|&count| (80..=120).contains(&count)),
            "{tenths:?}"
        );
    }
}
