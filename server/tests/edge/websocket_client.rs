//! A WebSocket client made of bytes, so that a test can break every rule.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use socket2::SockRef;

use crate::harness::PATIENCE;

/// A request for the upgrade.
pub const UPGRADE: &str = "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: skein.v1\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What the server sends.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    End,
}

/// The client, over any stream.
pub struct WebSocketClient<S> {
    pub stream: S,
}

impl WebSocketClient<TcpStream> {
    /// Connects and upgrades.
    pub fn open(to: SocketAddr) -> Self {
        Self::open_with_buffer(to, 64 * 1024)
    }

    /// The same with a receive buffer of that size.
    pub fn open_with_buffer(to: SocketAddr, receive_buffer: usize) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        SockRef::from(&stream)
            .set_recv_buffer_size(receive_buffer)
            .unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::upgrade(stream)
    }
}

impl<S: Read + Write> WebSocketClient<S> {
    /// Upgrades a connected stream.
    pub fn upgrade(stream: S) -> Self {
        let mut client = Self { stream };
        client.stream.write_all(UPGRADE.as_bytes()).unwrap();
        let head = read_head(&mut client.stream);
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        client
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    /// Sends a binary message.
    pub fn message(&mut self, payload: &[u8]) {
        self.raw(&client_frame(0x82, payload));
    }

    /// Reads the next message.
    pub fn read(&mut self) -> Message {
        let mut head = [0; 2];
        if self.stream.read_exact(&mut head).is_err() {
            return Message::End;
        }
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let len = match head[1] {
            126 => u16::from_be_bytes(self.exact()) as usize,
            127 => u64::from_be_bytes(self.exact()) as usize,
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        if self.stream.read_exact(&mut payload).is_err() {
            return Message::End;
        }
        match head[0] {
            0x82 => Message::Binary(payload),
            0x8a => Message::Pong(payload),
            0x88 => Message::Close(
                payload
                    .get(..2)
                    .map_or(0, |code| u16::from_be_bytes([code[0], code[1]])),
                String::from_utf8(payload.get(2..).unwrap_or(&[]).to_vec()).unwrap(),
            ),
            other => panic!("opcode byte {other:#x}"),
        }
    }

    fn exact<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }
}

/// A client's frame with a short or long length, masked.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        }
    }
    let mask = [0x11, 0x22, 0x33, 0x44];
    out.extend_from_slice(&mask);
    out.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    out
}

/// Reads an HTTP head, up to its empty line.
pub fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8(head).unwrap()
}
