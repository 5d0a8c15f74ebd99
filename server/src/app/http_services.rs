//! What answers HTTP beside the shards: the public API at their entrances, and the control API.

use std::net::TcpListener;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::app::entrance::{Entrance, Lobby};
use crate::edge::control_tls::ControlTls;
use crate::http::listener::{self, ControlListener};
use crate::metrics::MetricRow;

/// Threads of the runtime for everything that is not hot.
const CONTROL_RUNTIME_THREADS: usize = 2;

/// What answers HTTP beside the shards.
pub(crate) struct HttpServices {
    pub entrances: Vec<Entrance>,
    pub lobby: Lobby,
    pub control_listener: TcpListener,
    pub control_tls: Option<Arc<ControlTls>>,
    pub control_metrics: Arc<MetricRow>,
    pub control: axum::Router,
}

impl HttpServices {
    /// Runs them on a runtime of their own until `stopped`.
    pub fn start(self, stopped: &watch::Receiver<bool>) -> anyhow::Result<Runtime> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CONTROL_RUNTIME_THREADS)
            .thread_name("http")
            .enable_all()
            .build()?;
        let inside = runtime.enter();
        let control_listener = ControlListener {
            socket: tokio::net::TcpListener::from_std(self.control_listener)?,
            tls: self.control_tls,
            metrics: self.control_metrics,
        };
        for entrance in self.entrances {
            entrance.open(&self.lobby)?;
        }
        drop(inside);
        let control = listener::serve(control_listener, self.control, stopped.clone());
        runtime.spawn(control);
        Ok(runtime)
    }
}
