//! A blocking protocol client by QUIC, also within a WebTransport session: what [`crate::peer::Peer`] is by
//! WebSocket.
//!
//! Frames of the control stream, of datagrams and of streams come out of one queue, as they came.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, ConnectionError, Endpoint, ReadError, RecvStream, SendStream, VarInt};
use rustls::pki_types::CertificateDer;
use skein_wire::frame::decode_update;
use skein_wire::limits::{ALPN, SERVER_FRAME_BYTES_MAX, VERSION};
use skein_wire::request::{Hello, Request, Token};
use skein_wire::splitter::{Splitter, split_first_shared};
use skein_wire::update::Update;
use tokio::runtime::Runtime;

use crate::peer::{CLOSE_BASE, Closed, Received, encoded};
use crate::quic;
use crate::wait::PATIENCE;
use crate::web_session::{self, WebSession};

/// Bytes of one server stream: a batch in all its pages.
const STREAM_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// A connection that has been welcomed.
pub struct QuicPeer {
    runtime: Runtime,
    endpoint: Endpoint,
    connection: Connection,
    /// Where the frames travel within a session of WebTransport.
    session: Option<WebSession>,
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
        Self::silent(to)?.welcomed(token)
    }

    /// Connects by WebTransport and says hello.
    ///
    /// # Errors
    /// How the server closed the session instead of a welcome.
    ///
    /// # Panics
    /// If it says something else first, or does not open a session.
    pub fn try_connect_web(to: SocketAddr, token: &str) -> Result<Self, Closed> {
        Self::silent_web(to)?.welcomed(token)
    }

    fn welcomed(mut self, token: &str) -> Result<Self, Closed> {
        self.send(&[Request::Hello(Hello {
            version: VERSION,
            token: Token(token.to_owned()),
            client: "skein-tests".to_owned(),
        })]);
        match self.receive(PATIENCE) {
            Some(Received::Update(Update::Welcome(_))) => Ok(self),
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
        Self::open(to, false)
    }

    /// Opens a session of WebTransport and says nothing in it.
    ///
    /// # Errors
    /// How the server refused the connection.
    ///
    /// # Panics
    /// If there is no socket for it, or the server does not open a session.
    pub fn silent_web(to: SocketAddr) -> Result<Self, Closed> {
        Self::open(to, true)
    }

    /// The certificate that the server showed.
    ///
    /// # Panics
    /// If the library has another idea of what it is.
    pub fn certificate(&self) -> CertificateDer<'static> {
        let shown = self.connection.peer_identity().expect("one was shown");
        let chain = shown.downcast::<Vec<CertificateDer<'static>>>();
        chain.expect("a chain of certificates")[0].clone()
    }

    fn open(to: SocketAddr, is_web: bool) -> Result<Self, Closed> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let opened = runtime.block_on(async {
            let alpn = if is_web { web_session::ALPN } else { ALPN };
            let endpoint = quic::endpoint_for(alpn).expect("a socket");
            let connecting = endpoint.connect(to, "localhost").expect("an address");
            let connection = connecting.await?;
            let (session, control, updates) = if is_web {
                let (session, control, updates) =
                    WebSession::open(&connection, &to.to_string()).await?;
                (Some(session), control, updates)
            } else {
                let (control, updates) = connection.open_bi().await?;
                (None, control, updates)
            };
            Ok((endpoint, connection, session, control, updates))
        });
        let (endpoint, connection, session, control, updates) =
            opened.map_err(|lost| closed(&lost))?;
        Ok(Self {
            runtime,
            endpoint,
            connection,
            session,
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
        let bytes = match self.session {
            Some(_) => &WebSession::stream(bytes),
            None => bytes,
        };
        let _ = self.runtime.block_on(async {
            let mut stream = self.connection.open_uni().await?;
            stream.write_all(bytes).await?;
            let _ = stream.finish();
            Ok::<_, quinn::WriteError>(())
        });
    }

    /// Sends bytes as a datagram of their own.
    pub fn send_datagram_bytes(&mut self, bytes: &[u8]) {
        let bytes = self.datagram(bytes);
        let _ = self
            .runtime
            .block_on(self.connection.send_datagram_wait(bytes));
    }

    fn datagram(&self, bytes: &[u8]) -> Bytes {
        match self.session {
            Some(_) => WebSession::datagram(bytes).into(),
            None => Bytes::copy_from_slice(bytes),
        }
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
        let bytes = self.datagram(&encoded(std::slice::from_ref(request)));
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
            session,
            updates,
            splitter,
            inbox,
            ..
        } = self;
        let taken = runtime.block_on(async {
            let reading = async {
                while inbox.is_empty() {
                    step(connection, session.as_mut(), updates, splitter, inbox).await?;
                }
                Ok::<_, End>(())
            };
            let read = tokio::time::timeout(limit, reading).await.ok()?;
            Some(match (read, session) {
                (Ok(()), _) => Ok(()),
                (Err(End::Said(said)), _) => Err(said),
                (Err(End::Lost(lost)), None) => Err(closed(&lost)),
                (Err(End::Lost(lost)), Some(session)) => {
                    let said = session.of_lost(connection, lost).await;
                    Err(said.unwrap_or_else(|lost| closed(&lost)))
                }
            })
        });
        match taken? {
            Err(closed) => Some(Received::Closed(closed)),
            Ok(()) => inbox.pop_front().map(Received::Update),
        }
    }
}

