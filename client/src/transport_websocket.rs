//! WebSocket, plain or over TLS: one ordered stream of binary messages, each of whole frames.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderValue, Uri};
use rustls_pki_types::ServerName;
use skein_wire::error::{Code, WireError};
use skein_wire::limits::WEBSOCKET_SUBPROTOCOL;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_websockets::{ClientBuilder, Limits, Message, WebSocketStream};

use crate::error::ClientError;
use crate::limits::WEBSOCKET_MESSAGE_BYTES_MAX;
use crate::server_url::{Scheme, ServerUrl};
use crate::tls_failure;
use crate::transport::{Connection, FarEnd, Incoming, closed, deliver_all, fail, pair};
use crate::trust::Trust;

/// Close codes of the WebSocket binding are those of the protocol above this.
const CLOSE_BASE: u16 = 4000;

/// Connects and upgrades.
pub(crate) async fn connect(url: &ServerUrl, trust: &Trust) -> Result<Connection, ClientError> {
    let encrypted = url.scheme == Scheme::Wss;
    let connector = match encrypted {
        true => Some(TlsConnector::from(Arc::new(
            trust.client_config(b"http/1.1")?,
        ))),
        false => None,
    };
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    stream.set_nodelay(true)?;
    match connector {
        Some(connector) => {
            let name = ServerName::try_from(url.host.clone()).map_err(|error| {
                ClientError::Url(format!("cannot connect to {}: {error}", url.host))
            })?;
            let stream = connector.connect(name, stream).await.map_err(handshake)?;
            upgrade(url, stream).await
        }
        None => upgrade(url, stream).await,
    }
}

/// A failed TLS handshake does not heal by itself.
fn handshake(error: io::Error) -> ClientError {
    match error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
    {
        true => ClientError::Trust(tls_failure::text(error)),
        false => ClientError::Io(error),
    }
}

async fn upgrade<S>(url: &ServerUrl, stream: S) -> Result<Connection, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let uri: Uri = url
        .to_string()
        .parse()
        .map_err(|error| ClientError::Url(format!("{url}: {error}")))?;
    let limits = Limits::default().max_payload_len(Some(WEBSOCKET_MESSAGE_BYTES_MAX));
    let protocol = HeaderValue::from_static(WEBSOCKET_SUBPROTOCOL);
    let builder = ClientBuilder::from_uri(uri)
        .limits(limits)
        .add_header(SEC_WEBSOCKET_PROTOCOL, protocol)
        .map_err(not_upgraded)?;
    let (socket, answer) = builder.connect_on(stream).await.map_err(not_upgraded)?;
    let agreed = answer.headers().get(SEC_WEBSOCKET_PROTOCOL);
    if agreed.is_none_or(|agreed| agreed.as_bytes() != WEBSOCKET_SUBPROTOCOL.as_bytes()) {
        return Err(ClientError::Protocol(WireError::new(
            Code::Transport,
            "the WebSocket subprotocol skein.v1 was not agreed on",
        )));
    }
    Ok(start(socket))
}

fn not_upgraded(error: tokio_websockets::Error) -> ClientError {
    match error {
        tokio_websockets::Error::Io(error) => ClientError::Io(error),
        other => ClientError::Io(io::Error::other(format!(
            "the server did not accept the WebSocket ({other}); is the address right?"
        ))),
    }
}

fn start<S>(socket: WebSocketStream<S>) -> Connection
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut near, FarEnd { outbox, inbox }) = pair();
    let (sink, stream) = socket.split();
    let mut writer = JoinSet::new();
    writer.spawn(write(sink, outbox, inbox.clone()));
    let mut readers = JoinSet::new();
    readers.spawn(read(stream, inbox));
    near.attach(writer, readers);
    near
}

async fn write<S>(
    mut sink: SplitSink<WebSocketStream<S>, Message>,
    mut outbox: mpsc::Receiver<Bytes>,
    inbox: mpsc::Sender<Incoming>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(bytes) = outbox.recv().await {
        if let Err(error) = sink.send(Message::binary(bytes)).await {
            fail(&inbox, broken(error)).await;
            return;
        }
    }
    // Whoever does not listen any more misses nothing.
    let _ = sink.close().await;
}

async fn read<S>(mut stream: SplitStream<WebSocketStream<S>>, inbox: mpsc::Sender<Incoming>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let message = match stream.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                fail(&inbox, broken(error)).await;
                return;
            }
            // Whoever means to go sends a close frame first.
            None => {
                let broke = io::Error::new(io::ErrorKind::UnexpectedEof, "the connection broke");
                fail(&inbox, ClientError::Io(broke)).await;
                return;
            }
        };
        if let Some((status, text)) = message.as_close() {
            fail(&inbox, end_of(status.into(), text)).await;
            return;
        }
        if message.is_text() {
            let error = WireError::new(Code::Transport, "a text message on a binary protocol");
            fail(&inbox, ClientError::Protocol(error)).await;
            return;
        }
        if message.is_binary() && !deliver_all(&inbox, message.into_payload().into()).await {
            return;
        }
    }
}

fn end_of(status: u16, text: &str) -> ClientError {
    match status.checked_sub(CLOSE_BASE) {
        Some(number) => closed(Code::from_u16(number), text, 0),
        // 1001 and its like: the transport's own reasons.
        None => closed(Some(Code::GoingAway), text, 0),
    }
}

fn broken(error: tokio_websockets::Error) -> ClientError {
    match error {
        tokio_websockets::Error::Io(error) => ClientError::Io(error),
        other => ClientError::Io(io::Error::other(other)),
    }
}
