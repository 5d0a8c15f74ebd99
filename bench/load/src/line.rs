//! A TCP connection that never blocks, with or without TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use skein_client::trust::Trust;
use socket2::{Domain, Protocol, Socket, Type};

use crate::fault::Fault;
use crate::plan::TlsPlan;

/// How to reach a server.
#[derive(Clone)]
pub struct Dialer {
    address: SocketAddr,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// One connection.
pub enum Line {
    /// TCP as it is.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Dialer {
    /// Reads the certificates, if there are any to read.
    ///
    /// # Errors
    /// When they are no good, or the name is none.
    pub fn new(address: SocketAddr, tls: Option<&TlsPlan>) -> Result<Self, Fault> {
        let tls = tls.map(|plan| {
            let trust = match &plan.ca {
                Some(path) => Trust::from_pem_file(path)?,
                None => Trust::Anybody,
            };
            let config = trust.client_config(&plan.alpn)?;
            let name = ServerName::try_from(plan.name.clone());
            let name = name.map_err(|_| {
                let text = format!(
                    "`{}` is no name of a server; write wss://HOST:PORT",
                    plan.name
                );
                Fault::Plan(text)
            })?;
            Ok::<_, Fault>((Arc::new(config), name))
        });
        Ok(Self {
            address,
            tls: tls.transpose()?,
        })
    }

    /// Begins to connect. What is wrong shows when the line is read.
    ///
    /// # Errors
    /// When the system has no socket to give.
    pub fn dial(&self) -> Result<Line, Fault> {
        let domain = Domain::for_address(self.address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&self.address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(IN_PROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(socket);
        let Some((config, name)) = &self.tls else {
            return Ok(Line::Plain(stream));
        };
        let tls = ClientConnection::new(Arc::clone(config), name.clone());
        let tls = tls.map_err(|error| Fault::Plan(format!("TLS cannot be set up: {error}")))?;
        Ok(Line::Tls(Box::new(StreamOwned::new(tls, stream))))
    }
}

/// What the system says about a connection that is on its way.
const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

impl Line {
    /// Whether something waits to be written that the caller does not know of.
    pub fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.conn.wants_write(),
        }
    }

    /// Whether a short read says that there is no more for now.
    pub fn short_read_is_end(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Writes the front of `out` and takes it away.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut done = 0;
        while done < out.len() {
            match self.write(&out[done..]) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if is_later(&error) => break,
                Err(error) => return Err(error),
            }
        }
        out.drain(..done);
        if out.is_empty() && self.wants_write() {
            match Write::flush(self) {
                Err(error) if !is_later(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads once: `None` when there is nothing for now.
    ///
    /// # Errors
    /// When the connection is gone, also in good order.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_later(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_later(error: &io::Error) -> bool {
    // A connection on its way cannot be written or read yet.
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
    )
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.sock.as_fd(),
        }
    }
}
