//! Our stage over WebSocket: a real server, one publisher and the viewers of its chat.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use skein_wire::ids::ShareNumber;
use skein_wire::update::Update;

use crate::audience::{Arrival, Audience};
use crate::child::Child;
use crate::protocol;
use crate::server::Server;
use crate::stage::Stage;
use crate::websocket::{connect, cut_message, message};

/// The chat that everybody is in.
const CHAT: &str = "stage";

/// Everybody in front of and behind our server.
pub struct WebsocketStage {
    server: Server,
    publisher: Publisher,
    audience: Audience,
    /// Bytes of the largest message that a viewer got for one point.
    message_bytes: usize,
    /// Bytes of memory that each viewer has added to the server.
    viewer_bytes: f64,
}

/// One member with one session.
struct Publisher {
    socket: TcpStream,
    share: ShareNumber,
    counter: u64,
}

impl WebsocketStage {
    /// Starts a server on a core and connects everybody.
    ///
    /// # Panics
    /// If the server refuses anybody.
    pub fn start(core: usize, viewers: usize) -> Self {
        let server = Server::start(&core.to_string());
        server.put_member(CHAT, "sender", &["share"]);
        server.put_member(CHAT, "viewer", &["watch"]);
        let publisher = Publisher::start(&server);
        let (token, http) = (server.token("viewer"), server.http);
        let greeting = [protocol::hello(&token), protocol::watch(CHAT)];
        let greeting = message(&protocol::encoded(&greeting));
        let viewer = |_| {
            let mut socket = connect(http);
            socket.write_all(&greeting).expect("sent");
            socket
        };
        let before = server.child.memory_bytes();
        let sockets = (0..viewers).map(viewer).collect();
        let mut stage = Self {
            server,
            publisher,
            audience: Audience::new(sockets),
            message_bytes: 0,
            viewer_bytes: 0.0,
        };
        // The first point shows that all of them watch.
        stage.publish(Duration::ZERO);
        stage.message_bytes = 0;
        let after = stage.server.child.memory_bytes();
        stage.viewer_bytes = after.saturating_sub(before) as f64 / viewers as f64;
        stage.publish(Duration::ZERO);
        stage
    }

    /// Bytes that a viewer gets for one point.
    pub fn message_bytes(&self) -> usize {
        self.message_bytes
    }
}

impl Stage for WebsocketStage {
    fn publish(&mut self, pause: Duration) -> Option<Arrival> {
        self.publisher.clear();
        self.publisher.counter += 1;
        let counter = self.publisher.counter;
        thread::sleep(pause);
        let point = protocol::point(self.publisher.share, counter);
        let bytes = message(&protocol::encoded(&[point]));
        let largest = &mut self.message_bytes;
        let began = Instant::now();
        self.publisher.socket.write_all(&bytes).expect("sent");
        let arrival = self.audience.wait(began, |pending| {
            let mut found = false;
            loop {
                let before = pending.len();
                let Some(frames) = cut_message(pending) else {
                    return found;
                };
                if protocol::brings(frames, counter) {
                    found = true;
                    *largest = (*largest).max(before - pending.len());
                }
            }
        });
        Some(arrival)
    }

    fn served(&self) -> usize {
        self.audience.len()
    }

    fn server(&self) -> &Child {
        &self.server.child
    }

    fn viewer_bytes(&self) -> Option<f64> {
        Some(self.viewer_bytes)
    }
}

impl Publisher {
    fn start(server: &Server) -> Self {
        let mut socket = connect(server.http);
        let token = server.token("sender");
        let greeting = [protocol::hello(&token), protocol::share(CHAT)];
        let greeting = message(&protocol::encoded(&greeting));
        socket.write_all(&greeting).expect("sent");
        let mut pending = Vec::new();
        loop {
            while let Some(mut frames) = cut_message(&mut pending) {
                while let Some(update) = protocol::next_update(&mut frames) {
                    match update {
                        Update::Shared(shared) => {
                            socket.set_nonblocking(true).expect("an option");
                            return Self {
                                socket,
                                share: shared.share,
                                counter: shared.counter_last.0,
                            };
                        }
                        Update::Welcome(_) | Update::Demand(_) => {}
                        other => panic!("no session: {other:?}"),
                    }
                }
            }
            let mut buffer = [0; 4_096];
            let count = socket.read(&mut buffer).expect("an answer");
            assert!(count > 0, "the server closed the publisher");
            pending.extend_from_slice(&buffer[..count]);
        }
    }

    /// Takes acknowledgements, so that the server never waits for the publisher.
    fn clear(&mut self) {
        let mut buffer = [0; 4_096];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => panic!("the server closed the publisher"),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("the publisher lost its connection: {error}"),
            }
        }
    }
}
