//! Floor of publishing over QUIC without QUIC: what comes from the publisher is sealed for each
//! viewer with a key of its own (AES-128-GCM, a short header as additional data) and handed to
//! the kernel by `sendmmsg`, 64 datagrams a call. No acknowledgements, no loss, no protocol.
//!
//! Expected, on a virtual machine with two cores of an AMD EPYC (Zen 4 or 5), Linux 6.18, loopback:
//! 210,000 to 420,000 deliveries per second of processor time.
//!
//! On one of an Intel Xeon: 480,000 to 960,000.

use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

use crate::floors::expected::Expected;

/// Where the deliveries per second of processor time lie on the machine above.
pub const EXPECTED: Expected = Expected::new(210e3..420e3, 480e3..960e3);

/// Datagrams of one call.
const DATAGRAMS_PER_CALL: usize = 64;

/// Bytes of a short header: flags, a connection number of eight, a packet number of two.
const HEADER_BYTES: usize = 11;

/// Largest message.
const READ_BYTES: usize = 2_048;

struct Viewer {
    address: SocketAddrAny,
    key: LessSafeKey,
    packet: u64,
    datagram: Vec<u8>,
}

/// Serves until it is ended: seals each datagram that comes for so many viewers, who listen on
/// these ports of this machine in turn. Says its own port on stdout.
///
/// # Panics
/// If the kernel refuses something.
pub fn serve(viewers: usize, ports: &[u16]) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    println!("{}", socket.local_addr().expect("bound").port());
    let viewer = |index: usize| {
        let port = ports[index % ports.len()];
        let mut key = [7; 16];
        key[..8].copy_from_slice(&(index as u64).to_le_bytes());
        let key = UnboundKey::new(&AES_128_GCM, &key).expect("sixteen bytes");
        Viewer {
            address: SocketAddr::from(([127, 0, 0, 1], port)).into(),
            key: LessSafeKey::new(key),
            packet: 0,
            datagram: Vec::new(),
        }
    };
    let mut viewers: Vec<Viewer> = (0..viewers).map(viewer).collect();
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(count) = socket.recv(&mut buffer) {
        for some in viewers.chunks_mut(DATAGRAMS_PER_CALL) {
            some.iter_mut()
                .for_each(|viewer| viewer.seal(&buffer[..count]));
            send(&socket, some);
        }
    }
}

impl Viewer {
    fn seal(&mut self, message: &[u8]) {
        self.packet += 1;
        let mut nonce = [0; NONCE_LEN];
        nonce[4..].copy_from_slice(&self.packet.to_be_bytes());
        self.datagram.clear();
        self.datagram.resize(HEADER_BYTES, 0x40);
        self.datagram.extend_from_slice(message);
        let (header, body) = self.datagram.split_at_mut(HEADER_BYTES);
        header[HEADER_BYTES - 2..].copy_from_slice(&(self.packet as u16).to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(&*header), body)
            .expect("a short message");
        self.datagram.extend_from_slice(tag.as_ref());
    }
}

fn send(socket: &UdpSocket, viewers: &[Viewer]) {
    let parts: Vec<[IoSlice<'_>; 1]> = viewers
        .iter()
        .map(|viewer| [IoSlice::new(&viewer.datagram)])
        .collect();
    let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> = Vec::new();
    controls.resize_with(viewers.len(), SendAncillaryBuffer::default);
    let all = viewers.iter().zip(&parts).zip(&mut controls);
    let mut messages: Vec<MMsgHdr<'_>> = all
        .map(|((viewer, part), control)| MMsgHdr::new_with_addr(&viewer.address, part, control))
        .collect();
    let mut sent = 0;
    while sent < messages.len() {
        sent += sendmmsg(socket, &mut messages[sent..], SendFlags::empty()).expect("sent");
    }
}
