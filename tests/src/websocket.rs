//! A small blocking WebSocket client whose receive buffer and bytes are in the test's hands.
//!
//! It can be made to break every rule: that is what it is for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::tls;

/// Longest wait for the connection and the upgrade.
const CONNECT: Duration = Duration::from_secs(20);

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// The mask of every frame. A fixed one is allowed to a client that has no script to fear.
const MASK: [u8; 4] = [0x35, 0xa1, 0x0f, 0x5c];

/// How a connection is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// `SO_RCVBUF` in bytes, set before connecting; the kernel doubles it.
    pub receive_buffer: Option<usize>,
    /// Wrapped in TLS.
    pub tls: bool,
    /// The `Origin` header.
    pub origin: Option<String>,
    /// The offered subprotocol; `None` sends no such header.
    pub subprotocol: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            receive_buffer: None,
            tls: false,
            origin: None,
            subprotocol: Some(skein_wire::limits::WEBSOCKET_SUBPROTOCOL.to_owned()),
        }
    }
}

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// One or more protocol frames.
    Binary(Vec<u8>),
    /// The close frame: its code and text.
    Close(u16, String),
    /// A ping, with its payload.
    Ping(Vec<u8>),
    /// A pong, with its payload.
    Pong(Vec<u8>),
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.sock,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(tls) => {
                tls.write_all(bytes)?;
                tls.flush()
            }
        }
    }
}

/// A connection after its upgrade.
pub struct WebSocket {
    stream: Stream,
    pending: Vec<u8>,
}

impl WebSocket {
    /// Connects to `/v1/ws` with the usual headers.
    ///
    /// # Errors
    /// What the socket says; the answer's first line when it is not an upgrade.
    pub fn connect(to: SocketAddr, options: &Options) -> io::Result<Self> {
        Self::upgrade(to, options, &usual_request(to, options))
    }

    /// Connects and asks for the upgrade, with these frames right behind, and waits for nothing.
    ///
    /// # Errors
    /// What the socket says.
    pub fn ask(to: SocketAddr, options: &Options, behind: &[u8]) -> io::Result<Asking> {
        let mut stream = open(to, options)?;
        let mut bytes = usual_request(to, options).into_bytes();
        bytes.extend_from_slice(behind);
        stream.write_all(&bytes)?;
        Ok(Asking(Self {
            stream,
            pending: Vec::new(),
        }))
    }

    /// Connects and sends this text as the upgrade request.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn upgrade(to: SocketAddr, options: &Options, request: &str) -> io::Result<Self> {
        let mut stream = open(to, options)?;
        stream.write_all(request.as_bytes())?;
        let socket = Self {
            stream,
            pending: Vec::new(),
        };
        socket.answer(Instant::now() + CONNECT)
    }

    /// Waits for the answer to the upgrade.
    fn answer(mut self, end: Instant) -> io::Result<Self> {
        loop {
            if let Some(at) = find(&self.pending, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.pending[..at]).into_owned();
                self.pending.drain(..at + 4);
                return self.judge(&head);
            }
            if !self.fill(end)? {
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    "no answer to the upgrade",
                ));
            }
        }
    }

    /// From now on closing it tells the server by a reset, without any goodbye.
    ///
    /// # Errors
    /// What the socket says.
    pub fn cut_when_dropped(&self) -> io::Result<()> {
        SockRef::from(self.stream.socket()).set_linger(Some(Duration::ZERO))
    }

    fn judge(self, head: &str) -> io::Result<Self> {
        let first = head.lines().next().unwrap_or_default();
        // The answer to the sample key of RFC 6455.
        let accepted = head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        if first.contains(" 101 ") && accepted {
            Ok(self)
        } else {
            Err(io::Error::other(format!("no upgrade: {first}")))
        }
    }

    /// Sends one masked binary message.
    ///
    /// # Errors
    /// What the socket says.
    pub fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        self.send_frame(0x82, true, payload)
    }

    /// Sends one frame with this first byte (FIN, reserved bits, opcode), masked or not.
    ///
    /// # Errors
    /// What the socket says.
    pub fn send_frame(&mut self, first: u8, masked: bool, payload: &[u8]) -> io::Result<()> {
        self.send_raw(&frame(first, masked, payload))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// What the socket says.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next message; `None` when none comes within `limit`.
    ///
    /// # Errors
    /// What the socket says; `UnexpectedEof` when the server closed without a close frame.
    pub fn receive(&mut self, limit: Duration) -> io::Result<Option<Message>> {
        let end = Instant::now() + limit;
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(Some(message));
            }
            if !self.fill(end)? {
                return Ok(None);
            }
        }
    }

    /// How long [`Self::wait`] waits. Asking for a message changes it.
    ///
    /// # Errors
    /// What the socket says.
    pub fn set_wait(&mut self, limit: Duration) -> io::Result<()> {
        self.stream.socket().set_read_timeout(Some(limit))
    }

    /// Waits until bytes come, and keeps them for the next look at messages: one system call, so
    /// that a clock stopped behind it shows when they came. `false` when none came.
    ///
    /// # Errors
    /// What the socket says; `UnexpectedEof` when the server closed.
    pub fn wait(&mut self) -> io::Result<bool> {
        self.read_some()
    }

    /// The local port, by which the server's side can be told apart.
    pub fn local_port(&self) -> u16 {
        self.stream
            .socket()
            .local_addr()
            .map_or(0, |address| address.port())
    }

    /// Reads more; `false` when nothing came until `end`.
    ///
    /// A wait of the socket lasts whole ticks of the kernel's clock, 4 ms and more: once `end` is
    /// reached, a look that does not wait at all takes its place.
    fn fill(&mut self, end: Instant) -> io::Result<bool> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.stream.socket().set_nonblocking(true)?;
            let filled = self.read_some();
            self.stream.socket().set_nonblocking(false)?;
            return filled;
        }
        self.stream.socket().set_read_timeout(Some(left))?;
        self.read_some()
    }

    /// One read; `false` when nothing is there.
    fn read_some(&mut self) -> io::Result<bool> {
        let mut buffer = [0; READ_BYTES];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the server closed",
            )),
            Ok(count) => {
                self.pending.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn take_message(&mut self) -> io::Result<Option<Message>> {
        let Some((first, payload)) = cut_frame(&mut self.pending)? else {
            return Ok(None);
        };
        let message = match first {
            0x82 => Message::Binary(payload),
            0x88 => close(&payload),
            0x89 => Message::Ping(payload),
            0x8a => Message::Pong(payload),
            other => {
                return Err(io::Error::other(format!(
                    "the server sent a frame that begins with {other:#04x}"
                )));
            }
        };
        Ok(Some(message))
    }
}

