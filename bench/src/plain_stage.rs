//! The floor's stage over TCP, plain or with TLS: a bare loop in a child process, its publisher
//! and its viewers.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::audience::{Arrival, Audience};
use crate::child::Child;
use crate::floors::{epoll_server, tls_server};
use crate::folders;
use crate::link::Target;
use crate::pin;
use crate::stage::Stage;

/// The role of a child that is the plain server.
pub const ROLE: &str = "epoll server";

/// The role of a child that is the one with TLS.
pub const TLS_ROLE: &str = "tls server";

/// Time after which the server has nothing more to do for a publication.
const SETTLE: Duration = Duration::from_millis(2);

/// Runs the plain server on a core; for `main` in this role.
///
/// # Panics
/// If its arguments are not a core and a number of viewers.
pub fn main() {
    let number = |index| std::env::args().nth(index)?.parse().ok();
    pin::to(number(1).expect("a core"));
    epoll_server::serve(number(2).expect("a number of viewers"));
}

/// Runs the server with TLS on a core; for `main` in this role.
///
/// # Panics
/// If its arguments are not a core, a number of viewers and a path.
pub fn tls_main() {
    let argument = |index| std::env::args().nth(index).expect("an argument");
    pin::to(argument(1).parse().expect("a core"));
    let viewers = argument(2).parse().expect("a number of viewers");
    tls_server::serve(viewers, &PathBuf::from(argument(3)));
}

/// Everybody in front of and behind the bare server.
pub struct PlainStage {
    child: Child,
    publisher: TcpStream,
    audience: Audience,
    message: Vec<u8>,
    delivered: usize,
    _folder: TempDir,
}

impl PlainStage {
    /// Starts the server on a core and connects everybody; messages have so many bytes.
    ///
    /// # Panics
    /// If the server does not start.
    pub fn start(core: usize, viewers: usize, message_bytes: usize, encrypted: bool) -> Self {
        let folder = folders::scratch();
        let certificate = folder.path().join("cert.pem");
        let mut arguments: Vec<_> = [core, viewers]
            .map(|number| number.to_string().into())
            .into();
        arguments.push(certificate.clone().into_os_string());
        let role = if encrypted { TLS_ROLE } else { ROLE };
        let child = Child::start(role, arguments);
        let to = SocketAddr::from(([127, 0, 0, 1], child.said.parse().expect("a port")));
        let publisher = TcpStream::connect(to).expect("connected");
        publisher.set_nodelay(true).expect("an option");
        let target = match encrypted {
            true => Target::encrypted(to, &certificate),
            false => Target::plain(to),
        };
        let viewers = (0..viewers).map(|_| target.connect()).collect();
        Self {
            child,
            publisher,
            audience: Audience::new(viewers),
            message: vec![7; message_bytes],
            delivered: 0,
            _folder: folder,
        }
    }
}

impl Stage for PlainStage {
    fn publish(&mut self, pause: Duration, updates: usize) -> Option<Arrival> {
        thread::sleep(pause);
        let bytes = self.message.len();
        let began = Instant::now();
        self.publisher
            .write_all(&self.message.repeat(updates))
            .expect("sent");
        let mut delivered = 0;
        let arrival = self.audience.wait(began, updates, |pending| {
            let whole = pending.len() / bytes;
            pending.drain(..whole * bytes);
            delivered += whole;
            whole
        });
        self.delivered = delivered;
        Some(arrival)
    }

    fn delivered(&self) -> usize {
        self.delivered
    }

    fn server_time(&self) -> Duration {
        self.child.processor_time()
    }

    fn settle(&mut self) {
        thread::sleep(SETTLE);
    }

    fn message_bytes(&self) -> usize {
        self.message.len()
    }
}
