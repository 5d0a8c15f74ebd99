//! The way in for the WebSockets of one shard: its listeners, served on the HTTP runtime.

use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use tokio::sync::watch;

use crate::access::Access;
use crate::clock::Clock;
use crate::config::settings::Config;
use crate::edge::arrivals::ArrivalsSender;
use crate::edge::http_listener::{self, Gate, HttpCounters, HttpStage};
use crate::edge::origins::Origins;
use crate::http::cors;

/// What the HTTP runtime needs of one shard.
#[derive(Debug)]
pub struct Entrance {
    /// HTTP and `ws`, plain.
    pub http: Option<TcpListener>,
    /// HTTP and `wss` over TLS.
    pub https: Option<TcpListener>,
    /// The way to the shard.
    pub arrivals: ArrivalsSender,
    /// Shown among the shard's own numbers.
    pub counters: Arc<HttpCounters>,
}

/// What all entrances have in common.
#[derive(Clone, Debug)]
pub struct Lobby {
    /// Answers what asks for no WebSocket.
    pub router: Router,
    /// Pages from elsewhere that may open a WebSocket and read answers.
    pub origins: Origins,
    /// How often an address may come.
    pub gate: Gate,
    /// TLS for `https`.
    pub tls: Arc<rustls::ServerConfig>,
    /// True once nobody is let in any more.
    pub closed: watch::Receiver<bool>,
}

impl Lobby {
    /// Where `router` answers and `access` knows who may come how often.
    pub(crate) fn new(
        config: &Config,
        router: Router,
        access: Arc<Access>,
        clock: Clock,
        tls: Arc<rustls::ServerConfig>,
        closed: watch::Receiver<bool>,
    ) -> Self {
        Self {
            router,
            origins: Origins::new(config.access.origins.clone()),
            gate: Gate { access, clock },
            tls,
            closed,
        }
    }
}

impl Entrance {
    /// Begins to accept. Must be called inside the HTTP runtime.
    ///
    /// # Errors
    /// When the runtime refuses a socket.
    pub fn open(self, lobby: &Lobby) -> std::io::Result<()> {
        let stage = HttpStage::new(
            lobby
                .router
                .clone()
                .layer(cors::layer(lobby.origins.clone())),
            lobby.origins.clone(),
            lobby.gate.clone(),
            self.arrivals,
            self.counters,
        );
        let plain = self.http.map(|listener| (listener, None));
        let secure = self
            .https
            .map(|listener| (listener, Some(lobby.tls.clone())));
        for (listener, tls) in [plain, secure].into_iter().flatten() {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let (stage, closed) = (stage.clone(), lobby.closed.clone());
            tokio::spawn(http_listener::listen(stage, listener, tls, closed));
        }
        Ok(())
    }
}
