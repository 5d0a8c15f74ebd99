//! Many viewers on TCP in one thread: who has the message, who was first, who was last.
//!
//! The thread asks the kernel again and again instead of sleeping, so that its own wake-ups are
//! not in the figures; ours and the floor are watched by the same code.

use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::link::Link;

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
    link: Link,
    pending: Vec<u8>,
    /// Updates of this publication that it has.
    got: usize,
}

/// All viewers of one server.
pub struct Audience {
    epoll: OwnedFd,
    viewers: Vec<Viewer>,
    events: Vec<Event>,
    buffer: Vec<u8>,
}

impl Audience {
    /// Takes connections.
    ///
    /// # Panics
    /// If the kernel refuses to watch them.
    pub fn new(links: Vec<Link>) -> Self {
        let epoll = epoll::create(CreateFlags::CLOEXEC).expect("an epoll");
        for (index, link) in links.iter().enumerate() {
            link.set_nonblocking(true);
            let data = EventData::new_u64(index as u64);
            epoll::add(&epoll, link, data, EventFlags::IN).expect("added");
        }
        let viewer = |link| Viewer {
            link,
            pending: Vec::new(),
            got: 0,
        };
        Self {
            epoll,
            viewers: links.into_iter().map(viewer).collect(),
            events: Vec::with_capacity(EVENTS),
            buffer: vec![0; READ_BYTES],
        }
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.viewers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.viewers.is_empty()
    }

    /// Waits until each viewer has so many `updates`: `take` is given the bytes that have come in,
    /// takes from the front what is whole, and says how many updates were in it.
    ///
    /// # Panics
    /// If a connection ends, or a viewer does not get it for long.
    pub fn wait(
        &mut self,
        began: Instant,
        updates: usize,
        mut take: impl FnMut(&mut Vec<u8>) -> usize,
    ) -> Arrival {
        self.viewers.iter_mut().for_each(|viewer| viewer.got = 0);
        let mut arrival = Arrival::default();
        let mut left = self.viewers.len();
        while left > 0 {
            self.poll(|_, viewer| {
                let had = viewer.got;
                viewer.got += take(&mut viewer.pending);
                if had >= updates || viewer.got < updates {
                    return;
                }
                arrival.last = began.elapsed();
                if arrival.first.is_zero() {
                    arrival.first = arrival.last;
                }
                left -= 1;
            });
            assert!(began.elapsed() < PATIENCE, "{left} viewers have nothing");
        }
        arrival
    }

    /// Looks once at what has come in and gives it to `take`, with the viewer's number.
    ///
    /// # Panics
    /// If a connection ends.
    pub fn look(&mut self, mut take: impl FnMut(usize, &mut Vec<u8>)) {
        self.poll(|number, viewer| take(number, &mut viewer.pending));
    }

    fn poll(&mut self, mut found: impl FnMut(usize, &mut Viewer)) {
        self.events.clear();
        let at_once = Timespec::default();
        let events = spare_capacity(&mut self.events);
        epoll::wait(&self.epoll, events, Some(&at_once)).expect("events");
        for event in &self.events {
            let number = event.data.u64() as usize;
            let viewer = &mut self.viewers[number];
            if viewer.read(&mut self.buffer) {
                found(number, viewer);
            }
        }
    }
}

impl Viewer {
    /// Reads what one read gives; false if there was nothing. With TLS it goes on until the
    /// session holds nothing more that the kernel would not announce.
    fn read(&mut self, buffer: &mut [u8]) -> bool {
        let before = self.pending.len();
        loop {
            match self.link.read(buffer) {
                Ok(0) => panic!("the server closed a viewer"),
                Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("a viewer lost its connection: {error}"),
            }
            if !self.link.is_encrypted() {
                break;
            }
        }
        self.pending.len() > before
    }
}
