//! Steers QUIC packets to the shard that holds their connection.
//!
//! All shards' UDP sockets share one port. Left alone the kernel picks one by the sender's
//! address, and a phone that changes its network would reach a shard that does not know it. Here
//! a small classic BPF program picks the socket from the first byte of the destination connection
//! id instead, which [`crate::edge::quic_id`] makes congruent to the shard's number.
//!
//! ```text
//!   0  ld  byte 0          long header? (handshake: the id begins at byte 6)
//!   1  jset 0x80 -> 4
//!   2  ld  byte 1          short header: the id begins at byte 1
//!   3  ja  -> 5
//!   4  ld  byte 6
//!   5  mod shards
//!   6  ret A               index of the socket, in the order of binding
//! ```
//! The first packet of a connection carries an id of the client's choice, which is as good as
//! random: it spreads connections over shards. A packet too short for this goes to shard 0.

use std::io;
use std::mem::size_of_val;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// `opcode, jump if true, jump if false, operand` of one instruction.
type Instruction = (u16, u8, u8, u32);

/// Load the byte at an absolute position.
const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
/// Jump if any of these bits is set.
const JUMP_IF_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
/// Jump.
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
/// Remainder by a constant.
const MODULO: u16 = (libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K) as u16;
/// Return the accumulator.
const RETURN: u16 = (libc::BPF_RET | libc::BPF_A) as u16;

/// Attaches the program to the group of sockets that `socket` belongs to. Call once, after the
/// last of them is bound: the order of binding is the order of shards.
///
/// # Errors
/// What the kernel says; then packets of phones that change their network get lost, nothing else.
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

fn program(shards: u16) -> [Instruction; 7] {
    assert!(shards > 0, "a group of sockets has at least one");
    [
        (LOAD_BYTE, 0, 0, 0),
        (JUMP_IF_SET, 2, 0, 0x80),
        (LOAD_BYTE, 0, 0, 1),
        (JUMP, 0, 0, 1),
        (LOAD_BYTE, 0, 0, 6),
        (MODULO, 0, 0, u32::from(shards)),
        (RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::edge::bind::bind_udp;

    #[test]
    fn the_first_byte_of_the_id_picks_the_socket() {
        let sockets = bind_udp("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let address = sockets[0].local_addr().unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for socket in &sockets {
            socket.set_nonblocking(false).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
        }
        for id in 0..30u8 {
            let short = [0x40, id, 9, 9, 9, 9, 99, 9];
            let long = [0xc0, 0, 0, 0, 1, 8, id, 9];
            for packet in [short, long] {
                sender.send_to(&packet, address).unwrap();
                let mut got = [0; 16];
                let socket = &sockets[usize::from(id) % 3];
                let len = socket.recv(&mut got).unwrap();
                assert_eq!(got[..len], packet);
            }
        }
    }
}
