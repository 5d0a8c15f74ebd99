//! Accepts TCP for a shard and speaks HTTP/1 until a request asks for a WebSocket.
//!
//! Runs on the HTTP runtime: neither a TLS handshake nor a slow request costs a shard anything.
//! A WebSocket's socket is taken back from the HTTP library as it is, a bare descriptor and
//! perhaps a TLS state, and goes to the shard whose listener took it. Any other request is for
//! the router.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded as HyperUpgraded;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use skein_wire::error::{Code, WireError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::access::Access;
use crate::access::rates::TooOften;
use crate::clock::Clock;
use crate::edge::arrivals::{ArrivalsSender, Upgraded};
use crate::edge::descriptor_room::DescriptorRoom;
use crate::edge::last_word::LastWord;
use crate::edge::origins::Origins;
use crate::edge::spare_descriptor::{SpareDescriptor, is_exhausted};
use crate::edge::stalled;
use crate::edge::stats::EdgeStats;
use crate::edge::upgrade::{self, WEBSOCKET_PATH};
use crate::error_body;
use crate::limits::{
    HTTP_ANSWER_DEADLINE_MS, HTTP_CONNECTIONS_MAX, HTTP_HEADER_BYTES_MAX, HTTP_HEADER_DEADLINE_MS,
    HTTP_STALLED_MS, TLS_HANDSHAKE_DEADLINE_MS,
};

/// The address a request came from, as an extension of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// What the HTTP stage of one shard has done since it started.
#[derive(Debug, Default)]
pub struct HttpCounters {
    requests: AtomicU64,
    shed: AtomicU64,
    tls_failed: AtomicU64,
}

impl HttpCounters {
    /// Adds them to the shard's.
    pub fn add_to(&self, stats: &mut EdgeStats) {
        stats.http_requests = self.requests.load(Ordering::Relaxed);
        stats.http_shed = self.shed.load(Ordering::Relaxed);
        stats.tls_failed = self.tls_failed.load(Ordering::Relaxed);
    }

    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// How often an address may come.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Has the rates.
    pub access: Arc<Access>,
    /// The server's clock.
    pub clock: Clock,
}

impl Gate {
    fn pass(&self, address: IpAddr) -> Result<(), TooOften> {
        let now_ms = self.clock.now_ms();
        self.access.rates().take_address(address, now_ms)
    }
}

/// What all listeners of a shard share.
#[derive(Debug)]
pub struct HttpStage {
    router: Router,
    origins: Origins,
    gate: Gate,
    arrivals: ArrivalsSender,
    counters: Arc<HttpCounters>,
    /// Connections in this stage now.
    open: AtomicUsize,
    room: DescriptorRoom,
    spare: SpareDescriptor,
    last_word: LastWord,
}

impl HttpStage {
    /// A stage without listeners: `router` answers what asks for no WebSocket, `arrivals` leads
    /// to the shard.
    pub fn new(
        router: Router,
        origins: Origins,
        gate: Gate,
        arrivals: ArrivalsSender,
        counters: Arc<HttpCounters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            router,
            origins,
            gate,
            arrivals,
            counters,
            open: AtomicUsize::new(0),
            room: DescriptorRoom::of_clients(),
            spare: SpareDescriptor::default(),
            last_word: LastWord::default(),
        })
    }

    /// No descriptor is left.
    async fn shed(&self, listener: &TcpListener) {
        let count = || HttpCounters::count(&self.counters.shed);
        self.spare.shed(listener, count).await;
    }
}

/// Accepts connections until `stop` is true or its sender is gone. With `tls` they begin with a
/// handshake.
pub async fn listen(
    stage: Arc<HttpStage>,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    mut stop: watch::Receiver<bool>,
) {
    let tls = tls.map(TlsAcceptor::from);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An error means that the sender is gone, which is a stop as well.
            _ = stop.wait_for(|stopped| *stopped) => return,
        };
        match accepted {
            Ok((stream, peer)) => take(&stage, stream, peer, tls.clone()),
            Err(error) if is_exhausted(&error) => {
                tracing::warn!(%error, "no descriptor left; connections are turned away");
                stage.shed(&listener).await;
            }
            // The peer was gone before we came.
            Err(error) => tracing::debug!(%error, "a connection was not accepted"),
        }
    }
}

