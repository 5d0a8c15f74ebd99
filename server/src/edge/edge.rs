//! The edge of one shard: all its sockets behind one type, on the shard's own thread.
//!
//! The shard sleeps in [`Edge::wait`], takes what has happened with [`Edge::poll_events`], hands
//! out frames and batches, and ends its pass with [`Edge::flush`]. Which transport a connection
//! uses does not matter to it, except through what an offer answers.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_wire::error::Code;
use skein_wire::ids::ChatHandle;

use crate::access::Access;
use crate::clock::Clock;
use crate::config::websocket_sends::WebSocketSends;
use crate::edge::arrivals::Arrivals;
use crate::edge::error::EdgeError;
use crate::edge::event::Event;
use crate::edge::http_listener::HttpCounters;
use crate::edge::origins::Origins;
use crate::edge::poller::{Poller, Ready};
use crate::edge::quic::Quic;
use crate::edge::quic_config::QuicConfig;
use crate::edge::quic_keys::QuicKeys;
use crate::edge::send_ring::SendRing;
use crate::edge::slots::{Transport, transport_of};
use crate::edge::stats::EdgeStats;
use crate::edge::tls::Tls;
use crate::edge::waker::ShardWaker;
use crate::edge::websocket::WebSockets;
use crate::edge::websocket_connection::Took;

/// What the edges of all shards share. Made once, cloned for each shard.
#[derive(Clone, Debug)]
pub struct EdgeConfig {
    /// Verifies tokens.
    pub access: Arc<Access>,
    /// The server's clock.
    pub clock: Clock,
    /// QUIC, where it is served; made once, so that all shards know each other's tokens.
    pub quic: Option<QuicConfig>,
    /// How many shards there are.
    pub shards: u16,
    /// How batches get onto WebSockets.
    pub websocket_sends: WebSocketSends,
}

impl EdgeConfig {
    /// Adds QUIC, and over it WebTransport for the pages of `origins`.
    pub fn with_quic(mut self, tls: &Tls, keys: QuicKeys, origins: Origins) -> Self {
        self.quic = Some(QuicConfig::new(tls, keys, origins));
        self
    }
}

/// From where the edge of one shard gets its clients.
#[derive(Debug)]
pub struct Sources {
    /// The shard's own UDP socket, where QUIC is served.
    pub quic: Option<UdpSocket>,
    /// WebSockets that the HTTP stage has upgraded.
    pub arrivals: Arrivals,
    /// What the HTTP stage counts for this shard.
    pub http: Arc<HttpCounters>,
}

/// The edge of one shard.
#[derive(Debug)]
pub struct Edge {
    clock: Clock,
    poller: Poller,
    websockets: WebSockets,
    quic: Option<Quic>,
    /// The UDP socket was full: the poller watches for room as well.
    quic_awaits_room: bool,
    http: Arc<HttpCounters>,
    /// The kernel has more to tell than it did.
    more: bool,
    turn: bool,
}

impl Edge {
    /// The edge of shard number `shard`, which `waker` wakes.
    ///
    /// # Errors
    /// When the system refuses a socket, or TLS is missing for one that needs it.
    pub fn new(
        config: &EdgeConfig,
        shard: u16,
        sources: Sources,
        waker: &ShardWaker,
    ) -> Result<Self, EdgeError> {
        let Sources {
            quic,
            arrivals,
            http,
        } = sources;
        let poller = Poller::new(waker)?;
        let ring = ring(config.websocket_sends, SendRing::new)?;
        tracing::info!(
            shard,
            io_uring = ring.is_some(),
            "how batches leave on WebSockets"
        );
        let access = || Arc::clone(&config.access);
        let quic = match quic {
            Some(socket) => {
                let served = config.quic.as_ref().ok_or_else(no_certificate)?;
                poller.add_quic(&socket)?;
                let shards = config.shards;
                Some(Quic::new(
                    served,
                    socket,
                    shard,
                    shards,
                    access(),
                    config.clock,
                )?)
            }
            None => None,
        };
        Ok(Self {
            clock: config.clock,
            poller,
            websockets: WebSockets::new(access(), arrivals, ring, config.clock.now_ms()),
            quic,
            quic_awaits_room: false,
            http,
            more: false,
            turn: false,
        })
    }

