//! A client's TCP connection, plain or with TLS; the same to whoever reads and writes it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

/// The name in the certificates of servers on this machine.
const SERVER_NAME: &str = "localhost";

/// One connection.
pub struct Link {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

/// Where links lead to.
#[derive(Clone)]
pub struct Target {
    /// The server.
    pub to: SocketAddr,
    /// How to speak TLS with it, if it does.
    pub tls: Option<Arc<ClientConfig>>,
}

impl Target {
    /// A server that speaks TLS with the certificate in a file.
    ///
    /// # Panics
    /// If there is no certificate.
    pub fn encrypted(to: SocketAddr, certificate: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(certificate).expect("a PEM file") {
            let certificate = certificate.expect("a certificate");
            roots.add(certificate).expect("one that can be a root");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            to,
            tls: Some(Arc::new(config)),
        }
    }

    /// A server that does not.
    pub fn plain(to: SocketAddr) -> Self {
        Self { to, tls: None }
    }

    /// Connects, and shakes hands where that is due.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn connect(&self) -> Link {
        let mut socket = TcpStream::connect(self.to).expect("a connection");
        socket.set_nodelay(true).expect("an option");
        let tls = self.tls.as_ref().map(|config| {
            let name = ServerName::try_from(SERVER_NAME).expect("a name");
            let tls = ClientConnection::new(Arc::clone(config), name);
            let mut tls = Box::new(tls.expect("a configuration that fits"));
            while tls.is_handshaking() {
                tls.complete_io(&mut socket).expect("a handshake");
            }
            tls
        });
        Link { socket, tls }
    }
}

impl Link {
    /// Whether reads and writes wait.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.socket.set_nonblocking(nonblocking).expect("an option");
    }

    /// Whether it speaks TLS.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Read for Link {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.read(into);
        };
        loop {
            match tls.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            if tls.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.write(bytes);
        };
        let count = tls.writer().write(bytes)?;
        while tls.wants_write() {
            tls.write_tls(&mut self.socket)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
