//! All senders and viewers of one server in one thread.
//!
//! The thread asks the kernel again and again instead of sleeping, so that its own wake-ups are
//! not in the figures; every peer is loaded by this same code.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::line::Line;
use crate::protocol::Protocol;
use crate::tally::Tally;

/// Events taken from the kernel at a time.
const EVENTS: usize = 512;

/// Bytes read at a time: more than a socket of the loopback interface usually holds.
const READ_BYTES: usize = 256 * 1024;

/// Set in the number of an event that belongs to a sender.
const SENDER: u64 = 1 << 32;

/// Senders and viewers.
pub struct Crowd<P> {
    /// What they speak.
    pub protocol: P,
    to: SocketAddr,
    epoll: OwnedFd,
    events: Vec<Event>,
    senders: Vec<Line>,
    viewers: Vec<Line>,
    /// Senders whose last bytes the socket has not taken yet.
    blocked: Vec<u32>,
    buffer: Vec<u8>,
}

impl<P: Protocol> Crowd<P> {
    /// Nobody is connected yet.
    ///
    /// # Errors
    /// If the system has no epoll.
    pub fn new(protocol: P, to: SocketAddr) -> Result<Self> {
        Ok(Self {
            protocol,
            to,
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS),
            senders: Vec::new(),
            viewers: Vec::new(),
            blocked: Vec::new(),
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Connects a sender for each of so many sessions, one after the other.
    ///
    /// # Errors
    /// If the server refuses one.
    pub fn add_senders(&mut self, sessions: u32) -> Result<()> {
        for session in 0..sessions {
            let mut line = Line::connect(self.to)?;
            let greeting = self.protocol.sender_greeting(session);
            let (protocol, buffer) = (&mut self.protocol, &mut self.buffer);
            line.join(greeting, buffer, |state, input, out| {
                protocol.take_as_sender(session, state, input, out)
            })
            .with_context(|| format!("sender {session}"))?;
            let data = EventData::new_u64(SENDER | u64::from(session));
            epoll::add(&self.epoll, &line.socket, data, EventFlags::IN)?;
            self.senders.push(line);
        }
        Ok(())
    }

    /// Connects so many more viewers, one after the other.
    ///
    /// # Errors
    /// If the server refuses one.
    pub fn add_viewers(&mut self, more: usize, tally: &mut Tally) -> Result<()> {
        let first = self.viewers.len();
        tally.add_viewers(more);
        for viewer in first..first + more {
            let mut line = Line::connect(self.to)?;
            let greeting = self.protocol.viewer_greeting(viewer);
            let (protocol, buffer) = (&mut self.protocol, &mut self.buffer);
            let sink = &mut tally.of_viewer(viewer);
            line.join(greeting, buffer, |state, input, out| {
                protocol.take(state, input, out, sink)
            })
            .with_context(|| format!("viewer {viewer}"))?;
            let data = EventData::new_u64(viewer as u64);
            epoll::add(&self.epoll, &line.socket, data, EventFlags::IN)?;
            self.viewers.push(line);
        }
        Ok(())
    }

    /// Publishes the next position of a session.
    ///
    /// # Errors
    /// If the sender's connection is lost.
    pub fn publish(&mut self, session: u32, counter: u64) -> Result<()> {
        let line = &mut self.senders[session as usize];
        self.protocol.publish(session, counter, &mut line.out);
        if !line.flush()? {
            self.blocked.push(session);
        }
        Ok(())
    }

    /// Sends bytes of any kind as the sender of a session.
    ///
    /// # Errors
    /// If the sender's connection is lost.
    pub fn send_as(&mut self, session: u32, bytes: &[u8]) -> Result<()> {
        let line = &mut self.senders[session as usize];
        line.out.extend_from_slice(bytes);
        if !line.flush()? {
            self.blocked.push(session);
        }
        Ok(())
    }

    /// Whether the server reads more slowly than somebody sends.
    pub fn is_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// Takes what has come, without waiting.
    ///
    /// # Errors
    /// If a connection is lost, or the server says what nobody understands.
    pub fn poll(&mut self, tally: &mut Tally) -> Result<()> {
        self.events.clear();
        let at_once = Timespec::default();
        epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            Some(&at_once),
        )?;
        for index in 0..self.events.len() {
            let number = self.events[index].data.u64();
            match number & SENDER {
                0 => self.read_viewer(number as usize, tally)?,
                _ => self.read_sender((number ^ SENDER) as u32)?,
            }
        }
        let blocked = std::mem::take(&mut self.blocked);
        for session in blocked {
            if !self.senders[session as usize].flush()? {
                self.blocked.push(session);
            }
        }
        Ok(())
    }

    fn read_viewer(&mut self, viewer: usize, tally: &mut Tally) -> Result<()> {
        let (protocol, line) = (&mut self.protocol, &mut self.viewers[viewer]);
        let sink = &mut tally.of_viewer(viewer);
        line.read(&mut self.buffer, |state, input, out| {
            protocol.take(state, input, out, sink)
        })
        .with_context(|| format!("viewer {viewer}"))?;
        // Answers are few and small: a socket that does not take them is a broken one.
        line.flush()?;
        Ok(())
    }

    fn read_sender(&mut self, session: u32) -> Result<()> {
        let (protocol, line) = (&mut self.protocol, &mut self.senders[session as usize]);
        line.read(&mut self.buffer, |state, input, out| {
            protocol.take_as_sender(session, state, input, out)
        })
        .with_context(|| format!("sender {session}"))?;
        if !line.flush()? {
            self.blocked.push(session);
        }
        Ok(())
    }
}
