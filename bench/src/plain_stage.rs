//! The floor's stage: a bare epoll server in a child process, its publisher and its viewers.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::audience::{Arrival, Audience};
use crate::child::Child;
use crate::floors::epoll_server;
use crate::pin;
use crate::stage::Stage;

/// The role of a child that is this server.
pub const ROLE: &str = "epoll server";

/// Runs the server on a core; for `main` in this role.
///
/// # Panics
/// If its arguments are not a core and a number of viewers.
pub fn main() {
    let number = |index| std::env::args().nth(index)?.parse().ok();
    pin::to(number(1).expect("a core"));
    epoll_server::serve(number(2).expect("a number of viewers"));
}

/// Everybody in front of and behind the bare server.
pub struct PlainStage {
    child: Child,
    publisher: TcpStream,
    audience: Audience,
    message: Vec<u8>,
}

impl PlainStage {
    /// Starts the server on a core and connects everybody; messages have so many bytes.
    ///
    /// # Panics
    /// If the server does not start.
    pub fn start(core: usize, viewers: usize, message_bytes: usize) -> Self {
        let arguments = [core, viewers].map(|number| number.to_string().into());
        let child = Child::start(ROLE, arguments);
        let port: u16 = child.said.parse().expect("a port");
        let connect = || {
            let socket = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)));
            let socket = socket.expect("connected");
            socket.set_nodelay(true).expect("an option");
            socket
        };
        let publisher = connect();
        let viewers = (0..viewers).map(|_| connect()).collect();
        Self {
            child,
            publisher,
            audience: Audience::new(viewers),
            message: vec![7; message_bytes],
        }
    }
}

impl Stage for PlainStage {
    fn publish(&mut self, pause: Duration) -> Option<Arrival> {
        thread::sleep(pause);
        let bytes = self.message.len();
        let began = Instant::now();
        self.publisher.write_all(&self.message).expect("sent");
        let arrival = self.audience.wait(began, |pending| {
            let whole = pending.len() >= bytes;
            if whole {
                pending.drain(..bytes);
            }
            whole
        });
        Some(arrival)
    }

    fn served(&self) -> usize {
        self.audience.len()
    }

    fn server(&self) -> &Child {
        &self.child
    }
}
