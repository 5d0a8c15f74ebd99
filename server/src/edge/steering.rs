//! Steers QUIC packets to the shard that holds their connection.
//!
//! All shards' UDP sockets share one port. Left alone the kernel picks one by the sender's
//! address, and a phone that changes its network would reach a shard that does not know it. Here
//! a small classic BPF program picks the socket from the first byte of the destination connection
//! id instead, which [`crate::edge::quic_id`] makes congruent to the shard's number.
//!
//! ```text
//!   0  ld  length          shorter than a packet with an id of ours: unknown
//!   1  jge 9 or -> 11
//!   2  ld  byte 0          long header? (handshake: the id begins at byte 6)
//!   3  jset 0x80 -> 6
//!   4  ld  byte 1          short header: the id begins at byte 1
//!   5  ja  -> 9
//!   6  ld  byte 5          the length of the id in a long header
//!   7  jeq 0 -> 11         none: unknown
//!   8  ld  byte 6
//!   9  mod shards
//!  10  ret A               index of the socket, in the order of binding
//!  11  ret 2^32 - 1        no such socket: the kernel picks one by addresses
//! ```
//! The first packet of a connection carries an id of the client's choice, which is as good as
//! random: it spreads connections over shards, and repetitions of it reach the same one. What
//! names no shard goes where the kernel's hash of the addresses says.

use std::io;
use std::mem::size_of_val;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use crate::edge::quic_id::ID_BYTES;

/// `opcode, jump if true, jump if false, operand` of one instruction.
type Instruction = (u16, u8, u8, u32);

/// Load the byte at an absolute position.
const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
/// Load the packet's length.
const LOAD_LENGTH: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_LEN) as u16;
/// Jump if it is at least this.
const JUMP_IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
/// Jump if it is exactly this.
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
/// Jump if any of these bits is set.
const JUMP_IF_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
/// Jump.
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
/// Remainder by a constant.
const MODULO: u16 = (libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K) as u16;
/// Return the accumulator.
const RETURN: u16 = (libc::BPF_RET | libc::BPF_A) as u16;
/// Return a constant.
const RETURN_CONSTANT: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Bytes of the shortest packet that can carry an id of ours: its first byte and the id.
const PACKET_BYTES_MIN: usize = 1 + ID_BYTES;
/// The bit of the first byte that tells a long header.
const LONG_HEADER: u8 = 0x80;
/// No socket has this index: the kernel then picks one as if there were no program.
const NO_SOCKET: u32 = u32::MAX;

/// Attaches the program to the group of sockets that `socket` belongs to. Call once, after the
/// last of them is bound: the order of binding is the order of shards.
///
/// # Errors
/// What the kernel says; then it picks the socket by addresses, and packets of phones that change
/// their network get lost, nothing else.
pub fn attach(socket: &UdpSocket, shards: u16) -> io::Result<()> {
    let program = program(shards);
    let mut filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k })
        .collect();
    let option = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    set(
        socket,
        libc::SOL_SOCKET,
        libc::SO_ATTACH_REUSEPORT_CBPF,
        &option,
    )
}

/// Tells the kernel not to join packets before it picks the socket (GRO, which the QUIC socket has turned on):
/// those of two connections behind one address would all follow the first one's id. Call after
/// the socket was prepared.
///
/// # Errors
/// What the kernel says; then connections behind one address may lose packets.
pub fn keep_packets_apart(socket: &UdpSocket) -> io::Result<()> {
    let off: libc::c_int = 0;
    set(socket, libc::SOL_UDP, libc::UDP_GRO, &off)
}

