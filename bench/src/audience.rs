//! Many viewers on TCP in one thread: who has the message, who was first, who was last.
//!
//! The thread asks the kernel again and again instead of sleeping, so that its own wake-ups are
//! not in the figures; ours and the floor are watched by the same code.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// Events taken from the kernel at a time.
const EVENTS: usize = 256;

/// Bytes read at a time: more than a batch of these benches.
const READ_BYTES: usize = 16 * 1024;

/// Longest wait for the last viewer. What takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// When a message arrived, counted from its publication.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    /// At the first viewer.
    pub first: Duration,
    /// At the last one.
    pub last: Duration,
}

struct Viewer {
    socket: TcpStream,
    pending: Vec<u8>,
    served: bool,
}

/// All viewers of one server.
pub struct Audience {
    epoll: OwnedFd,
    viewers: Vec<Viewer>,
}

impl Audience {
    /// Takes connected sockets.
    ///
    /// # Panics
    /// If the kernel refuses to watch them.
    pub fn new(sockets: Vec<TcpStream>) -> Self {
        let epoll = epoll::create(CreateFlags::CLOEXEC).expect("an epoll");
        for (index, socket) in sockets.iter().enumerate() {
            socket.set_nonblocking(true).expect("an option");
            let data = EventData::new_u64(index as u64);
            epoll::add(&epoll, socket, data, EventFlags::IN).expect("added");
        }
        let viewer = |socket| Viewer {
            socket,
            pending: Vec::new(),
            served: false,
        };
        let viewers = sockets.into_iter().map(viewer).collect();
        Self { epoll, viewers }
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.viewers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.viewers.is_empty()
    }

    /// Waits until each viewer has what `take` looks for: it is given the bytes that have come in,
    /// takes from the front what is whole, and says whether that was in it.
    ///
    /// # Panics
    /// If a connection ends, or a viewer does not get it for long.
    pub fn wait(&mut self, began: Instant, mut take: impl FnMut(&mut Vec<u8>) -> bool) -> Arrival {
        self.viewers
            .iter_mut()
            .for_each(|viewer| viewer.served = false);
        let mut arrival = Arrival::default();
        let mut left = self.viewers.len();
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        while left > 0 {
            events.clear();
            let at_once = Timespec::default();
            let buffer = spare_capacity(&mut events);
            epoll::wait(&self.epoll, buffer, Some(&at_once)).expect("events");
            for event in &events {
                let viewer = &mut self.viewers[event.data.u64() as usize];
                if !viewer.read() || !take(&mut viewer.pending) || viewer.served {
                    continue;
                }
                viewer.served = true;
                arrival.last = began.elapsed();
                if left == self.viewers.len() {
                    arrival.first = arrival.last;
                }
                left -= 1;
            }
            assert!(began.elapsed() < PATIENCE, "{left} viewers have nothing");
        }
        arrival
    }
}

impl Viewer {
    /// Reads once; false if there was nothing.
    fn read(&mut self) -> bool {
        let mut buffer = [0; READ_BYTES];
        match self.socket.read(&mut buffer) {
            Ok(0) => panic!("the server closed a viewer"),
            Ok(count) => {
                self.pending.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("a viewer lost its connection: {error}"),
        }
    }
}
