//! Requests that are no WebSocket leave the shard here, for the HTTP service.

use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::sync::{mpsc, oneshot};

use crate::limits::HTTP_QUEUE_MAX;

/// What may go wrong while the HTTP service streams an answer.
pub type BridgeError = Box<dyn Error + Send + Sync>;
/// The body of an answer.
pub type BridgeBody = UnsyncBoxBody<Bytes, BridgeError>;
/// A request and where its answer goes. The request carries a [`PeerAddress`] extension.
pub type BridgedRequest = (Request<Incoming>, oneshot::Sender<Response<BridgeBody>>);

/// The address a request came from, as an extension of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// The shards' end of the way to the HTTP service; the other end is a tokio receiver.
#[derive(Clone, Debug)]
pub struct HttpBridge {
    /// Bounded: when the service is behind, callers are told so at once.
    pub tx: mpsc::Sender<BridgedRequest>,
}

impl HttpBridge {
    /// Both ends.
    pub fn channel() -> (Self, mpsc::Receiver<BridgedRequest>) {
        let (tx, rx) = mpsc::channel(HTTP_QUEUE_MAX);
        (Self { tx }, rx)
    }
}
