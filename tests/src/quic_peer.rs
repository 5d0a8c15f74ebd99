//! A blocking protocol client by QUIC: what [`crate::peer::Peer`] is by WebSocket.
//!
//! Frames of the control stream, of datagrams and of streams come out of one queue, as they came.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, ConnectionError, Endpoint, ReadError, RecvStream, SendStream, VarInt};
use skein_wire::frame::decode_update;
use skein_wire::limits::{SERVER_FRAME_BYTES_MAX, VERSION};
use skein_wire::request::{Hello, Request, Token};
use skein_wire::splitter::{Splitter, split_first_shared};
use skein_wire::update::Update;
use tokio::runtime::Runtime;

use crate::peer::{CLOSE_BASE, Closed, Received, encoded};
use crate::quic;
use crate::wait::PATIENCE;

/// Bytes of one server stream: a batch in all its pages.
const STREAM_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// A connection that has been welcomed.
pub struct QuicPeer {
    runtime: Runtime,
    endpoint: Endpoint,
    connection: Connection,
    control: SendStream,
    updates: RecvStream,
    splitter: Splitter,
    inbox: VecDeque<Update>,
}

impl QuicPeer {
    /// Connects and says hello.
    ///
    /// # Errors
    /// How the server closed the connection instead of a welcome.
    ///
    /// # Panics
    /// If it says something else first.
    pub fn try_connect(to: SocketAddr, token: &str) -> Result<Self, Closed> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let mut peer = Self::open(to, runtime)?;
        peer.send(&[Request::Hello(Hello {
            version: VERSION,
            token: Token(token.to_owned()),
            client: "skein-tests".to_owned(),
        })]);
        match peer.receive(PATIENCE) {
            Some(Received::Update(Update::Welcome(_))) => Ok(peer),
            Some(Received::Update(Update::Goodbye(goodbye))) => Err(Closed {
                code: CLOSE_BASE + goodbye.code as u16,
                text: goodbye.text,
            }),
            Some(Received::Closed(closed)) => Err(closed),
            other => panic!("not a welcome: {other:?}"),
        }
    }

    /// Connects and says nothing.
    ///
    /// # Errors
    /// How the server refused the connection.
    ///
    /// # Panics
    /// If there is no socket for it.
    pub fn silent(to: SocketAddr) -> Result<Self, Closed> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        Self::open(to, runtime)
    }

    fn open(to: SocketAddr, runtime: Runtime) -> Result<Self, Closed> {
        let opened = runtime.block_on(async {
            let endpoint = quic::endpoint().expect("a socket");
            let connecting = endpoint.connect(to, "localhost").expect("an address");
            let connection = connecting.await?;
            let (control, updates) = connection.open_bi().await?;
            Ok((endpoint, connection, control, updates))
        });
        let (endpoint, connection, control, updates) = opened.map_err(|lost| closed(&lost))?;
        Ok(Self {
            runtime,
            endpoint,
            connection,
            control,
            updates,
            splitter: Splitter::new(SERVER_FRAME_BYTES_MAX),
            inbox: VecDeque::new(),
        })
    }

    /// Sends bytes on the control stream, whatever they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.runtime.block_on(self.control.write_all(bytes));
    }

    /// Sends bytes on a stream of their own, and ends it.
    pub fn send_beside(&mut self, bytes: &[u8]) {
        let _ = self.runtime.block_on(async {
            let mut stream = self.connection.open_uni().await?;
            stream.write_all(bytes).await?;
            let _ = stream.finish();
            Ok::<_, quinn::WriteError>(())
        });
    }

    /// Sends bytes as a datagram of their own.
    pub fn send_datagram_bytes(&mut self, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        let _ = self
            .runtime
            .block_on(self.connection.send_datagram_wait(bytes));
    }

    /// Sends requests on the control stream. A connection that is gone shows at the next read.
    pub fn send(&mut self, requests: &[Request]) {
        let bytes = encoded(requests);
        let _ = self.runtime.block_on(self.control.write_all(&bytes));
    }

    /// Sends a request as a datagram of its own, and waits for so long, in which it leaves. One that is lost
    /// is lost.
    ///
    /// # Panics
    /// If the connection is gone or takes no datagrams.
    pub fn send_datagram(&mut self, request: &Request, pause: Duration) {
        let bytes = Bytes::from(encoded(std::slice::from_ref(request)));
        let sending = self.connection.send_datagram_wait(bytes);
        self.runtime.block_on(async {
            sending.await.expect("a datagram");
            tokio::time::sleep(pause).await;
        });
    }

    /// The next frame or the end; `None` when neither comes within `limit`.
    ///
    /// # Panics
    /// If what comes is no frame.
    pub fn receive(&mut self, limit: Duration) -> Option<Received> {
        let Self {
            runtime,
            connection,
            updates,
            splitter,
            inbox,
            ..
        } = self;
        let taken = runtime.block_on(async {
            let reading = async {
                while inbox.is_empty() {
                    step(connection, updates, splitter, inbox).await?;
                }
                Ok::<_, Closed>(())
            };
            tokio::time::timeout(limit, reading).await
        });
        match taken {
            Err(_) => None,
            Ok(Err(closed)) => Some(Received::Closed(closed)),
            Ok(Ok(())) => inbox.pop_front().map(Received::Update),
        }
    }
}

/// The server is told that nobody is here any more; else it would wait for its idle timeout.
impl Drop for QuicPeer {
    fn drop(&mut self) {
        self.connection.close(VarInt::from_u32(0), b"");
        let idle = async { tokio::time::timeout(FAREWELL, self.endpoint.wait_idle()).await };
        // A server that is gone hears nothing.
        let _ = self.runtime.block_on(idle);
    }
}

/// Takes one thing that comes in.
async fn step(
    connection: &Connection,
    updates: &mut RecvStream,
    splitter: &mut Splitter,
    inbox: &mut VecDeque<Update>,
) -> Result<(), Closed> {
    let mut piece = [0; 4096];
    let bytes = tokio::select! {
        read = updates.read(&mut piece) => {
            match read {
                Ok(Some(count)) => splitter.push(&piece[..count]),
                Ok(None) => return Err(closed(&connection.closed().await)),
                Err(ReadError::ConnectionLost(lost)) => return Err(closed(&lost)),
                Err(error) => panic!("the control stream: {error}"),
            }
            while let Some(frame) = splitter.next_frame().expect("whole frames") {
                inbox.extend(decode_update(frame).expect("a frame of the protocol"));
            }
            return Ok(());
        }
        datagram = connection.read_datagram() => datagram.map_err(|lost| closed(&lost))?,
        stream = connection.accept_uni() => {
            let mut stream = stream.map_err(|lost| closed(&lost))?;
            match stream.read_to_end(STREAM_BYTES_MAX).await {
                Ok(whole) => Bytes::from(whole),
                // Reset: what it carried is not for this client any more.
                Err(_) => return Ok(()),
            }
        }
    };
    let mut rest = bytes;
    while let Some(frame) =
        split_first_shared(&mut rest, SERVER_FRAME_BYTES_MAX).expect("whole frames")
    {
        inbox.extend(decode_update(frame).expect("a frame of the protocol"));
    }
    Ok(())
}

fn closed(error: &ConnectionError) -> Closed {
    match error {
        ConnectionError::ApplicationClosed(close) => Closed {
            code: CLOSE_BASE + u16::try_from(close.error_code.into_inner()).unwrap_or(u16::MAX),
            text: String::from_utf8_lossy(&close.reason).into_owned(),
        },
        other => Closed {
            code: 0,
            text: other.to_string(),
        },
    }
}
