//! The stage of the sealing floor: its child process, and viewers that count datagrams.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use crate::audience::Arrival;
use crate::child::Child;
use crate::floors::sealed_datagrams;
use crate::pin;
use crate::stage::Stage;

/// The role of a child that is this server.
pub const ROLE: &str = "sealing server";

/// Viewers that share a socket: what is on its way to them fits its receive buffer.
const VIEWERS_PER_SOCKET: usize = 64;

/// Wait after which a datagram counts as lost.
const LOST: Duration = Duration::from_millis(500);

/// Time after which the server has nothing more to do for a publication.
const SETTLE: Duration = Duration::from_millis(2);

/// Runs the server on a core; for `main` in this role.
///
/// # Panics
/// If its arguments are not a core, a number of viewers and ports.
pub fn main() {
    let mut numbers = std::env::args().skip(1);
    let mut next = || numbers.next().and_then(|text| text.parse().ok());
    let core: u16 = next().expect("a core");
    let viewers: u16 = next().expect("a number of viewers");
    let ports: Vec<u16> = std::iter::from_fn(next).collect();
    pin::to(usize::from(core));
    sealed_datagrams::serve(usize::from(viewers), &ports);
}

/// Everybody in front of and behind the sealing server.
pub struct SealedStage {
    child: Child,
    publisher: UdpSocket,
    sockets: Vec<UdpSocket>,
    viewers: usize,
    message: Vec<u8>,
    delivered: usize,
}

impl SealedStage {
    /// Starts the server on a core; messages have so many bytes.
    ///
    /// # Panics
    /// If the server does not start.
    pub fn start(core: usize, viewers: usize, message_bytes: usize) -> Self {
        let bind = || UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let sockets: Vec<UdpSocket> = (0..viewers.div_ceil(VIEWERS_PER_SOCKET))
            .map(|_| bind())
            .collect();
        let ports = sockets.iter().map(|socket| {
            socket.set_nonblocking(true).expect("an option");
            usize::from(socket.local_addr().expect("bound").port())
        });
        let numbers = [core, viewers].into_iter().chain(ports);
        let child = Child::start(ROLE, numbers.map(|number| number.to_string().into()));
        let publisher = bind();
        let port: u16 = child.said.parse().expect("a port");
        publisher.connect(("127.0.0.1", port)).expect("an address");
        Self {
            child,
            publisher,
            sockets,
            viewers,
            message: vec![7; message_bytes],
            delivered: 0,
        }
    }
}

impl Stage for SealedStage {
    fn publish(&mut self, pause: Duration, updates: usize) -> Option<Arrival> {
        thread::sleep(pause);
        let began = Instant::now();
        let mut arrival = Arrival::default();
        for _ in 0..updates {
            self.publisher.send(&self.message).expect("sent");
        }
        self.delivered = 0;
        let mut buffer = [0; 2_048];
        while self.delivered < self.viewers * updates {
            for socket in &self.sockets {
                self.delivered += count(socket, &mut buffer);
            }
            arrival.last = began.elapsed();
            if arrival.first.is_zero() && self.delivered > 0 {
                arrival.first = arrival.last;
            }
            if arrival.last > LOST {
                return None;
            }
        }
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

/// How many datagrams wait in a socket; takes them.
fn count(socket: &UdpSocket, buffer: &mut [u8]) -> usize {
    let mut count = 0;
    loop {
        match socket.recv(buffer) {
            Ok(_) => count += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return count,
            Err(error) => panic!("a viewer cannot receive: {error}"),
        }
    }
}
