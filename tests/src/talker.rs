//! One client over either transport, for what has to be the same on both.

use std::time::{Duration, Instant};

use skein_wire::request::Request;
use skein_wire::update::Update;

use crate::peer::{Closed, Peer, Received};
use crate::quic_peer::QuicPeer;
use crate::server::Server;
use crate::wait::PATIENCE;
use crate::websocket::Options;

/// A transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Binary messages over TCP.
    WebSocket,
    /// Streams and datagrams over UDP.
    Quic,
}

/// Both.
pub const TRANSPORTS: [Transport; 2] = [Transport::WebSocket, Transport::Quic];

/// A connection that has been welcomed.
pub enum Talker {
    /// By WebSocket.
    WebSocket(Box<Peer>),
    /// By QUIC.
    Quic(Box<QuicPeer>),
}

impl Talker {
    /// Connects and says hello.
    ///
    /// # Errors
    /// How the server closed the connection instead of a welcome.
    pub fn try_connect(server: &Server, transport: Transport, token: &str) -> Result<Self, Closed> {
        match transport {
            Transport::WebSocket => {
                let peer = Peer::try_connect(server.ready.http, token, &Options::default());
                peer.map(|peer| Self::WebSocket(Box::new(peer)))
            }
            Transport::Quic => {
                let peer = QuicPeer::try_connect(server.ready.quic, token);
                peer.map(|peer| Self::Quic(Box::new(peer)))
            }
        }
    }

    /// Connects and is welcomed.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn connect(server: &Server, transport: Transport, token: &str) -> Self {
        match Self::try_connect(server, transport, token) {
            Ok(talker) => talker,
            Err(closed) => panic!("not welcome by {transport:?}: {closed:?}"),
        }
    }

    /// Sends a request.
    pub fn send(&mut self, request: Request) {
        match self {
            Self::WebSocket(peer) => {
                peer.try_send(&[request]);
            }
            Self::Quic(peer) => peer.send(&[request]),
        }
    }

    /// The next frame or the end; `None` when neither comes within `limit`.
    pub fn receive(&mut self, limit: Duration) -> Option<Received> {
        match self {
            Self::WebSocket(peer) => peer.receive(limit),
            Self::Quic(peer) => peer.receive(limit),
        }
    }

    /// The first frame that `pick` takes; what comes before it is passed over. `None` when none
    /// comes within `limit`, or when the connection ends first.
    pub fn pick<T>(
        &mut self,
        limit: Duration,
        mut pick: impl FnMut(&Update) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + limit;
        loop {
            match self.receive(end.saturating_duration_since(Instant::now())) {
                Some(Received::Update(update)) => {
                    if let Some(found) = pick(&update) {
                        return Some(found);
                    }
                }
                Some(Received::Closed(_)) | None => return None,
            }
        }
    }

    /// As [`Self::pick`] within [`PATIENCE`].
    ///
    /// # Panics
    /// With `what` when nothing fits.
    pub fn expect<T>(&mut self, what: &str, pick: impl FnMut(&Update) -> Option<T>) -> T {
        let found = self.pick(PATIENCE, pick);
        found.unwrap_or_else(|| panic!("no {what}"))
    }

    /// Reads until the connection ends, and says how: what the last `Goodbye` said, else the
    /// transport's own close.
    ///
    /// # Panics
    /// If it does not end within `limit`.
    pub fn expect_close(&mut self, limit: Duration) -> Closed {
        let end = Instant::now() + limit;
        loop {
            match self.receive(end.saturating_duration_since(Instant::now())) {
                Some(Received::Closed(closed)) => return closed,
                Some(Received::Update(_)) => {}
                None => panic!("the connection is still open after {limit:?}"),
            }
        }
    }
}
