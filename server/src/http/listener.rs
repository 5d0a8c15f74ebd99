//! Serves a router on a TCP listener of its own: the control API.
//!
//! Runs on the control runtime. Connections, header size and header time are bounded; when the
//! process has no descriptors left, accepting pauses instead of spinning.

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
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::edge::http_listener::PeerAddress;
use crate::http::limits::{
    CONTROL_ACCEPT_BACKOFF_MS, CONTROL_CONNECTIONS_MAX, CONTROL_HEADER_BYTES_MAX,
    CONTROL_HEADER_DEADLINE_MS, CONTROL_STALLED_MS, SHUTDOWN_GRACE_MS,
};

/// Serves until `stop` is true or its sender is gone, then gives open requests a moment.
pub async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONTROL_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        // Whoever comes while every place is taken waits in the kernel's backlog.
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place.expect("the semaphore is never closed"),
            () = stopped(&mut stop) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    connection(stream, peer, router, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the control listener could not accept a connection");
                tokio::time::sleep(Duration::from_millis(CONTROL_ACCEPT_BACKOFF_MS)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_millis(SHUTDOWN_GRACE_MS), all).await;
}

/// Resolves when the server stops.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    // Answers are small and whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    // The kernel ends a connection whose peer takes nothing for so long; we only see a full socket.
    let stalled = Duration::from_millis(CONTROL_STALLED_MS);
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(stalled));
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