/// A connection that has asked for its upgrade and not waited for the answer.
pub struct Asking(WebSocket);

impl Asking {
    /// Waits for the answer until `end`.
    ///
    /// # Errors
    /// What the socket says; the answer's first line when it is not an upgrade.
    pub fn answer(self, end: Instant) -> io::Result<WebSocket> {
        self.0.answer(end)
    }
}

/// The usual headers.
fn usual_request(to: SocketAddr, options: &Options) -> String {
    let mut request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {to}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    if let Some(subprotocol) = &options.subprotocol {
        request += &format!("Sec-WebSocket-Protocol: {subprotocol}\r\n");
    }
    if let Some(origin) = &options.origin {
        request += &format!("Origin: {origin}\r\n");
    }
    request + "\r\n"
}

/// The bytes of one frame of a client, with this first byte (FIN, reserved bits, opcode).
pub fn frame(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    let mask_bit = if masked { 0x80 } else { 0 };
    match payload.len() {
        short @ 0..126 => frame.push(mask_bit | short as u8),
        middle @ 126..0x1_0000 => {
            frame.push(mask_bit | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(mask_bit | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    if masked {
        frame.extend(MASK);
        let keyed = payload.iter().zip(MASK.iter().cycle());
        frame.extend(keyed.map(|(byte, key)| byte ^ key));
    } else {
        frame.extend(payload);
    }
    frame
}

fn open(to: SocketAddr, options: &Options) -> io::Result<Stream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let Some(bytes) = options.receive_buffer {
        // Before connecting: the window scale is fixed by the handshake.
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.connect_timeout(&SockAddr::from(to), CONNECT)?;
    socket.set_tcp_nodelay(true)?;
    let socket = TcpStream::from(socket);
    socket.set_write_timeout(Some(CONNECT))?;
    if !options.tls {
        return Ok(Stream::Plain(socket));
    }
    let name = ServerName::try_from("localhost").expect("a name");
    let connection =
        ClientConnection::new(tls::any_certificate(b"http/1.1"), name).map_err(io::Error::other)?;
    Ok(Stream::Tls(Box::new(StreamOwned::new(connection, socket))))
}

/// Cuts the first whole frame off: its first byte and its payload.
fn cut_frame(pending: &mut Vec<u8>) -> io::Result<Option<(u8, Vec<u8>)>> {
    let [first, second, rest @ ..] = pending.as_slice() else {
        return Ok(None);
    };
    if second & 0x80 != 0 {
        return Err(io::Error::other("the server masked a frame"));
    }
    let (head, length) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            let long = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            (10, usize::try_from(long).map_err(io::Error::other)?)
        }
        (126 | 127, _) => return Ok(None),
        (short, _) => (2, usize::from(short)),
    };
    if pending.len() < head + length {
        return Ok(None);
    }
    let first = *first;
    let payload = pending[head..head + length].to_vec();
    pending.drain(..head + length);
    Ok(Some((first, payload)))
}

fn close(payload: &[u8]) -> Message {
    match payload {
        [a, b, text @ ..] => Message::Close(
            u16::from_be_bytes([*a, *b]),
            String::from_utf8_lossy(text).into_owned(),
        ),
        _ => Message::Close(1005, String::new()),
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use crate::websocket::cut_frame;

    #[test]
    fn frames_are_cut_whole() {
        let mut bytes = vec![0x82, 3, 1, 2];
        assert!(cut_frame(&mut bytes).unwrap().is_none());
        bytes.extend([3, 0x89, 0]);
        assert_eq!(cut_frame(&mut bytes).unwrap(), Some((0x82, vec![1, 2, 3])));
        assert_eq!(cut_frame(&mut bytes).unwrap(), Some((0x89, vec![])));
        assert!(bytes.is_empty());

        let mut long = vec![0x82, 126, 1, 0];
        long.extend([7; 256]);
        assert_eq!(cut_frame(&mut long).unwrap(), Some((0x82, vec![7; 256])));
    }
}
