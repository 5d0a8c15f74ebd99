//! One client over any transport, for what has to be the same on all.

use std::collections::VecDeque;
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
    /// The same within a session of HTTP/3, as pages have it.
    WebTransport,
}

/// All.
pub const TRANSPORTS: [Transport; 3] = [
    Transport::WebSocket,
    Transport::Quic,
    Transport::WebTransport,
];

enum Line {
    WebSocket(Box<Peer>),
    Quic(Box<QuicPeer>),
}

/// A connection that has been welcomed.
pub struct Talker {
    line: Line,
    /// Frames that came while something else was awaited: by QUIC a batch may overtake `Watching`.
    inbox: VecDeque<Update>,
}

impl Talker {
    /// Connects and says hello.
    ///
    /// # Errors
    /// How the server closed the connection instead of a welcome.
    pub fn try_connect(server: &Server, transport: Transport, token: &str) -> Result<Self, Closed> {
        let line = match transport {
            Transport::WebSocket => {
                let peer = Peer::try_connect(server.ready.http, token, &Options::default())?;
                Line::WebSocket(Box::new(peer))
            }
            Transport::Quic => {
                Line::Quic(Box::new(QuicPeer::try_connect(server.ready.quic, token)?))
            }
            Transport::WebTransport => {
                let peer = QuicPeer::try_connect_web(server.ready.quic, token)?;
                Line::Quic(Box::new(peer))
            }
        };
        let inbox = VecDeque::new();
        Ok(Self { line, inbox })
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
        match &mut self.line {
            Line::WebSocket(peer) => {
                peer.try_send(&[request]);
            }
            Line::Quic(peer) => peer.send(&[request]),
        }
    }

    /// The next frame or the end; `None` when neither comes within `limit`.
    pub fn receive(&mut self, limit: Duration) -> Option<Received> {
        if let Some(update) = self.inbox.pop_front() {
            return Some(Received::Update(update));
        }
        match &mut self.line {
            Line::WebSocket(peer) => peer.receive(limit),
            Line::Quic(peer) => peer.receive(limit),
        }
    }

    /// The first frame that `pick` takes; the others stay for later. `None` when none comes within
    /// `limit`, or when the connection ends first.
    pub fn pick<T>(
        &mut self,
        limit: Duration,
        mut pick: impl FnMut(&Update) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + limit;
        let mut passed = VecDeque::new();
        let found = loop {
            match self.receive(end.saturating_duration_since(Instant::now())) {
                Some(Received::Update(update)) => match pick(&update) {
                    Some(found) => break Some(found),
                    None => passed.push_back(update),
                },
                Some(Received::Closed(_)) | None => break None,
            }
        };
        passed.append(&mut self.inbox);
        self.inbox = passed;
        found
    }

    /// As [`Self::pick`] within [`PATIENCE`].
    ///
    /// # Panics
    /// With `what` when nothing fits.
    pub fn expect<T>(&mut self, what: &str, pick: impl FnMut(&Update) -> Option<T>) -> T {
        let found = self.pick(PATIENCE, pick);
        found.unwrap_or_else(|| panic!("no {what}"))
    }

    /// Reads until the connection ends, and says how.
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
