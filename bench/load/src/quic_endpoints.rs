//! Sockets and connections for many QUIC viewers.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, TokioRuntime, TransportConfig, VarInt,
};
use skein_client::limits::{
    QUIC_DATAGRAM_BYTES, QUIC_IDLE_MS, QUIC_KEEP_ALIVE_MS, QUIC_STREAM_WINDOW, QUIC_UNI_STREAMS,
    QUIC_WINDOW,
};
use skein_client::trust::Trust;
use skein_wire::limits::ALPN;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::timeout;

use crate::fault::Fault;
use crate::plan::TlsPlan;

/// Viewers that share a socket: what is on its way to them fits its receive buffer, and neither descriptors nor
/// the library's own buffers, two megabytes for each socket, are what ends a crowd.
const VIEWERS_PER_SOCKET: usize = 64;

/// How long a handshake may take: packets of it may be lost again and again where a hundred thousand come.
const DIAL_MAX: Duration = Duration::from_secs(5);

/// Handshakes of one viewer at most.
const DIALS_MAX: usize = 5;

/// Receive buffer that is asked for, bytes. The system may give less.
const RECEIVE_BYTES: usize = 4 << 20;

/// The sockets of a worker.
pub struct QuicEndpoints {
    endpoints: Vec<Endpoint>,
    address: SocketAddr,
    name: String,
}

impl QuicEndpoints {
    /// For so many viewers. Call it within a runtime.
    ///
    /// # Errors
    /// When the certificates are no good, or the system has no sockets to give.
    pub fn new(address: SocketAddr, tls: &TlsPlan, viewers: usize) -> Result<Self, Fault> {
        let trust = match &tls.ca {
            Some(path) => Trust::from_pem_file(path)?,
            None => Trust::Anybody,
        };
        let crypto = QuicClientConfig::try_from(trust.client_config(ALPN)?)
            .map_err(|error| Fault::Plan(format!("TLS 1.3 is not available: {error}")))?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport()));
        let endpoint = |_| {
            let mut endpoint = Endpoint::new(
                EndpointConfig::default(),
                None,
                socket(address)?,
                Arc::new(TokioRuntime),
            )?;
            endpoint.set_default_client_config(config.clone());
            Ok(endpoint)
        };
        let count = viewers.div_ceil(VIEWERS_PER_SOCKET);
        Ok(Self {
            endpoints: (0..count).map(endpoint).collect::<Result<_, Fault>>()?,
            address,
            name: tls.name.clone(),
        })
    }

    /// Connects viewer number `index` of the worker, and dials again as a client does.
    ///
    /// # Errors
    /// When the server is not there or does not want it, again and again.
    pub async fn connect(&self, index: usize) -> Result<Connection, Fault> {
        for _ in 1..DIALS_MAX {
            if let Ok(Ok(connection)) = timeout(DIAL_MAX, self.dial(index)).await {
                return Ok(connection);
            }
        }
        self.dial(index).await
    }

    async fn dial(&self, index: usize) -> Result<Connection, Fault> {
        let endpoint = &self.endpoints[index % self.endpoints.len()];
        let connecting = endpoint
            .connect(self.address, &self.name)
            .map_err(|error| Fault::Plan(format!("cannot connect to {}: {error}", self.name)))?;
        connecting
            .await
            .map_err(|error| Fault::Refused(error.to_string()))
    }
}

fn socket(address: SocketAddr) -> Result<UdpSocket, Fault> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    socket.bind(&any.into())?;
    Ok(socket.into())
}

/// As the client has it.
fn transport() -> TransportConfig {
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
