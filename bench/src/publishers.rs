//! The sending half of our stages over WebSocket: one member with as many sessions as wanted.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

use skein_wire::ids::ShareNumber;
use skein_wire::splitter::Splitter;
use skein_wire::update::Update;
use skein_wire::{frame::decode_update, limits::SERVER_FRAME_BYTES_MAX};

use crate::link::{Link, Target};
use crate::protocol;
use crate::server::Server;
use crate::websocket::{connect, first_message, message};

/// Sessions of one connection: a point of each fits into one message.
const SESSIONS_PER_CONNECTION: usize = 120;

/// Sessions that are asked for before the first answer.
const ASKED_AT_ONCE: usize = 16;

/// All publishing connections.
pub struct Publishers {
    senders: Vec<Sender>,
    counter: u64,
}

/// One connection and its sessions.
struct Sender {
    link: Link,
    shares: Vec<ShareNumber>,
}

impl Publishers {
    /// Starts so many sessions of the member `sender`, who may share in the chat.
    ///
    /// # Panics
    /// If the server refuses one.
    pub fn start(server: &Server, chat: &str, sessions: usize) -> Self {
        let firsts = (0..sessions).step_by(SESSIONS_PER_CONNECTION);
        let senders = firsts.map(|first| {
            let count = SESSIONS_PER_CONNECTION.min(sessions - first);
            Sender::start(server, chat, first, count)
        });
        Self {
            senders: senders.collect(),
            counter: 0,
        }
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.senders.iter().map(|sender| sender.shares.len()).sum()
    }

    /// The counter of the points that were sent last.
    pub fn counter(&self) -> u64 {
        self.counter
    }

    /// Makes the points to come newer than all before.
    pub fn advance(&mut self) {
        self.counter += 1;
    }

    /// Sends the next point of the sessions with these numbers.
    ///
    /// # Panics
    /// If a connection is gone, or there are fewer sessions.
    pub fn send(&mut self, sessions: std::ops::Range<usize>) {
        assert!(sessions.end <= self.sessions(), "{sessions:?}");
        for (index, sender) in self.senders.iter_mut().enumerate() {
            let first = index * SESSIONS_PER_CONNECTION;
            let own = sessions.start.max(first)..sessions.end.min(first + sender.shares.len());
            if own.is_empty() {
                continue;
            }
            let shares = &sender.shares[own.start - first..own.end - first];
            let points: Vec<_> = shares
                .iter()
                .map(|share| protocol::point(*share, self.counter))
                .collect();
            let bytes = message(&protocol::encoded(&points));
            sender.link.write_all(&bytes).expect("sent");
        }
    }

    /// Takes acknowledgements, so that the server never waits for a publisher.
    pub fn clear(&mut self) {
        self.senders.iter_mut().for_each(Sender::clear);
    }
}

impl Sender {
    fn start(server: &Server, chat: &str, first: usize, count: usize) -> Self {
        let mut link = connect(&Target::plain(server.http));
        let hello = protocol::hello(&server.token("sender"));
        link.write_all(&message(&protocol::encoded(&[hello])))
            .expect("sent");
        let mut answers = Answers::default();
        let mut shares = Vec::new();
        let mut wanted: VecDeque<usize> = (first..first + count).collect();
        while !wanted.is_empty() {
            let some = wanted.drain(..ASKED_AT_ONCE.min(wanted.len()));
            let requests: Vec<_> = some.map(|number| protocol::share(chat, number)).collect();
            link.write_all(&message(&protocol::encoded(&requests)))
                .expect("sent");
            let all = shares.len() + requests.len();
            while shares.len() < all {
                match answers.next(&mut link) {
                    Update::Shared(shared) => shares.push(shared.share),
                    Update::Refused(refused) => panic!("no session: {refused:?}"),
                    Update::Goodbye(goodbye) => panic!("no session: {goodbye:?}"),
                    _ => {}
                }
            }
        }
        link.set_nonblocking(true);
        Self { link, shares }
    }

    fn clear(&mut self) {
        let mut buffer = [0; 4_096];
        loop {
            match self.link.read(&mut buffer) {
                Ok(0) => panic!("the server closed a publisher"),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a publisher lost its connection: {error}"),
            }
        }
    }
}

/// What the server says to a connection that waits for it.
struct Answers {
    pending: Vec<u8>,
    splitter: Splitter,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            pending: Vec::new(),
            splitter: Splitter::new(SERVER_FRAME_BYTES_MAX),
        }
    }
}

impl Answers {
    fn next(&mut self, link: &mut Link) -> Update {
        loop {
            while let Some(frame) = self.splitter.next_frame().expect("whole frames") {
                if let Some(update) = decode_update(frame).expect("a frame of the protocol") {
                    return update;
                }
            }
            if let Some(cut) = first_message(&self.pending) {
                self.splitter.push(&self.pending[cut.payload.clone()]);
                self.pending.drain(..cut.end);
                continue;
            }
            let mut buffer = [0; 4_096];
            let count = link.read(&mut buffer).expect("an answer");
            assert!(count > 0, "the server closed a publisher");
            self.pending.extend_from_slice(&buffer[..count]);
        }
    }
}
