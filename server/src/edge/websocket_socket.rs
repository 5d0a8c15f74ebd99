//! A bare non-blocking socket, plain or with TLS in this process.
//!
//! No buffer of ours lies between the caller and the kernel. With TLS the cipher text of at most
//! one chunk waits inside rustls; until it has left, the socket takes nothing more, so that a
//! slow viewer over TLS is told from a quick one just as quickly.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustls::ServerConnection;
use socket2::{SockRef, TcpKeepalive};

use crate::limits::{
    TCP_KEEP_ALIVE_IDLE_S, TCP_KEEP_ALIVE_INTERVAL_S, TCP_KEEP_ALIVE_PROBES, TLS_BUFFER_BYTES,
    TLS_CHUNK_BYTES, WEBSOCKET_RECEIVE_BUFFER_BYTES, WEBSOCKET_SEND_BUFFER_BYTES,
    WEBSOCKET_UNSENT_BYTES,
};

/// The socket of one WebSocket.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    /// Boxed: plain connections, and there are very many, pay 8 bytes for it.
    tls: Option<Box<ServerConnection>>,
}

impl Socket {
    /// Takes a connected stream over and sets it up for fresh small writes.
    ///
    /// # Errors
    /// When the socket refuses to be non-blocking; the other options are wishes.
    pub fn new(stream: TcpStream, tls: Option<Box<ServerConnection>>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        wish(&stream);
        let mut socket = Self { stream, tls };
        if let Some(tls) = &mut socket.tls {
            tls.set_buffer_limit(Some(TLS_BUFFER_BYTES));
        }
        Ok(socket)
    }

    /// Writes what the kernel takes now. With TLS, "taken" means encrypted: the rest of the
    /// last chunk may still wait, see [`Socket::has_backlog`].
    ///
    /// # Errors
    /// `WouldBlock` when nothing was taken; anything else ends the connection.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return write_fd(self.stream.as_fd(), bytes);
        };
        let mut fd = Fd(self.stream.as_fd());
        let mut taken = 0;
        loop {
            match flush_tls(tls, &mut fd) {
                Ok(()) if taken == bytes.len() => return Ok(taken),
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock && taken > 0 => return Ok(taken),
                Err(e) => return Err(e),
            }
            let chunk = &bytes[taken..bytes.len().min(taken + TLS_CHUNK_BYTES)];
            taken += tls.writer().write(chunk)?;
        }
    }

    /// Writes cipher text that waits.
    ///
    /// # Errors
    /// `WouldBlock` when some is left.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => Ok(()),
            Some(tls) => flush_tls(tls, &mut Fd(self.stream.as_fd())),
        }
    }

    /// Whether it speaks TLS.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether cipher text waits for the kernel.
    pub fn has_backlog(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Reads what is there. 0 means that the peer has ended its direction.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; anything else ends the connection.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return read_fd(self.stream.as_fd(), into);
        };
        let mut fd = Fd(self.stream.as_fd());
        loop {
            match tls.reader().read(into) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            if tls.read_tls(&mut fd)? == 0 {
                return Ok(0);
            }
            let processed = tls.process_new_packets();
            // An alert, a key update: small, and its loss hurts only this connection.
            let _ = flush_tls(tls, &mut fd);
            processed.map_err(|e| io::Error::new(ErrorKind::InvalidData, e))?;
        }
    }

    /// Ends our direction in good order.
    pub fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = flush_tls(tls, &mut Fd(self.stream.as_fd()));
        }
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Options that keep stale bytes out of the kernel. A kernel that refuses one costs freshness,
/// not correctness.
fn wish(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keep_alive = TcpKeepalive::new()
        .with_time(Duration::from_secs(TCP_KEEP_ALIVE_IDLE_S))
        .with_interval(Duration::from_secs(TCP_KEEP_ALIVE_INTERVAL_S))
        .with_retries(TCP_KEEP_ALIVE_PROBES);
    let wishes = [
        socket.set_tcp_nodelay(true),
        socket.set_send_buffer_size(WEBSOCKET_SEND_BUFFER_BYTES),
        socket.set_recv_buffer_size(WEBSOCKET_RECEIVE_BUFFER_BYTES),
        socket.set_tcp_notsent_lowat(WEBSOCKET_UNSENT_BYTES),
        socket.set_tcp_keepalive(&keep_alive),
        // A viewer may be asleep for longer than an answer may lie.
        socket.set_tcp_user_timeout(None),
    ];
    for error in wishes.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "the kernel refused a socket option");
    }
    // The kernel doubles what is asked for; more than that means that a minimum was raised.
    match socket.send_buffer_size() {
        Ok(granted) if granted > 2 * WEBSOCKET_SEND_BUFFER_BYTES => {
            tracing::debug!(
                granted,
                "the kernel granted a larger send buffer than asked for"
            );
        }
        _ => {}
    }
}

fn flush_tls(tls: &mut ServerConnection, fd: &mut Fd<'_>) -> io::Result<()> {
    while tls.wants_write() {
        if tls.write_tls(fd)? == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

fn write_fd(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match send(fd, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

fn read_fd(fd: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match recv(fd, &mut *into, RecvFlags::DONTWAIT) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?.0),
        }
    }
}

/// A descriptor as rustls wants it.
struct Fd<'a>(BorrowedFd<'a>);

impl Read for Fd<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        read_fd(self.0, into)
    }
}

impl Write for Fd<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_fd(self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