/// One `setsockopt`. The options above copy what they are given, and what the program points to.
fn set<T>(socket: &UdpSocket, level: i32, option: i32, value: &T) -> io::Result<()> {
    // SAFETY: the descriptor is open while `socket` lives; `value`, and for the filter the
    // instructions that it points to, live until the call returns, and the kernel copies them.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of_val(value) as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn program(shards: u16) -> [Instruction; 12] {
    assert!(shards > 0, "a group of sockets has at least one");
    [
        (LOAD_LENGTH, 0, 0, 0),
        (JUMP_IF_AT_LEAST, 0, 9, PACKET_BYTES_MIN as u32),
        (LOAD_BYTE, 0, 0, 0),
        (JUMP_IF_SET, 2, 0, u32::from(LONG_HEADER)),
        (LOAD_BYTE, 0, 0, 1),
        (JUMP, 0, 0, 3),
        (LOAD_BYTE, 0, 0, 5),
        (JUMP_IF_EQUAL, 3, 0, 0),
        (LOAD_BYTE, 0, 0, 6),
        (MODULO, 0, 0, u32::from(shards)),
        (RETURN, 0, 0, 0),
        (RETURN_CONSTANT, 0, 0, NO_SOCKET),
    ]
}

/// The shard that a packet names, by the rule of the program.
fn named_shard(packet: &[u8], shards: u16) -> Option<u16> {
    if packet.len() < PACKET_BYTES_MIN {
        return None;
    }
    let id = match packet[0] & LONG_HEADER {
        0 => packet[1],
        _ if packet[5] == 0 => return None,
        _ => packet[6],
    };
    Some(u16::from(id) % shards)
}

/// Whether a packet of an established connection (short header) came to another shard than the
/// one it names: it was not steered.
pub fn is_astray(packet: &[u8], shard: u16, shards: u16) -> bool {
    let is_established = packet.first().is_some_and(|first| first & LONG_HEADER == 0);
    is_established && named_shard(packet, shards).is_some_and(|named| named != shard)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::edge::bind::bind_udp;

    const SHARDS: u16 = 3;

    /// A group of sockets with the program, and its address.
    fn group() -> (Vec<UdpSocket>, SocketAddr) {
        let sockets = bind_udp("127.0.0.1:0".parse().unwrap(), SHARDS).unwrap();
        let address = sockets[0].local_addr().unwrap();
        for socket in &sockets {
            socket.set_nonblocking(false).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
        }
        (sockets, address)
    }

    #[test]
    fn the_first_byte_of_the_id_picks_the_socket() {
        let (sockets, address) = group();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for id in 0..=255u8 {
            let short = [0x40, id, 9, 9, 9, 9, 99, 9, 9];
            let long = [0xc0, 0, 0, 0, 1, 8, id, 9, 9];
            for packet in [short, long] {
                let shard = named_shard(&packet, SHARDS).unwrap();
                assert_eq!(shard, u16::from(id) % SHARDS);
                sender.send_to(&packet, address).unwrap();
                let mut got = [0; 16];
                let len = sockets[usize::from(shard)].recv(&mut got).unwrap();
                assert_eq!(got[..len], packet);
                for other in 0..SHARDS {
                    let astray = packet[0] & LONG_HEADER == 0 && other != shard;
                    assert_eq!(is_astray(&packet, other, SHARDS), astray);
                }
            }
        }
    }

    /// Many senders, each with one packet that names no shard: the kernel spreads them, and
    /// sends all packets of one sender to one socket.
    #[test]
    fn what_names_no_shard_is_spread_by_the_kernel() {
        let (sockets, address) = group();
        let packets: [&[u8]; 3] = [
            &[0x40, 0, 9, 9, 9, 9, 9, 9],
            &[0xc0, 0, 0, 0, 1, 8, 0, 9],
            &[0xc0, 0, 0, 0, 1, 0, 0, 9, 9],
        ];
        let senders: Vec<_> = (0..60)
            .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
            .collect();
        for packet in packets {
            assert_eq!(named_shard(packet, SHARDS), None);
            assert!(!is_astray(packet, 1, SHARDS));
            for sender in &senders {
                sender.send_to(packet, address).unwrap();
            }
        }
        let (mut reached, mut taken) = (HashMap::new(), 0);
        for (shard, socket) in sockets.iter().enumerate() {
            socket.set_nonblocking(true).unwrap();
            while let Ok((_, from)) = socket.recv_from(&mut [0; 16]) {
                assert_eq!(*reached.entry(from).or_insert(shard), shard);
                taken += 1;
            }
        }
        assert_eq!(taken, senders.len() * packets.len());
        let shards: HashSet<_> = reached.into_values().collect();
        assert_eq!(shards.len(), usize::from(SHARDS));
    }
}
