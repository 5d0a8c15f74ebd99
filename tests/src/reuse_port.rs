//! Which socket of a group the kernel picks by the addresses of a packet.
//!
//! Sockets that share a port (SO_REUSEPORT) each get the packets of some senders, by a hash of
//! both addresses. Its secret belongs to the running kernel, so a group of our own on the port
//! that a server will have later shows to which of its shards a sender's packets would go if
//! nothing steered them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Senders that are tried until each socket has enough of them.
const SENDERS_MAX: usize = 1_000;

/// Longest wait for a packet on loopback.
const PATIENCE: Duration = Duration::from_secs(5);

/// A place for a server, and addresses by the shard that the kernel would choose for them.
pub struct Places {
    /// Where the server is to listen.
    pub server: SocketAddr,
    /// For each shard, local addresses of clients.
    pub clients: Vec<Vec<SocketAddr>>,
}

/// Finds a free UDP port for a server with so many shards, and `each` client addresses for each of
/// them, on several addresses of the loopback network.
///
/// # Errors
/// What the sockets say.
///
/// # Panics
/// If the kernel spreads senders so unevenly that one shard gets too few of many.
pub fn find(shards: usize, each: usize) -> io::Result<Places> {
    let mut server = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut group = Vec::new();
    for _ in 0..shards {
        let socket = member(server)?;
        server = socket.local_addr()?;
        group.push(socket);
    }
    let mut clients = vec![Vec::new(); shards];
    for number in 0..SENDERS_MAX {
        if clients.iter().all(|found: &Vec<_>| found.len() >= each) {
            break;
        }
        let host = Ipv4Addr::new(127, 0, 0, 1 + (number % 3) as u8);
        let sender = UdpSocket::bind((host, 0))?;
        sender.send_to(&[0], server)?;
        let place = receiver(&group)?;
        if clients[place].len() < each {
            clients[place].push(sender.local_addr()?);
        }
    }
    let enough = clients.iter().all(|found| found.len() == each);
    assert!(enough, "the kernel spreads senders: {clients:?}");
    Ok(Places { server, clients })
}

fn member(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The member that has a packet.
fn receiver(group: &[UdpSocket]) -> io::Result<usize> {
    let found = crate::wait::until_some("a packet on loopback arrives", PATIENCE, || {
        let has_one = |socket: &UdpSocket| socket.recv_from(&mut [0; 8]).is_ok();
        group.iter().position(has_one)
    });
    Ok(found)
}