fn take(stage: &Arc<HttpStage>, stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) {
    let Some(place) = Place::take(stage).filter(|_| stage.room.has(&stream)) else {
        HttpCounters::count(&stage.counters.shed);
        if tls.is_none() {
            stage.last_word.say(stream, peer);
        }
        return;
    };
    if stage.gate.pass(peer.ip()).is_err() {
        HttpCounters::count(&stage.counters.shed);
        return;
    }
    // Answers are small and whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    stalled::bound(&stream, HTTP_STALLED_MS);
    tokio::spawn(async move {
        match tls {
            None => serve(place, stream, peer).await,
            Some(tls) => {
                let deadline = Duration::from_millis(TLS_HANDSHAKE_DEADLINE_MS);
                match timeout(deadline, tls.accept(stream)).await {
                    Ok(Ok(stream)) => serve(place, stream, peer).await,
                    _ => HttpCounters::count(&place.0.counters.tls_failed),
                }
            }
        }
    });
}

/// One connection's place in the stage, given back when it is dropped.
struct Place(Arc<HttpStage>);

impl Place {
    fn take(stage: &Arc<HttpStage>) -> Option<Self> {
        // Counted first: two that come at once do not both get the last place.
        let place = Self(Arc::clone(stage));
        let before = stage.open.fetch_add(1, Ordering::Relaxed);
        (before < HTTP_CONNECTIONS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that can be taken back from the HTTP library.
trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static {
    fn take_back(self, early: Bytes) -> io::Result<Upgraded>;
}

impl Stream for TcpStream {
    fn take_back(self, early: Bytes) -> io::Result<Upgraded> {
        Ok(Upgraded {
            stream: self.into_std()?,
            tls: None,
            early,
        })
    }
}

impl Stream for TlsStream<TcpStream> {
    fn take_back(self, early: Bytes) -> io::Result<Upgraded> {
        let (stream, tls) = self.into_inner();
        Ok(Upgraded {
            stream: stream.into_std()?,
            tls: Some(Box::new(tls)),
            early,
        })
    }
}

async fn serve<S: Stream>(place: Place, stream: S, peer: SocketAddr)
where
    TokioIo<S>: Read + Write,
{
    let place = Arc::new(place);
    let service = service_fn(|request| {
        let place = Arc::clone(&place);
        async move { Ok::<_, Infallible>(handle::<S>(place, request, peer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HTTP_HEADER_DEADLINE_MS))
        .max_buf_size(HTTP_HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

async fn handle<S: Stream>(
    place: Arc<Place>,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Response<Body> {
    let stage = Arc::clone(&place.0);
    if let Err(too_often) = stage.gate.pass(peer.ip()) {
        let retry_after_ms = Some(too_often.retry_after_ms);
        return error_body::response(&too_often.into(), retry_after_ms);
    }
    if request.uri().path() != WEBSOCKET_PATH {
        HttpCounters::count(&stage.counters.requests);
        request.extensions_mut().insert(PeerAddress(peer));
        return answer(&stage, request).await;
    }
    match upgrade::judge(&request, &stage.origins) {
        Ok(response) => {
            tokio::spawn(async move {
                let upgraded = hyper::upgrade::on(request).await;
                // The place is kept until the socket is out of the HTTP library's hands.
                drop(place);
                match upgraded.map(take_back::<S>) {
                    Ok(Ok(upgraded)) => stage.arrivals.send(upgraded).await,
                    _ => tracing::debug!("a WebSocket was gone before it was open"),
                }
            });
            response.map(|()| Body::empty())
        }
        Err(no) => {
            let error = WireError::new(Code::Transport, no.text);
            error_body::response_as(no.status, &error, None)
        }
    }
}

fn take_back<S: Stream>(upgraded: HyperUpgraded) -> io::Result<Upgraded> {
    let parts = upgraded
        .downcast::<TokioIo<S>>()
        .map_err(|_| io::Error::other("the stream is of another type than it was"))?;
    parts.io.into_inner().take_back(parts.read_buf)
}

async fn answer(stage: &HttpStage, request: Request<Incoming>) -> Response<Body> {
    let service = TowerToHyperService::new(stage.router.clone());
    let call = hyper::service::Service::call(&service, request.map(Body::new));
    let deadline = Duration::from_millis(HTTP_ANSWER_DEADLINE_MS);
    match timeout(deadline, call).await {
        // A router has an answer for everything; its error type has no values.
        Ok(Ok(response)) => response,
        Err(_) => {
            let error = WireError::new(Code::Busy, "the answer took too long; try again later");
            error_body::response(&error, None)
        }
    }
}
