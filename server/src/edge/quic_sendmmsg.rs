//! Many packets to many clients in one system call.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use socket2::SockAddr;

use crate::edge::quic_packet::{Control, Packet};
use crate::limits::QUIC_PACKETS_PER_SEND_MAX;

/// Sends the first packets of the slice, at most [`QUIC_PACKETS_PER_SEND_MAX`], in one call.
/// Returns how many the kernel has taken.
///
/// # Errors
/// What the kernel says about the first of them; then it has taken none.
pub fn sendmmsg(socket: BorrowedFd<'_>, packets: &[Packet]) -> io::Result<usize> {
    let count = packets.len().min(QUIC_PACKETS_PER_SEND_MAX);
    let packets = &packets[..count];
    let mut names: [Option<SockAddr>; QUIC_PACKETS_PER_SEND_MAX] = [const { None }; _];
    let mut controls: [Control; QUIC_PACKETS_PER_SEND_MAX] =
        std::array::from_fn(|_| Control::default());
    let mut parts = [NO_PART; QUIC_PACKETS_PER_SEND_MAX];
    let mut messages = [no_message(); QUIC_PACKETS_PER_SEND_MAX];
    for (at, packet) in packets.iter().enumerate() {
        let name = names[at].insert(SockAddr::from(packet.to));
        controls[at] = packet.control();
        let control = controls[at].bytes_mut();
        parts[at] = libc::iovec {
            iov_base: packet.bytes.as_ptr().cast_mut().cast(),
            iov_len: packet.bytes.len(),
        };
        let message = &mut messages[at].msg_hdr;
        message.msg_name = name.as_ptr().cast_mut().cast();
        message.msg_namelen = name.len();
        message.msg_iov = &raw mut parts[at];
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = control.len() as _;
    }
    // SAFETY: the first `count` messages point to names, parts, control data and bytes that live
    // until the call returns, with their true lengths; the kernel reads them and writes only
    // `msg_len` of the messages. A control pointer with length 0 is not looked at.
    let taken = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            messages.as_mut_ptr(),
            count as libc::c_uint,
            0,
        )
    };
    usize::try_from(taken).map_err(|_| io::Error::last_os_error())
}

const NO_PART: libc::iovec = libc::iovec {
    iov_base: ptr::null_mut(),
    iov_len: 0,
};

fn no_message() -> libc::mmsghdr {
    // SAFETY: numbers and pointers only, for which zero is a value: nothing of no length.
    unsafe { std::mem::zeroed() }
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
    use std::os::fd::AsFd;

    use quinn_proto::{EcnCodepoint, Transmit};
    use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};

    use super::*;

    fn packet(to: SocketAddr, from: IpAddr, bytes: &[u8], segment_size: Option<usize>) -> Packet {
        let mut packet = Packet::empty();
        packet.bytes.extend_from_slice(bytes);
        let transmit = Transmit {
            destination: to,
            ecn: Some(EcnCodepoint::Ect0),
            size: bytes.len(),
            segment_size,
            src_ip: Some(from),
        };
        packet.address(&transmit, true);
        packet
    }

    /// What arrives: from where, with which ECN, which bytes.
    fn receive(socket: &UdpSocket, state: &UdpSocketState) -> Vec<(IpAddr, u8, Vec<u8>)> {
        let mut rooms = vec![vec![0; 64 * 1024]; BATCH_SIZE];
        let mut rooms: Vec<_> = rooms.iter_mut().map(|room| IoSliceMut::new(room)).collect();
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let count = state.recv(socket.into(), &mut rooms, &mut metas).unwrap();
        let mut got = Vec::new();
        for (meta, room) in metas.iter().zip(&rooms).take(count) {
            let ecn = meta.ecn.map_or(0, |ecn| ecn as u8);
            for datagram in room[..meta.len].chunks(meta.stride) {
                got.push((meta.addr.ip().to_canonical(), ecn, datagram.to_vec()));
            }
        }
        got
    }

    fn check(bound: &str, to: &str, from: IpAddr) {
        let receiver = UdpSocket::bind(to).unwrap();
        let state = UdpSocketState::new((&receiver).into()).unwrap();
        let sender = UdpSocket::bind(bound).unwrap();
        let to = receiver.local_addr().unwrap();
        let packets = [
            packet(to, from, b"one", None),
            packet(to, from, b"two..two..t", Some(5)),
            packet(to, from, b"three", None),
        ];
        assert_eq!(sendmmsg(sender.as_fd(), &packets).unwrap(), 3);
        let mut got = Vec::new();
        while got.len() < 5 {
            got.extend(receive(&receiver, &state));
        }
        let parts: [&[u8]; 5] = [b"one", b"two..", b"two..", b"t", b"three"];
        let ecn = EcnCodepoint::Ect0 as u8;
        let expected = parts.map(|part| (from.to_canonical(), ecn, part.to_vec()));
        assert_eq!(got, expected);
    }

    #[test]
    fn one_call_tells_the_kernel_all_about_each_packet() {
        let second = Ipv4Addr::new(127, 0, 0, 2);
        check("0.0.0.0:0", "127.0.0.1:0", second.into());
        if UdpSocket::bind("[::1]:0").is_ok() {
            check("[::]:0", "[::1]:0", "::1".parse().unwrap());
            check("[::]:0", "127.0.0.1:0", second.to_ipv6_mapped().into());
        }
    }

    #[test]
    fn what_the_first_packet_is_refused_for_is_told() {
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = sender.local_addr().unwrap();
        let elsewhere = Ipv4Addr::new(192, 0, 2, 1).into();
        let own = Ipv4Addr::LOCALHOST.into();
        let packets = [
            packet(to, own, b"good", None),
            packet(to, elsewhere, b"bad", None),
        ];
        assert_eq!(sendmmsg(sender.as_fd(), &packets).unwrap(), 1);
        assert!(sendmmsg(sender.as_fd(), &packets[1..]).is_err());
    }
}
