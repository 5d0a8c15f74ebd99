//! A connection as frames: bytes of whole frames go out, frames come in, and a reason at the end.
//!
//! The seam is a pair of bounded channels between the user of a connection and the tasks of its
//! transport. So sending and receiving are safe to cancel, and a new transport (or a test) needs
//! nothing but the far ends.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use skein_wire::error::{Code, WireError};
use skein_wire::frame::{decode_update, encode_request};
use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
use skein_wire::request::Request;
use skein_wire::splitter::split_first_shared;
use skein_wire::update::Update;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::{ClientError, is_transient};
use crate::limits::{INBOX_FRAMES, OUTBOX_WRITES};

/// How long a farewell may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What comes from a connection. An error is its end.
pub type Incoming = Result<Update, ClientError>;

/// The user's ends of a connection. Dropping it ends the connection at once.
#[derive(Debug)]
pub struct Connection {
    outbox: mpsc::Sender<Bytes>,
    inbox: mpsc::Receiver<Incoming>,
    /// Ends when the outbox is closed and written.
    writer: JoinSet<()>,
    _readers: JoinSet<()>,
}

/// The transport's ends.
#[derive(Debug)]
pub struct FarEnd {
    /// Whole frames to send, in order. When it closes, finish and say farewell.
    pub outbox: mpsc::Receiver<Bytes>,
    /// Where received frames go.
    pub inbox: mpsc::Sender<Incoming>,
}

/// Both ends of a connection; the transport's tasks join later, see [`Connection::attach`].
pub fn pair() -> (Connection, FarEnd) {
    let (outbox, far_outbox) = mpsc::channel(OUTBOX_WRITES);
    let (far_inbox, inbox) = mpsc::channel(INBOX_FRAMES);
    let near = Connection {
        outbox,
        inbox,
        writer: JoinSet::new(),
        _readers: JoinSet::new(),
    };
    let far = FarEnd {
        outbox: far_outbox,
        inbox: far_inbox,
    };
    (near, far)
}

impl Connection {
    /// Gives the connection the tasks that carry it; they end with it.
    pub fn attach(&mut self, writer: JoinSet<()>, readers: JoinSet<()>) {
        self.writer = writer;
        self._readers = readers;
    }

    /// Sends requests in order, without waiting.
    ///
    /// # Errors
    /// When the connection is gone, or so much waits to be sent that it must be taken for gone.
    pub fn send(&mut self, requests: impl IntoIterator<Item = Request>) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        for request in requests {
            encode_request(&request, &mut bytes);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.outbox.try_send(bytes.into()).map_err(|error| {
            ClientError::Io(match error {
                mpsc::error::TrySendError::Full(_) => io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the server has not taken anything for too long",
                ),
                mpsc::error::TrySendError::Closed(_) => io::ErrorKind::BrokenPipe.into(),
            })
        })
    }

    /// The next frame. Safe to cancel.
    ///
    /// # Errors
    /// Why the connection ended; nothing follows.
    pub async fn receive(&mut self) -> Incoming {
        let end = || Err(ClientError::Io(io::ErrorKind::ConnectionAborted.into()));
        self.inbox.recv().await.unwrap_or_else(end)
    }

    /// What has arrived already.
    pub fn try_receive(&mut self) -> Option<Incoming> {
        self.inbox.try_recv().ok()
    }

    /// Sends what waits and says farewell, within two seconds.
    pub async fn close(mut self) {
        drop(self.outbox);
        let farewell = async { while self.writer.join_next().await.is_some() {} };
        // Whoever does not listen any more misses nothing.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, farewell).await;
    }
}

/// Decodes a frame and hands it on; false when nobody listens any more, or nothing can follow.
pub(crate) async fn deliver(inbox: &mpsc::Sender<Incoming>, frame: Bytes) -> bool {
    match decode_update(frame) {
        Ok(None) => true,
        Ok(Some(update)) => inbox.send(Ok(update)).await.is_ok(),
        Err(error) => fail(inbox, ClientError::Protocol(error)).await,
    }
}

/// Cuts a message into its frames and hands them on; false as in [`deliver`].
pub(crate) async fn deliver_all(inbox: &mpsc::Sender<Incoming>, mut message: Bytes) -> bool {
    loop {
        match split_first_shared(&mut message, SERVER_FRAME_BYTES_MAX) {
            Ok(None) => return true,
            Ok(Some(frame)) => {
                if !deliver(inbox, frame).await {
                    return false;
                }
            }
            Err(error) => return fail(inbox, ClientError::Protocol(error)).await,
        }
    }
}

/// Hands on the end of the connection.
pub(crate) async fn fail(inbox: &mpsc::Sender<Incoming>, error: ClientError) -> bool {
    // Nobody listens: then nobody needs to know.
    let _ = inbox.send(Err(error)).await;
    false
}

/// The end of a connection by a code of the server.
pub(crate) fn closed(code: Option<Code>, text: &str, retry_after_ms: u64) -> ClientError {
    let code = code.unwrap_or(Code::Internal);
    let text = if text.is_empty() { code.text() } else { text };
    if is_transient(code) {
        ClientError::Closed {
            code,
            text: text.to_owned(),
            retry_after_ms,
        }
    } else {
        ClientError::Refused {
            code,
            text: text.to_owned(),
        }
    }
}

/// Bytes that end in the middle of a frame.
pub(crate) fn cut_off() -> ClientError {
    ClientError::Protocol(WireError::new(
        Code::Malformed,
        "a stream ends within a frame",
    ))
}