/// The server is told that nobody is here any more; else it would wait for its idle timeout.
impl Drop for QuicPeer {
    fn drop(&mut self) {
        let in_order = match self.session {
            Some(_) => web_session::NO_ERROR,
            None => VarInt::from_u32(0),
        };
        self.connection.close(in_order, b"");
        let idle = async { tokio::time::timeout(FAREWELL, self.endpoint.wait_idle()).await };
        // A server that is gone hears nothing.
        let _ = self.runtime.block_on(idle);
    }
}

/// How a connection ended.
enum End {
    Lost(ConnectionError),
    /// As the session within it said: the connection waits for us then.
    Said(Closed),
}

impl From<ConnectionError> for End {
    fn from(lost: ConnectionError) -> Self {
        Self::Lost(lost)
    }
}

/// How a session says that it ends. Where there is none it never does.
async fn session_end(
    connection: &Connection,
    session: Option<&mut WebSession>,
) -> Result<Closed, ConnectionError> {
    match session {
        Some(session) => session.closed(connection).await,
        None => std::future::pending().await,
    }
}

/// Takes one thing that comes in.
async fn step(
    connection: &Connection,
    mut session: Option<&mut WebSession>,
    updates: &mut RecvStream,
    splitter: &mut Splitter,
    inbox: &mut VecDeque<Update>,
) -> Result<(), End> {
    let mut piece = [0; 4096];
    let bytes = tokio::select! {
        // What was said before the end is heard before it.
        biased;
        read = updates.read(&mut piece) => {
            match read {
                Ok(Some(count)) => splitter.push(&piece[..count]),
                Ok(None) => {
                    let end = session_end(connection, session);
                    return Err(tokio::select! {
                        said = end => End::Said(said?),
                        lost = connection.closed() => End::Lost(lost),
                    });
                }
                Err(ReadError::ConnectionLost(lost)) => return Err(lost.into()),
                Err(error) => panic!("the control stream: {error}"),
            }
            while let Some(frame) = splitter.next_frame().expect("whole frames") {
                inbox.extend(decode_update(frame).expect("a frame of the protocol"));
            }
            return Ok(());
        }
        datagram = connection.read_datagram() => {
            let datagram = datagram?;
            match session {
                Some(_) => WebSession::of_datagram(datagram),
                None => datagram,
            }
        }
        stream = connection.accept_uni() => {
            let mut stream = stream?;
            let whole = match session {
                Some(session) => session.of_stream(stream, STREAM_BYTES_MAX).await,
                None => stream.read_to_end(STREAM_BYTES_MAX).await.map(Bytes::from),
            };
            match whole {
                Ok(whole) => whole,
                // Reset: what it carried is not for this client any more.
                Err(_) => return Ok(()),
            }
        }
        said = session_end(connection, session.as_deref_mut()) => return Err(End::Said(said?)),
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
