//! The UDP socket of a shard: packets in and out by the batch.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use quinn_proto::{EcnCodepoint, Transmit};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};

use crate::edge::quic_outbox::{QuicOutbox, Sent};
use crate::edge::quic_packet::{NOBODY, Packet};
use crate::edge::quic_sendmmsg::sendmmsg;
use crate::edge::steering;
use crate::limits::QUIC_SEGMENTS_MAX;

/// What is known of a received datagram beside its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Who sent it.
    pub from: SocketAddr,
    /// To which address of ours.
    pub to: Option<IpAddr>,
    /// What the network says about itself.
    pub ecn: Option<EcnCodepoint>,
}

/// The socket.
#[derive(Debug)]
pub struct QuicSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Room for one batch of packets, each perhaps several datagrams that the kernel has joined.
    received: Box<[u8]>,
    out: WayOut,
}

/// What leaves.
#[derive(Debug)]
struct WayOut {
    /// We have several addresses and answer from the one that was asked.
    names_source: bool,
    /// Datagrams that the kernel cuts one packet into, at most.
    segments_max: usize,
    outbox: QuicOutbox,
    blocked: bool,
}

impl QuicSocket {
    /// Prepares a bound socket for datagrams of at most `datagram_bytes_max` bytes. `alone` tells
    /// whether it has the port to itself.
    ///
    /// # Errors
    /// When the system refuses what QUIC needs.
    pub fn new(socket: UdpSocket, datagram_bytes_max: usize, alone: bool) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        let mut joined = state.gro_segments();
        if !alone {
            match steering::keep_packets_apart(&socket) {
                Ok(()) => joined = 1,
                Err(error) => {
                    tracing::warn!(%error, "connections behind one address may lose packets");
                }
            }
        }
        Ok(Self {
            received: vec![0; datagram_bytes_max * joined * BATCH_SIZE].into(),
            out: WayOut {
                names_source: socket.local_addr()?.ip().is_unspecified(),
                segments_max: state.max_gso_segments().min(QUIC_SEGMENTS_MAX),
                outbox: QuicOutbox::new(),
                blocked: false,
            },
            state,
            socket,
        })
    }

    /// Takes one batch of datagrams, each told to `each`. Returns how many there were, and
    /// whether there may be more.
    pub fn receive(
        &mut self,
        mut each: impl FnMut(Origin, &[u8], &mut Answers<'_>),
    ) -> (usize, bool) {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let len = self.received.len() / BATCH_SIZE;
        let mut rest = &mut self.received[..];
        let mut parts: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
            let (part, behind) = std::mem::take(&mut rest).split_at_mut(len);
            rest = behind;
            IoSliceMut::new(part)
        });
        let packets = match self
            .state
            .recv((&self.socket).into(), &mut parts, &mut metas)
        {
            Ok(packets) => packets,
            // Somebody may have sent us that; it says nothing about a connection.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (0, true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (0, false),
            Err(error) => {
                tracing::error!(%error, "the UDP socket cannot be read");
                return (0, false);
            }
        };
        let mut answers = Answers {
            socket: &self.socket,
            out: &mut self.out,
        };
        let mut datagrams = 0;
        for (meta, part) in metas.iter().zip(&parts).take(packets) {
            let origin = Origin {
                from: meta.addr,
                to: meta.dst_ip,
                ecn: meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
            };
            for datagram in part[..meta.len].chunks(meta.stride.max(1)) {
                datagrams += 1;
                each(origin, datagram, &mut answers);
            }
        }
        (datagrams, packets == BATCH_SIZE)
    }

    /// Puts a packet of the endpoint itself in line.
    pub fn answer(&mut self, transmit: Transmit, bytes: &mut Vec<u8>) {
        let mut answers = Answers {
            socket: &self.socket,
            out: &mut self.out,
        };
        answers.push(transmit, bytes);
    }

    /// Lets a connection fill a packet. Sends those that wait when there is none to fill; false
    /// when the socket does not take them, or the connection has nothing to say.
    pub fn fill(
        &mut self,
        owner: u32,
        fill: impl FnOnce(usize, &mut Vec<u8>) -> Option<Transmit>,
    ) -> bool {
        let Self { socket, out, .. } = self;
        let segments_max = out.segments_max;
        out.push(socket, owner, |bytes| fill(segments_max, bytes))
    }

    /// Throws away what waits of one connection.
    pub fn discard(&mut self, owner: u32) {
        self.out.outbox.discard(owner);
    }

    /// Sends what waits, as far as the socket takes it.
    pub fn send(&mut self) {
        self.out.send(&self.socket);
    }

    /// Whether the socket was full when it was last asked.
    pub fn is_blocked(&self) -> bool {
        self.out.blocked
    }

    /// Whether no packet waits.
    pub fn is_empty(&self) -> bool {
        self.out.outbox.is_empty()
    }
}

impl AsFd for QuicSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl WayOut {
    /// Puts a packet in line; sends those that wait when there is no room. False when the socket does not
    /// take them, or there is nothing to fill it with.
    fn push(
        &mut self,
        socket: &UdpSocket,
        owner: u32,
        fill: impl FnOnce(&mut Vec<u8>) -> Option<Transmit>,
    ) -> bool {
        if self.outbox.is_full() {
            self.send(socket);
        }
        let Some(packet) = self.outbox.vacant() else {
            return false;
        };
        let Some(transmit) = fill(&mut packet.bytes) else {
            return false;
        };
        packet.owner = owner;
        packet.address(&transmit, self.names_source);
        self.outbox.push();
        true
    }

    fn send(&mut self, socket: &UdpSocket) {
        let segments_max = &mut self.segments_max;
        let sent = self.outbox.send(
            |packets| sendmmsg(socket.as_fd(), packets),
            |packet, error| look_into(packet, error, segments_max),
        );
        self.blocked = sent == Sent::Blocked;
    }
}

/// Where answers of the endpoint go while packets are taken.
#[derive(Debug)]
pub struct Answers<'a> {
    socket: &'a UdpSocket,
    out: &'a mut WayOut,
}

impl Answers<'_> {
    /// Puts an answer in line, and sends the line first when it is full: all who come back at once are
    /// answered in one pass. Where the socket takes no more it is lost, and whoever asked will ask again.
    pub fn push(&mut self, transmit: Transmit, bytes: &mut Vec<u8>) {
        self.out.push(self.socket, NOBODY, |packet| {
            std::mem::swap(packet, bytes);
            Some(transmit)
        });
    }
}

/// A packet that the kernel refuses is lost like one on the way. An interface that cannot cut
/// packets up says so in this way, and is not asked again.
fn look_into(packet: &Packet, error: &io::Error, segments_max: &mut usize) {
    let cannot_cut = matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL));
    if packet.is_segmented() && cannot_cut && *segments_max > 1 {
        tracing::info!(%error, "packets are not cut up by the kernel any more");
        *segments_max = 1;
    }
    tracing::debug!(%error, "a packet was not sent");
}
