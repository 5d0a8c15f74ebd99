//! A packet that waits to be sent, and what the kernel is told beside its bytes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use quinn_proto::{EcnCodepoint, Transmit};

/// Bytes of control data: ECN, segment size and an IPv6 source address, each with its header.
const CONTROL_BYTES: usize = 2 * (HEADER_BYTES + 8) + HEADER_BYTES + 24;
/// Bytes before the data of one item: its length, level and type.
const HEADER_BYTES: usize = size_of::<libc::cmsghdr>();
/// Where items begin and end.
const ALIGNMENT: usize = size_of::<usize>();

/// No connection: an answer of the endpoint itself.
pub const NOBODY: u32 = u32::MAX;

/// One UDP datagram, or several of one size to one client.
#[derive(Debug)]
pub struct Packet {
    /// The place of the connection it belongs to, or [`NOBODY`].
    pub owner: u32,
    /// Its bytes; the memory is used again and again.
    pub bytes: Vec<u8>,
    /// Where it goes.
    pub to: SocketAddr,
    /// The address of ours it comes from, where we have several.
    from: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    /// Bytes of each datagram but the last, when there are several.
    segment_bytes: Option<u16>,
}

impl Packet {
    /// A packet to be filled.
    pub fn empty() -> Self {
        Self {
            owner: NOBODY,
            bytes: Vec::new(),
            to: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            from: None,
            ecn: None,
            segment_bytes: None,
        }
    }

    /// Says where the bytes go. `names_source` tells whether our address is to be named.
    pub fn address(&mut self, transmit: &Transmit, names_source: bool) {
        self.bytes.truncate(transmit.size);
        self.to = transmit.destination;
        self.from = transmit.src_ip.filter(|_| names_source);
        self.ecn = transmit.ecn;
        self.segment_bytes = transmit
            .segment_size
            .map(|len| u16::try_from(len).expect("a datagram's length fits its header"));
    }

    /// Whether the kernel is to cut it up.
    pub fn is_segmented(&self) -> bool {
        self.segment_bytes.is_some()
    }

    /// What the kernel is told beside the bytes.
    pub fn control(&self) -> Control {
        let mut control = Control::default();
        if let Some(ecn) = self.ecn {
            let (level, kind) = match is_ipv4(self.to.ip()) {
                true => (libc::IPPROTO_IP, libc::IP_TOS),
                false => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
            };
            control.push(level, kind, &(ecn as libc::c_int).to_ne_bytes());
        }
        if let Some(len) = self.segment_bytes {
            control.push(libc::SOL_UDP, libc::UDP_SEGMENT, &len.to_ne_bytes());
        }
        match self.from {
            // in_pktinfo: the interface (any), the source address, an address of no meaning here.
            Some(IpAddr::V4(from)) => {
                let mut info = [0; 12];
                info[4..8].copy_from_slice(&from.octets());
                control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            // in6_pktinfo: the source address, the interface (any).
            Some(IpAddr::V6(from)) => {
                let mut info = [0; 20];
                info[..16].copy_from_slice(&from.octets());
                control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
            None => {}
        }
        control
    }
}

/// Control data as the kernel reads it: items of a length, a level, a type and data each.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Control {
    bytes: [u8; CONTROL_BYTES],
    len: usize,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            bytes: [0; CONTROL_BYTES],
            len: 0,
        }
    }
}

impl Control {
    /// The bytes in use.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    fn push(&mut self, level: libc::c_int, kind: libc::c_int, data: &[u8]) {
        let item = &mut self.bytes[self.len..];
        let (len, rest) = item.split_at_mut(size_of::<usize>());
        let (head, rest) = rest.split_at_mut(HEADER_BYTES - size_of::<usize>());
        len.copy_from_slice(&(HEADER_BYTES + data.len()).to_ne_bytes());
        head[..4].copy_from_slice(&level.to_ne_bytes());
        head[4..].copy_from_slice(&kind.to_ne_bytes());
        rest[..data.len()].copy_from_slice(data);
        self.len += HEADER_BYTES + data.len().next_multiple_of(ALIGNMENT);
    }
}

fn is_ipv4(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => ip.to_ipv4_mapped().is_some(),
    }
}
