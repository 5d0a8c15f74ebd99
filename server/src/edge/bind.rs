//! Binds the sockets of all shards before the first of them starts.
//!
//! Each shard has a socket of its own on the common port (SO_REUSEPORT), in the order of their
//! numbers. Another process of the same user could silently join such a group, so the first socket takes
//! the port alone, as if there were no group, and is opened to the others when it has it. Of two
//! servers that start at the same moment one finds the port taken, and says so.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::edge::error::EdgeError;
use crate::edge::steering;
use crate::limits::{QUIC_UDP_BUFFER_BYTES, TCP_BACKLOG};

/// Where to listen; what is `None` is not served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// HTTP and `ws`, plain.
    pub http: Option<SocketAddr>,
    /// HTTP and `wss` over TLS.
    pub https: Option<SocketAddr>,
    /// QUIC.
    pub quic: Option<SocketAddr>,
}

/// The sockets of one shard.
#[derive(Debug, Default)]
pub struct ShardSockets {
    /// HTTP and `ws`, plain.
    pub http: Option<TcpListener>,
    /// HTTP and `wss` over TLS.
    pub https: Option<TcpListener>,
    /// QUIC.
    pub quic: Option<UdpSocket>,
}

/// All sockets, and the addresses they really have.
#[derive(Debug)]
pub struct Bound {
    /// As asked for, with the port that port 0 became.
    pub addresses: Addresses,
    /// One set for each shard, in order.
    pub shards: Vec<ShardSockets>,
}

/// Binds everything for `shards` shards.
///
/// # Errors
/// `Busy` when a port is taken, `Bind` for whatever else the system says.
pub fn bind(addresses: &Addresses, shards: u16) -> Result<Bound, EdgeError> {
    let mut bound = Bound {
        addresses: Addresses::default(),
        shards: (0..shards).map(|_| ShardSockets::default()).collect(),
    };
    if let Some(address) = addresses.http {
        let sockets = bind_tcp(address, shards, "http")?;
        bound.addresses.http = Some(sockets[0].local_addr()?);
        for (shard, socket) in bound.shards.iter_mut().zip(sockets) {
            shard.http = Some(socket);
        }
    }
    if let Some(address) = addresses.https {
        let sockets = bind_tcp(address, shards, "https")?;
        bound.addresses.https = Some(sockets[0].local_addr()?);
        for (shard, socket) in bound.shards.iter_mut().zip(sockets) {
            shard.https = Some(socket);
        }
    }
    if let Some(address) = addresses.quic {
        let sockets = bind_udp(address, shards)?;
        bound.addresses.quic = Some(sockets[0].local_addr()?);
        for (shard, socket) in bound.shards.iter_mut().zip(sockets) {
            shard.quic = Some(socket);
        }
    }
    Ok(bound)
}

/// A group of UDP sockets on one port, steered by connection id.
///
/// # Errors
/// As [`bind`].
pub fn bind_udp(address: SocketAddr, shards: u16) -> Result<Vec<UdpSocket>, EdgeError> {
    let group = bind_group(address, shards, "quic", Type::DGRAM, Protocol::UDP)?;
    let sockets: Vec<UdpSocket> = group.into_iter().map(UdpSocket::from).collect();
    if shards > 1
        && let Err(error) = steering::attach(&sockets[0], shards)
    {
        tracing::warn!(%error, "QUIC packets are not steered: clients that change their network must reconnect");
    }
    Ok(sockets)
}

fn bind_tcp(
    address: SocketAddr,
    shards: u16,
    what: &'static str,
) -> Result<Vec<TcpListener>, EdgeError> {
    let group = bind_group(address, shards, what, Type::STREAM, Protocol::TCP)?;
    Ok(group.into_iter().map(TcpListener::from).collect())
}

