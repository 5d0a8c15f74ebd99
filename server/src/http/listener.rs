//! Serves a router on a TCP listener of its own: the control API, plain or over TLS.
//!
//! Runs on the control runtime. Connections, handshakes, header size and header time are bounded;
//! when the process has no descriptors left, connections are turned away.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::edge::control_tls::ControlTls;
use crate::edge::descriptor_room::DescriptorRoom;
use crate::edge::http_listener::PeerAddress;
use crate::edge::spare_descriptor::{SpareDescriptor, is_exhausted};
use crate::edge::stalled;
use crate::http::limits::{
    CONTROL_CONNECTIONS_MAX, CONTROL_HEADER_BYTES_MAX, CONTROL_HEADER_DEADLINE_MS,
    CONTROL_STALLED_MS, SHUTDOWN_GRACE_MS,
};
use crate::limits::TLS_HANDSHAKE_DEADLINE_MS;
use crate::metrics::{Metric, MetricRow};

/// What the control listener counts.
pub static CONTROL_LISTENER_METRICS: &[Metric] = &[
    Metric::counter(
        "control_tls_failed",
        "Connections to the control API whose TLS handshake failed, also for want of a good certificate",
    ),
    Metric::counter(
        "control_shed",
        "Connections to the control API that were turned away for lack of descriptors",
    ),
];

/// Places in [`CONTROL_LISTENER_METRICS`].
const TLS_FAILED: usize = 0;
const SHED: usize = 1;

/// The control API's place, and how it is spoken to.
#[derive(Debug)]
pub struct ControlListener {
    /// The socket.
    pub socket: TcpListener,
    /// TLS, unless plain.
    pub tls: Option<Arc<ControlTls>>,
    /// What it counts.
    pub metrics: Arc<MetricRow>,
}

/// Serves until `stop` is true or its sender is gone, then gives open requests a moment.
pub async fn serve(listener: ControlListener, router: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONTROL_CONNECTIONS_MAX));
    let (room, spare) = (DescriptorRoom::of_control(), SpareDescriptor::default());
    let mut connections = JoinSet::new();
    loop {
        // Whoever comes while every place is taken waits in the kernel's backlog.
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place.expect("the semaphore is never closed"),
            () = stopped(&mut stop) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        match accepted {
            Ok((stream, _)) if !room.has(&stream) => listener.metrics.add(SHED, 1),
            Ok((stream, peer)) => {
                let (router, stop) = (router.clone(), stop.clone());
                let tls = listener.tls.as_deref().map(ControlTls::config);
                let metrics = Arc::clone(&listener.metrics);
                connections.spawn(async move {
                    prepare(&stream);
                    match tls {
                        None => connection(stream, peer, router, stop).await,
                        Some(tls) => match greet(stream, tls).await {
                            Some(stream) => connection(stream, peer, router, stop).await,
                            None => metrics.add(TLS_FAILED, 1),
                        },
                    }
                    drop(place);
                });
            }
            Err(error) if is_exhausted(&error) => {
                tracing::warn!(%error, "no descriptor left; callers of the control API are turned away");
                let count = || listener.metrics.add(SHED, 1);
                spare.shed(&listener.socket, count).await;
            }
            // The caller was gone before we came.
            Err(error) => tracing::debug!(%error, "a control connection was not accepted"),
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener.socket);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(Duration::from_millis(SHUTDOWN_GRACE_MS), all).await;
}

/// Resolves when the server stops.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

fn prepare(stream: &TcpStream) {
    // Answers are small and whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    stalled::bound(stream, CONTROL_STALLED_MS);
}

/// The handshake. `None` when it fails, takes too long, or the caller's certificate is no good.
async fn greet(
    stream: TcpStream,
    tls: Arc<rustls::ServerConfig>,
) -> Option<impl AsyncRead + AsyncWrite + Unpin> {
    let deadline = Duration::from_millis(TLS_HANDSHAKE_DEADLINE_MS);
    match timeout(deadline, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake with the control API failed");
            None
        }
        Err(_) => None,
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddress(peer));
        hyper::service::Service::call(&service, request.map(Body::new))
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(CONTROL_HEADER_DEADLINE_MS))
        .max_buf_size(CONTROL_HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = stopped(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a control connection broke off");
    }
}
