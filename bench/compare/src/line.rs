//! One connection of the loader: bytes that are not whole yet, bytes that are not sent yet.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::protocol::LineState;

/// Longest wait of somebody who joins.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);

/// Most bytes that wait for a server that does not read.
const OUT_BYTES_MAX: usize = 16 << 20;

/// A viewer's or sender's connection.
pub struct Line {
    /// Its socket.
    pub socket: TcpStream,
    /// How far it has come.
    pub state: LineState,
    /// The beginning of a message that is not whole yet.
    pending: Vec<u8>,
    /// What is to be sent.
    pub out: Vec<u8>,
}

impl Line {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn connect(to: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(to).with_context(|| format!("connecting to {to}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(JOIN_PATIENCE))?;
        Ok(Self {
            socket,
            state: LineState::default(),
            pending: Vec::new(),
            out: Vec::new(),
        })
    }

    /// Says the greeting and waits until the line is ready; afterwards nothing of it waits.
    ///
    /// # Errors
    /// If the server refuses, leaves or says nothing for long.
    pub fn join(
        &mut self,
        greeting: Vec<u8>,
        buffer: &mut [u8],
        mut take: impl FnMut(&mut LineState, &[u8], &mut Vec<u8>) -> Result<usize>,
    ) -> Result<()> {
        let began = Instant::now();
        self.out = greeting;
        while !self.state.ready {
            self.socket.write_all(&self.out)?;
            self.out.clear();
            let count = self.socket.read(buffer).context("joining")?;
            ensure!(count > 0, "the server closed somebody who joins");
            self.feed(&buffer[..count], &mut take)?;
            ensure!(began.elapsed() < JOIN_PATIENCE, "nobody lets us join");
        }
        self.socket.write_all(&self.out)?;
        self.out.clear();
        self.socket.set_nonblocking(true)?;
        Ok(())
    }

    /// Reads what is there, at most once the buffer; false if there was nothing.
    ///
    /// # Errors
    /// If the server has closed, or `take` fails.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        take: impl FnMut(&mut LineState, &[u8], &mut Vec<u8>) -> Result<usize>,
    ) -> Result<bool> {
        match self.socket.read(buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(count) => {
                self.feed(&buffer[..count], take)?;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error).context("a connection is lost"),
        }
    }

    fn feed(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(&mut LineState, &[u8], &mut Vec<u8>) -> Result<usize>,
    ) -> Result<()> {
        if self.pending.is_empty() {
            let used = take(&mut self.state, bytes, &mut self.out)?;
            self.pending.extend_from_slice(&bytes[used..]);
        } else {
            self.pending.extend_from_slice(bytes);
            let used = take(&mut self.state, &self.pending, &mut self.out)?;
            self.pending.drain(..used);
        }
        Ok(())
    }

    /// Sends what is to be sent, as far as the socket takes it; whether all is gone.
    ///
    /// # Errors
    /// If the connection is lost, or the server has not read for long.
    pub fn flush(&mut self) -> Result<bool> {
        while !self.out.is_empty() {
            match self.socket.write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ensure!(self.out.len() < OUT_BYTES_MAX, "the server does not read");
                    return Ok(false);
                }
                Err(error) => return Err(error).context("a connection is lost"),
            }
        }
        Ok(true)
    }
}
