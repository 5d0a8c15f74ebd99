//! Accepts TCP on a shard and speaks HTTP/1 until a request asks for a WebSocket.
//!
//! A WebSocket's socket is taken back from the HTTP library as it is, a bare descriptor and
//! perhaps a TLS state, and stays on this shard. Any other request goes over the bridge to the
//! HTTP service, which may be slow without slowing the shard.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded as HyperUpgraded;
use hyper_util::rt::{TokioIo, TokioTimer};
use skein_wire::error::Code;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::edge::bridge::{BridgeBody, HttpBridge, PeerAddress};
use crate::edge::handoff::Handoff;
use crate::edge::origins::Origins;
use crate::edge::stats::EdgeStats;
use crate::edge::upgrade::{self, WEBSOCKET_PATH};
use crate::edge::websocket::Upgraded;
use crate::limits::{
    ACCEPT_BACKOFF_MS, HTTP_ANSWER_DEADLINE_MS, HTTP_CONNECTIONS_MAX, HTTP_HEADER_BYTES_MAX,
    HTTP_HEADER_DEADLINE_MS, TLS_HANDSHAKE_DEADLINE_MS,
};

/// What all listeners of a shard share.
#[derive(Debug)]
pub struct HttpStage {
    bridge: HttpBridge,
    origins: Origins,
    upgraded: Rc<Handoff<Upgraded>>,
    /// Connections in this stage now.
    open: Cell<usize>,
    /// Given up for a moment when the process has no descriptors left, so that a connection can
    /// be taken from the kernel and closed, instead of being reported for ever.
    spare: RefCell<Option<File>>,
    requests: Cell<u64>,
    shed: Cell<u64>,
    tls_failed: Cell<u64>,
}

impl HttpStage {
    /// A stage without listeners.
    pub fn new(bridge: HttpBridge, origins: Origins, upgraded: Rc<Handoff<Upgraded>>) -> Self {
        Self {
            bridge,
            origins,
            upgraded,
            open: Cell::new(0),
            spare: RefCell::new(spare()),
            requests: Cell::new(0),
            shed: Cell::new(0),
            tls_failed: Cell::new(0),
        }
    }

    /// Adds its counters.
    pub fn add_stats(&self, stats: &mut EdgeStats) {
        stats.http_requests = self.requests.get();
        stats.http_shed = self.shed.get();
        stats.tls_failed = self.tls_failed.get();
    }

    fn count(counter: &Cell<u64>) {
        counter.set(counter.get() + 1);
    }

    /// Takes one connection from the kernel without a descriptor to spare, and closes it.
    async fn shed(&self, listener: &TcpListener) {
        self.spare.borrow_mut().take();
        let shed = timeout(Duration::from_millis(ACCEPT_BACKOFF_MS), listener.accept()).await;
        if let Ok(Ok(accepted)) = shed {
            drop(accepted);
            Self::count(&self.shed);
        }
        *self.spare.borrow_mut() = spare();
        tokio::time::sleep(Duration::from_millis(ACCEPT_BACKOFF_MS)).await;
    }
}

/// Accepts connections until the returned task is aborted. With `tls` they begin with a handshake.
pub fn listen(
    stage: Rc<HttpStage>,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> JoinHandle<()> {
    let tls = tls.map(TlsAcceptor::from);
    spawn_local(async move {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => take(&stage, stream, peer, tls.clone()),
                Err(error) if is_exhausted(&error) => {
                    tracing::warn!(%error, "no descriptor left; connections are turned away");
                    stage.shed(&listener).await;
                }
                // The peer was gone before we came.
                Err(error) => tracing::debug!(%error, "a connection was not accepted"),
            }
        }
    })
}

fn take(stage: &Rc<HttpStage>, stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) {
    if stage.open.get() >= HTTP_CONNECTIONS_MAX {
        HttpStage::count(&stage.shed);
        return;
    }
    let place = Place::take(stage);
    spawn_local(async move {
        match tls {
            None => serve(place, stream, peer).await,
            Some(tls) => {
                let deadline = Duration::from_millis(TLS_HANDSHAKE_DEADLINE_MS);
                match timeout(deadline, tls.accept(stream)).await {
                    Ok(Ok(stream)) => serve(place, stream, peer).await,
                    _ => HttpStage::count(&place.0.tls_failed),
                }
            }
        }
    });
}

/// One connection's place in the stage, given back when it is dropped.
struct Place(Rc<HttpStage>);

impl Place {
    fn take(stage: &Rc<HttpStage>) -> Self {
        stage.open.set(stage.open.get() + 1);
        Self(Rc::clone(stage))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
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
    let place = Rc::new(place);
    let service = service_fn(|request| {
        let place = Rc::clone(&place);
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
    place: Rc<Place>,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Response<BridgeBody> {
    let stage = Rc::clone(&place.0);
    if request.uri().path() != WEBSOCKET_PATH {
        HttpStage::count(&stage.requests);
        request.extensions_mut().insert(PeerAddress(peer));
        return forward(&stage, request).await;
    }
    match upgrade::judge(&request, &stage.origins) {
        Ok(response) => {
            spawn_local(async move {
                let upgraded = hyper::upgrade::on(request).await;
                // The place is kept until the socket is out of the HTTP library's hands.
                drop(place);
                match upgraded.map(take_back::<S>) {
                    Ok(Ok(upgraded)) => {
                        stage.upgraded.room().await;
                        stage.upgraded.put(upgraded);
                    }
                    _ => tracing::debug!("a WebSocket was gone before it was open"),
                }
            });
            response.map(|()| body(Bytes::new()))
        }
        Err(no) => refusal(no.status, Code::Transport, no.text),
    }
}

fn take_back<S: Stream>(upgraded: HyperUpgraded) -> io::Result<Upgraded> {
    let parts = upgraded
        .downcast::<TokioIo<S>>()
        .map_err(|_| io::Error::other("the stream is of another type than it was"))?;
    parts.io.into_inner().take_back(parts.read_buf)
}

async fn forward(stage: &HttpStage, request: Request<Incoming>) -> Response<BridgeBody> {
    let (reply, answer) = oneshot::channel();
    if stage.bridge.tx.try_send((request, reply)).is_err() {
        return refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::Busy,
            Code::Busy.text(),
        );
    }
    let deadline = Duration::from_millis(HTTP_ANSWER_DEADLINE_MS);
    match timeout(deadline, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Internal,
            Code::Internal.text(),
        ),
        Err(_) => refusal(
            StatusCode::GATEWAY_TIMEOUT,
            Code::Busy,
            "the answer took too long; try again later",
        ),
    }
}

/// An error in the form of the HTTP service's own.
fn refusal(status: StatusCode, code: Code, text: &str) -> Response<BridgeBody> {
    let json = serde_json::json!({ "code": code.name(), "text": text });
    let mut response = Response::new(body(json.to_string().into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, http::HeaderValue::from_static("1"));
    }
    response
}

fn body(bytes: Bytes) -> BridgeBody {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

fn is_exhausted(error: &io::Error) -> bool {
    let no = error.raw_os_error();
    [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM]
        .iter()
        .any(|&code| no == Some(code))
}