    /// Waits until [`Edge::poll_events`] may find something, at most `limit` (`None`: as long as
    /// it takes), or until somebody wakes the shard.
    pub fn wait(&mut self, limit: Option<Duration>) {
        let limit = match self.has_input() {
            true => Some(Duration::ZERO),
            false => [limit, self.until_due()].into_iter().flatten().min(),
        };
        self.poller.wait(limit);
    }

    /// Takes what has happened since the last call, up to one share for each transport, which
    /// take turns in going first. Never waits.
    pub fn poll_events(&mut self, events: &mut Vec<Event>) {
        let now_ms = self.clock.now_ms();
        self.more = self.poller.is_full();
        self.turn = !self.turn;
        let packets = self.poller.ready().any(|ready| ready == Ready::Quic);
        if self.turn {
            self.websockets.poll(now_ms, &self.poller, events);
        }
        if let Some(quic) = &mut self.quic {
            quic.poll(now_ms, packets, events);
        }
        if !self.turn {
            self.websockets.poll(now_ms, &self.poller, events);
        }
        self.poller.clear();
    }

    /// Ends a pass: what the transports have gathered leaves.
    pub fn flush(&mut self) {
        self.websockets.flush();
        let Some(quic) = &mut self.quic else {
            return;
        };
        quic.flush();
        let awaits_room = quic.wants_writable();
        if awaits_room != self.quic_awaits_room {
            self.quic_awaits_room = awaits_room;
            if let Err(error) = self.poller.watch_quic(&*quic, awaits_room) {
                tracing::error!(%error, "the UDP socket cannot be watched");
            }
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

    /// Makes sure that nothing more of a chat that is on its way to this client leaves the server, of watches
    /// that it has replaced neither.
    ///
    /// A WebSocket with a batch of the chat half written is cut; its client comes back with its cursors. On
    /// QUIC the chat's streams are reset and a waiting datagram discarded.
    pub fn purge(&mut self, connection: ConnectionId, chat: ChatHandle) {
        match self.transport(connection) {
            Some(Lane::WebSocket(websockets)) => websockets.purge(connection, chat),
            Some(Lane::Quic(quic)) => quic.purge(connection, chat),
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
    /// back, between `retry_after_ms` and twice that, so that they do not all come at once. `linger`: how
    /// long [`Edge::drain`] is going to wait.
    pub fn shutdown(&mut self, retry_after_ms: u32, linger: Duration) {
        let mut ids = self.websockets.ids();
        if let Some(quic) = &mut self.quic {
            quic.stop_accepting(linger);
            ids.extend(quic.ids());
        }
        for id in ids {
            let spread = jitter(id, retry_after_ms);
            let retry_after_ms = retry_after_ms.saturating_add(spread);
            self.close(id, Code::GoingAway, retry_after_ms, Code::GoingAway.text());
        }
    }

    /// After [`Edge::shutdown`]: waits, at most `deadline`, until the goodbyes have been heard. Who
    /// has not heard it by then is cut, and so need not wait for an idle timeout.
    pub fn drain(&mut self, deadline: Duration) {
        let end = Instant::now() + deadline;
        let mut events = Vec::new();
        loop {
            self.flush();
            let is_idle = self.quic.as_ref().is_none_or(Quic::is_idle);
            let left = end.saturating_duration_since(Instant::now());
            if self.connections() == 0 && is_idle {
                return;
            }
            if left.is_zero() {
                break;
            }
            self.wait(Some(left));
            self.poll_events(&mut events);
            events.clear();
        }
        tracing::info!(
            left = self.connections(),
            "some clients did not hear the goodbye"
        );
        // The system ends a TCP connection with its process; nobody ends one of QUIC.
        if let Some(quic) = &mut self.quic {
            quic.cut_all(Code::GoingAway);
            self.flush();
        }
    }

    /// Connections in whatever state.
    pub fn connections(&self) -> usize {
        self.websockets.count() + self.quic.as_ref().map_or(0, Quic::count)
    }

    /// Counters.
    pub fn stats(&self) -> EdgeStats {
        let quic = self.quic.as_ref().map(Quic::stats).unwrap_or_default();
        let mut stats = EdgeStats {
            websocket: self.websockets.stats(),
            quic: quic.bare,
            webtransport: quic.web,
            ..EdgeStats::default()
        };
        self.http.add_to(&mut stats);
        stats
    }

    /// Whether [`Edge::poll_events`] would find something at once.
    pub fn has_input(&self) -> bool {
        self.more
            || !self.poller.is_empty()
            || self.websockets.has_input()
            || self.quic.as_ref().is_some_and(Quic::has_more)
    }

    fn transport(&mut self, connection: ConnectionId) -> Option<Lane<'_>> {
        match transport_of(connection) {
            Transport::WebSocket => Some(Lane::WebSocket(&mut self.websockets)),
            Transport::Quic => self.quic.as_mut().map(Lane::Quic),
        }
    }

    /// How long until a transport has something to do by itself.
    pub fn until_due(&self) -> Option<Duration> {
        let websockets = self.websockets.next_deadline_ms().map(|at_ms| {
            let wait_ms = at_ms.saturating_sub(self.clock.now_ms());
            Duration::from_millis(wait_ms)
        });
        let quic = self.quic.as_ref().and_then(Quic::next_due);
        let quic = quic.map(|at| at.saturating_duration_since(Instant::now()));
        [websockets, quic].into_iter().flatten().min()
    }
}

impl Sink for Edge {
    fn offer(&mut self, connection: ConnectionId, viewer: ViewerId, batch: &SharedBatch) -> Offer {
        match self.transport(connection) {
            Some(Lane::WebSocket(websockets)) => {
                match websockets.offer(connection, batch.chat(), batch.websocket()) {
                    Took::All => Offer::Sent,
                    Took::Nothing => Offer::Full,
                    Took::Gone => Offer::Gone,
                }
            }
            Some(Lane::Quic(quic)) => quic.offer(connection, viewer, batch),
            None => Offer::Gone,
        }
    }

    fn tell(&mut self, connection: ConnectionId, frame: &Bytes) {
        self.send(connection, frame.clone());
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

/// Spreads clients over the time from 0 to `width_ms`, evenly and without a random number each.
fn jitter(id: ConnectionId, width_ms: u32) -> u32 {
    // Fibonacci hashing: consecutive numbers land far apart.
    let hash = id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    ((hash * (u64::from(width_ms) + 1)) >> 32) as u32
}

/// The ring of a shard that sends in this way, if it gets one.
fn ring(
    sends: WebSocketSends,
    make: impl FnOnce() -> io::Result<SendRing>,
) -> Result<Option<SendRing>, EdgeError> {
    let made = match sends {
        WebSocketSends::Write => return Ok(None),
        WebSocketSends::Auto | WebSocketSends::IoUring => make(),
    };
    match made {
        Ok(ring) => Ok(Some(ring)),
        Err(source) if sends == WebSocketSends::IoUring => Err(EdgeError::NoRing { source }),
        Err(error) => {
            tracing::info!(%error, "this kernel gives no io_uring");
            Ok(None)
        }
    }
}

fn no_certificate() -> EdgeError {
    EdgeError::Io(io::Error::other(
        "TLS and QUIC need a certificate; name cert and key files, or start with --dev",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_io_uring_is_an_error_only_where_it_was_asked_for() {
        let refused = || Err(io::ErrorKind::PermissionDenied.into());
        assert!(ring(WebSocketSends::Auto, refused).unwrap().is_none());
        let error = ring(WebSocketSends::IoUring, refused).unwrap_err();
        let text = error.to_string();
        for part in ["permission denied", "6.1", "shards.websocket_sends"] {
            assert!(text.contains(part), "{text}");
        }
        let never = || panic!("none is wanted");
        assert!(ring(WebSocketSends::Write, never).unwrap().is_none());
    }

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