fn bind_group(
    address: SocketAddr,
    shards: u16,
    what: &'static str,
    kind: Type,
    protocol: Protocol,
) -> Result<Vec<Socket>, EdgeError> {
    let open = |address, shared| {
        let opened = open(address, kind, protocol, shared);
        opened.map_err(|error| EdgeError::bind(address, what, error))
    };
    let first = open(address, false)?;
    let taken = first.local_addr()?.as_socket().unwrap_or(address);
    if shards > 1 {
        // Who is not of the group asks for the port alone, and is refused from the moment above on.
        first.set_reuse_port(true)?;
    }
    let others = (1..shards).map(|_| open(taken, true));
    std::iter::once(Ok(first)).chain(others).collect()
}

/// A socket that has its port, alone or with others that share it.
fn open(address: SocketAddr, kind: Type, protocol: Protocol, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if kind == Type::STREAM {
        // Connections of a server that has just stopped do not keep its port.
        socket.set_reuse_address(true)?;
    } else {
        ask_for_buffers(&socket, !shared);
    }
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        // A TCP port counts as taken only when somebody listens.
        socket.listen(TCP_BACKLOG)?;
    }
    Ok(socket)
}

/// Wishes: the kernel clamps them, and says so only when asked.
fn ask_for_buffers(socket: &Socket, says_so: bool) {
    let _ = socket.set_recv_buffer_size(QUIC_UDP_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(QUIC_UDP_BUFFER_BYTES);
    if let Ok(granted) = socket.recv_buffer_size()
        && granted < QUIC_UDP_BUFFER_BYTES
        && says_so
    {
        tracing::info!(
            granted,
            "the kernel clamps the UDP buffer; raise net.core.rmem_max for many clients"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn all_shards_share_the_port_that_zero_became() {
        let asked = Addresses {
            http: Some(loopback(0)),
            https: None,
            quic: Some(loopback(0)),
        };
        let bound = bind(&asked, 3).unwrap();
        assert_eq!(bound.addresses.https, None);
        for shard in &bound.shards {
            let http = shard.http.as_ref().unwrap().local_addr().unwrap();
            assert_eq!(Some(http), bound.addresses.http);
            let quic = shard.quic.as_ref().unwrap().local_addr().unwrap();
            assert_eq!(Some(quic), bound.addresses.quic);
        }
    }

    #[test]
    fn a_port_in_use_is_named_and_not_silently_shared() {
        let first = bind(
            &Addresses {
                http: Some(loopback(0)),
                https: None,
                quic: Some(loopback(0)),
            },
            2,
        )
        .unwrap();
        for asked in [
            Addresses {
                http: first.addresses.http,
                ..Addresses::default()
            },
            Addresses {
                quic: first.addresses.quic,
                ..Addresses::default()
            },
        ] {
            let error = bind(&asked, 1).unwrap_err();
            assert!(matches!(error, EdgeError::Busy { .. }), "{error}");
            assert!(error.to_string().contains("another port"), "{error}");
        }
    }
    /// Everybody asks for the same port at the same moment, again and again.
    #[test]
    fn of_servers_that_start_at_once_one_has_the_port() {
        const SERVERS: usize = 3;
        const ROUNDS: usize = 200;
        let free = bind(&every(loopback(0)), 1).unwrap().addresses;
        let asked = [
            Addresses {
                http: free.http,
                ..Addresses::default()
            },
            Addresses {
                quic: free.quic,
                ..Addresses::default()
            },
        ];
        for addresses in asked {
            for round in 0..ROUNDS {
                let results = at_once(SERVERS, || bind(&addresses, 2));
                let winners = results.iter().filter(|it| it.is_ok()).count();
                assert_eq!(winners, 1, "round {round} of {addresses:?}");
                for refused in results.into_iter().filter_map(Result::err) {
                    assert!(matches!(refused, EdgeError::Busy { .. }), "{refused}");
                }
            }
        }
    }

    fn every(address: SocketAddr) -> Addresses {
        Addresses {
            http: Some(address),
            https: None,
            quic: Some(address),
        }
    }

    /// What each of so many threads gets that do the same at the same moment.
    fn at_once<T: Send>(threads: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
        let start = Barrier::new(threads);
        std::thread::scope(|scope| {
            let run = || {
                start.wait();
                work()
            };
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            let ended = running.into_iter().map(|thread| thread.join().unwrap());
            ended.collect()
        })
    }
}
