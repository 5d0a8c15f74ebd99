//! QUIC: one control stream both ways; batches come as datagrams or on streams of their own.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection as Quic, ConnectionError, Endpoint, ReadError, RecvStream, SendStream,
    TransportConfig, TransportErrorCode, VarInt,
};
use skein_wire::error::Code;
use skein_wire::limits::{ALPN, SERVER_FRAME_BYTES_MAX};
use skein_wire::splitter::Splitter;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::ClientError;
use crate::limits::{
    QUIC_DATAGRAM_BYTES, QUIC_IDLE_MS, QUIC_KEEP_ALIVE_MS, QUIC_STREAM_WINDOW, QUIC_UNI_STREAMS,
    QUIC_WINDOW, READ_BYTES,
};
use crate::server_url::ServerUrl;
use crate::tls_failure;
use crate::transport::{
    Connection, FarEnd, Incoming, closed, cut_off, deliver, deliver_all, fail, pair,
};
use crate::trust::Trust;

/// How long the server may take to acknowledge the last bytes.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Connects and opens the control stream.
pub(crate) async fn connect(url: &ServerUrl, trust: &Trust) -> Result<Connection, ClientError> {
    let config = client_config(trust)?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the server's name has no address");
    let addresses = tokio::net::lookup_host((url.host.as_str(), url.port)).await?;
    for address in addresses {
        match connect_to(address, &url.host, config.clone()).await {
            Ok(connection) => return Ok(connection),
            Err(ClientError::Io(error)) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(ClientError::Io(last))
}

fn client_config(trust: &Trust) -> Result<ClientConfig, ClientError> {
    let tls = trust.client_config(ALPN)?;
    let crypto = QuicClientConfig::try_from(tls)
        .map_err(|error| ClientError::Trust(format!("TLS 1.3 is not available: {error}")))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport_config()));
    Ok(config)
}

fn transport_config() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = VarInt::from_u64(QUIC_IDLE_MS).expect("90 s are few milliseconds");
    transport
        .max_idle_timeout(Some(idle.into()))
        .keep_alive_interval(Some(Duration::from_millis(QUIC_KEEP_ALIVE_MS)))
        .stream_receive_window(VarInt::from_u32(QUIC_STREAM_WINDOW))
        .receive_window(VarInt::from_u32(QUIC_WINDOW))
        .max_concurrent_uni_streams(VarInt::from_u32(QUIC_UNI_STREAMS))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(Some(QUIC_DATAGRAM_BYTES));
    transport
}

async fn connect_to(
    address: SocketAddr,
    host: &str,
    config: ClientConfig,
) -> Result<Connection, ClientError> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let mut endpoint = Endpoint::client(any)?;
    endpoint.set_default_client_config(config);
    let connecting = endpoint
        .connect(address, host)
        .map_err(|error| ClientError::Url(format!("cannot connect to {host}: {error}")))?;
    let quic = connecting.await.map_err(end_of)?;
    let (send, receive) = quic.open_bi().await.map_err(end_of)?;
    Ok(start(endpoint, quic, send, receive))
}

fn start(endpoint: Endpoint, quic: Quic, send: SendStream, receive: RecvStream) -> Connection {
    let (mut near, FarEnd { outbox, inbox }) = pair();
    let mut writer = JoinSet::new();
    writer.spawn(write(endpoint, quic.clone(), send, outbox, inbox.clone()));
    let mut readers = JoinSet::new();
    readers.spawn(read_control(receive, inbox.clone()));
    readers.spawn(read_datagrams(quic.clone(), inbox.clone()));
    readers.spawn(read_streams(quic, inbox));
    near.attach(writer, readers);
    near
}

async fn write(
    endpoint: Endpoint,
    quic: Quic,
    mut send: SendStream,
    mut outbox: mpsc::Receiver<bytes::Bytes>,
    inbox: mpsc::Sender<Incoming>,
) {
    while let Some(bytes) = outbox.recv().await {
        if send.write_chunk(bytes).await.is_err() {
            let reason = quic.closed().await;
            fail(&inbox, end_of(reason)).await;
            return;
        }
    }
    // A connection that is closed forgets what was not acknowledged.
    if send.finish().is_ok() {
        let _ = tokio::time::timeout(FINISH_TIMEOUT, send.stopped()).await;
    }
    quic.close(VarInt::from_u32(0), b"");
    endpoint.wait_idle().await;
}

async fn read_control(receive: RecvStream, inbox: mpsc::Sender<Incoming>) {
    match read_frames(receive, &inbox).await {
        Ok(()) => {
            fail(&inbox, closed(Some(Code::Ok), "", 0)).await;
        }
        Err(Some(error)) => {
            fail(&inbox, error).await;
        }
        Err(None) => {}
    }
}

/// Batches on streams of their own. One that is reset was revoked: nothing to tell.
async fn read_streams(quic: Quic, inbox: mpsc::Sender<Incoming>) {
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            stream = quic.accept_uni() => match stream {
                Ok(stream) => {
                    let inbox = inbox.clone();
                    streams.spawn(async move {
                        if let Err(Some(error @ ClientError::Protocol(_))) = read_frames(stream, &inbox).await {
                            fail(&inbox, error).await;
                        }
                    });
                }
                Err(error) => {
                    fail(&inbox, end_of(error)).await;
                    return;
                }
            },
            Some(_) = streams.join_next(), if !streams.is_empty() => {}
        }
    }
}

async fn read_datagrams(quic: Quic, inbox: mpsc::Sender<Incoming>) {
    // The end of the connection is told by `read_streams`.
    while let Ok(datagram) = quic.read_datagram().await {
        if !deliver_all(&inbox, datagram).await {
            return;
        }
    }
}

/// Reads a stream of frames to its end. An error of `None`: nobody listens any more.
async fn read_frames(
    mut stream: RecvStream,
    inbox: &mpsc::Sender<Incoming>,
) -> Result<(), Option<ClientError>> {
    let mut splitter = Splitter::new(SERVER_FRAME_BYTES_MAX);
    let lost = |error: ReadError| match error {
        ReadError::ConnectionLost(reason) => end_of(reason),
        other => ClientError::Io(other.into()),
    };
    while let Some(chunk) = stream.read_chunk(READ_BYTES, true).await.map_err(lost)? {
        splitter.push(&chunk.bytes);
        while let Some(frame) = splitter.next_frame().map_err(ClientError::Protocol)? {
            if !deliver(inbox, frame).await {
                return Err(None);
            }
        }
    }
    if splitter.is_empty() {
        Ok(())
    } else {
        Err(Some(cut_off()))
    }
}

/// Whose doing the end of a connection is.
fn end_of(error: ConnectionError) -> ClientError {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let number = u16::try_from(close.error_code.into_inner()).ok();
            let text = String::from_utf8_lossy(&close.reason);
            closed(number.and_then(Code::from_u16), &text, 0)
        }
        // A handshake that fails by the certificate or the protocol does not heal by itself.
        ConnectionError::TransportError(error) if is_handshake(error.code) => {
            ClientError::Trust(tls_failure::text(error))
        }
        error => ClientError::Io(error.into()),
    }
}

/// TLS alerts are the codes from 0x100 to 0x1ff.
fn is_handshake(code: TransportErrorCode) -> bool {
    (0x100..0x200).contains(&u64::from(code))
}
