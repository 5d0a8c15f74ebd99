//! One WebSocket: its bytes in, its bytes out, its end.
//!
//! A quiet viewer holds no heap memory of ours beside its place in the table: no read buffer
//! (the shard has one), no write buffer. A slow one holds a reference to one shared batch, half
//! written, and perhaps a few short answers behind it; nothing else is taken for it until both
//! have left.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};

use bytes::{Buf, Bytes};
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_wire::error::{Code, WireError};
use skein_wire::frame::decode_request;
use skein_wire::limits::CLIENT_FRAME_BYTES_MAX;
use skein_wire::request::Request;
use skein_wire::splitter::split_first;

use crate::access::Access;
use crate::edge::deadlines::{Armed, NEVER_MS};
use crate::edge::event::Event;
use crate::edge::greeting;
use crate::edge::stats::TransportStats;
use crate::edge::websocket_frame::{self, Opcode};
use crate::edge::websocket_socket::Socket;
use crate::limits::{
    CLOSE_LINGER_MS, CONTROL_QUEUE_BYTES_MAX, CONTROL_QUEUE_FRAMES_MAX, FRAME_DEADLINE_MS,
    HELLO_DEADLINE_MS, IDLE_VIEWER_MS, WEBSOCKET_CONTROLS_PER_S_MAX, WEBSOCKET_MESSAGE_BYTES_MAX,
};

/// What a connection may use while it has its turn.
#[derive(Debug)]
pub struct Turn<'a> {
    /// Verifies tokens.
    pub access: &'a Access,
    /// The time of this pass.
    pub now_ms: u64,
    /// Counters.
    pub stats: &'a mut TransportStats,
    /// What happened.
    pub events: &'a mut Vec<Event>,
    /// Signatures that may still be verified in this pass.
    pub hellos_left: usize,
}

/// What becomes of a connection after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays in the table.
    Stays,
    /// It is over; take it out.
    Over,
}

/// What became of the bytes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// They are on their way, in order.
    All,
    /// Nothing was taken; [`Event::Writable`] follows.
    Nothing,
    /// The connection is over.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for `Hello`.
    Greeting { until_ms: u64 },
    /// In use.
    Open,
    /// Says goodbye; what comes in is thrown away.
    Closing { until_ms: u64, finished: bool },
}

/// Why a connection cannot go on.
enum Fault {
    /// The peer is told.
    Close(WireError),
    /// It is cut: it does not read what it asks for.
    Cut,
}

impl From<WireError> for Fault {
    fn from(error: WireError) -> Self {
        Self::Close(error)
    }
}

/// Bytes that were taken and have not left.
#[derive(Debug)]
struct Pending {
    /// Not yet written; empty while only cipher text waits.
    bytes: Bytes,
    /// Whose batch they are part of.
    viewer: Option<ViewerId>,
}

/// One WebSocket.
#[derive(Debug)]
pub struct WebSocketConnection {
    socket: Socket,
    state: State,
    /// `Connected` was said and `Disconnected` was not.
    present: bool,
    /// The kernel may have bytes for us.
    pub readable: bool,
    /// The kernel has announced the end of what the peer sends, or an error.
    pub ending: bool,
    /// Stands in the line of those that want a turn.
    pub in_line: bool,
    /// An offer was answered with "nothing".
    starved: bool,
    /// Place in the wheel of deadlines.
    pub armed: Armed,
    /// A frame that is not whole yet.
    input: Vec<u8>,
    /// When its last whole frame ended; meaningful while `input` is not empty.
    input_since_ms: u64,
    pending: Option<Pending>,
    /// Whole WebSocket frames that go out after `pending`.
    queue: VecDeque<Bytes>,
    queue_bytes: usize,
    /// Since when nothing was taken, while something waits.
    blocked_since_ms: Option<u64>,
    /// Control frames in the current second.
    controls: (u64, u32),
}

impl WebSocketConnection {
    /// A connection just upgraded; `early` came right behind the request.
    pub fn new(socket: Socket, early: &[u8], now_ms: u64) -> Self {
        Self {
            socket,
            state: State::Greeting {
                until_ms: now_ms + HELLO_DEADLINE_MS,
            },
            present: false,
            readable: true,
            ending: false,
            in_line: false,
            starved: false,
            armed: Armed::default(),
            input: early.to_vec(),
            input_since_ms: now_ms,
            pending: None,
            queue: VecDeque::new(),
            queue_bytes: 0,
            blocked_since_ms: None,
            controls: (0, 0),
        }
    }

    /// Whether it still waits for its `Hello`.
    pub fn is_greeting(&self) -> bool {
        matches!(self.state, State::Greeting { .. })
    }

    /// When to look at it although nothing happens.
    pub fn due_ms(&self) -> u64 {
        match self.state {
            State::Greeting { until_ms } | State::Closing { until_ms, .. } => until_ms,
            State::Open => {
                let idle = self
                    .blocked_since_ms
                    .map_or(NEVER_MS, |at| at + IDLE_VIEWER_MS);
                let frame = match self.input.is_empty() {
                    true => NEVER_MS,
                    false => self.input_since_ms + FRAME_DEADLINE_MS,
                };
                idle.min(frame)
            }
        }
    }

    /// Its deadline has come.
    pub fn handle_due(&mut self, id: ConnectionId, turn: &mut Turn<'_>) -> Fate {
        match self.state {
            State::Closing { .. } => return Fate::Over,
            State::Greeting { .. } => self.close_for(id, &WireError::of(Code::Deadline), turn),
            State::Open if self.is_idle(turn.now_ms) => {
                self.close_for(id, &WireError::of(Code::IdleViewer), turn);
            }
            State::Open => self.close_for(id, &WireError::of(Code::Deadline), turn),
        }
        Fate::Stays
    }

    /// Reads and handles what has arrived, up to one share.
    pub fn handle_readable(
        &mut self,
        id: ConnectionId,
        scratch: &mut [u8],
        turn: &mut Turn<'_>,
    ) -> Fate {
        let mut share = scratch.len();
        while share > 0 {
            match self.socket.read(scratch) {
                Ok(0) => return self.over(id, turn),
                Ok(count) => {
                    turn.stats.bytes_in += count as u64;
                    share = share.saturating_sub(count);
                    if self.feed(id, &mut scratch[..count], turn) == Fate::Over {
                        return Fate::Over;
                    }
                    if count < scratch.len() && self.is_drained_by_short_read() {
                        self.readable = false;
                        return Fate::Stays;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    // What came right behind the upgrade has no read of its own.
                    return self.feed(id, &mut [], turn);
                }
                Err(_) => return self.over(id, turn),
            }
        }
        Fate::Stays
    }

    /// Writes what waits; says [`Event::Writable`] when all of it has left.
    pub fn handle_writable(&mut self, id: ConnectionId, turn: &mut Turn<'_>) -> Fate {
        match self.flush(turn) {
            Err(_) => self.over(id, turn),
            Ok(false) => Fate::Stays,
            Ok(true) => {
                if std::mem::take(&mut self.starved) && self.present {
                    turn.events.push(Event::Writable { connection: id });
                }
                Fate::Stays
            }
        }
    }

    /// Offers the bytes of a batch; all or nothing is taken.
    pub fn offer(&mut self, bytes: &Bytes, viewer: ViewerId, turn: &mut Turn<'_>) -> Took {
        if !self.present {
            return Took::Gone;
        }
        if self.is_busy() {
            return self.starve(turn.now_ms);
        }
        match self.write(bytes, Some(viewer), turn) {
            Ok(true) => Took::All,
            Ok(false) => self.starve(turn.now_ms),
            Err(_) => Took::Gone,
        }
    }

    /// Sends a protocol frame as a message of its own, behind what waits.
    pub fn send(&mut self, frame: &[u8], turn: &mut Turn<'_>) -> Fate {
        if !self.present {
            return Fate::Stays;
        }
        turn.stats.frames_out += 1;
        match self.put(websocket_frame::frame(Opcode::Binary, frame).into(), turn) {
            Ok(()) => Fate::Stays,
            Err(_) => Fate::Over,
        }
    }

    /// Says goodbye; the connection goes when that has left, or a little later.
    pub fn close(
        &mut self,
        id: ConnectionId,
        code: Code,
        retry_after_ms: u32,
        text: &str,
        turn: &mut Turn<'_>,
    ) -> Fate {
        if matches!(self.state, State::Closing { .. }) {
            return Fate::Stays;
        }
        turn.stats.count_close(code);
        let goodbye = greeting::goodbye(code, retry_after_ms, text);
        let goodbye = websocket_frame::frame(Opcode::Binary, &goodbye);
        self.part(
            id,
            &[goodbye, websocket_frame::close_frame(code, text)],
            turn,
        )
    }

    /// Whether a batch of this viewer is half written.
    pub fn is_half_written(&self, viewer: ViewerId) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|pending| pending.viewer == Some(viewer))
    }

    /// The connection is over: says so to the shard, once.
    pub fn over(&mut self, id: ConnectionId, turn: &mut Turn<'_>) -> Fate {
        if std::mem::take(&mut self.present) {
            turn.events.push(Event::Disconnected { connection: id });
        }
        Fate::Over
    }

    /// Whether a read that gave less than there was room for has emptied the socket. The events
    /// are edge-triggered: what comes later is told again, but an end that already stands behind
    /// the bytes is not. With TLS a read gives what one record held, whatever else waits.
    fn is_drained_by_short_read(&self) -> bool {
        !self.ending && !self.socket.is_encrypted()
    }

    fn is_busy(&self) -> bool {
        self.pending.is_some() || !self.queue.is_empty()
    }

    fn is_idle(&self, now_ms: u64) -> bool {
        self.blocked_since_ms
            .is_some_and(|at| at + IDLE_VIEWER_MS <= now_ms)
    }

    fn starve(&mut self, now_ms: u64) -> Took {
        self.starved = true;
        self.blocked_since_ms.get_or_insert(now_ms);
        Took::Nothing
    }

    fn close_for(&mut self, id: ConnectionId, error: &WireError, turn: &mut Turn<'_>) {
        // A flush that fails shows when the socket is looked at next, or by the linger deadline.
        self.close(id, error.code, 0, &error.text, turn);
    }

    /// The last frames, then nothing more.
    fn part(&mut self, id: ConnectionId, last: &[Vec<u8>], turn: &mut Turn<'_>) -> Fate {
        self.over(id, turn);
        self.state = State::Closing {
            until_ms: turn.now_ms + CLOSE_LINGER_MS,
            finished: false,
        };
        self.input = Vec::new();
        self.queue
            .extend(last.iter().map(|frame| Bytes::copy_from_slice(frame)));
        match self.flush(turn) {
            Ok(_) => Fate::Stays,
            Err(_) => Fate::Over,
        }
    }

    fn feed(&mut self, id: ConnectionId, bytes: &mut [u8], turn: &mut Turn<'_>) -> Fate {
        if matches!(self.state, State::Closing { .. }) || (bytes.is_empty() && !self.has_early()) {
            return Fate::Stays;
        }
        let fed = if self.input.is_empty() {
            self.parse(id, bytes, turn)
                .map(|used| (used, bytes[used..].to_vec()))
        } else {
            let mut whole = std::mem::take(&mut self.input);
            whole.extend_from_slice(bytes);
            self.parse(id, &mut whole, turn)
                .map(|used| (used, whole[used..].to_vec()))
        };
        match fed {
            Ok((used, rest)) => {
                self.input = rest;
                if used > 0 || self.input.len() <= bytes.len() {
                    self.input_since_ms = turn.now_ms;
                }
                Fate::Stays
            }
            Err(Fault::Close(error)) => self.close(id, error.code, 0, &error.text, turn),
            Err(Fault::Cut) => {
                turn.stats.cut += 1;
                self.over(id, turn)
            }
        }
    }

    /// Whether bytes wait that no read will bring up.
    fn has_early(&self) -> bool {
        self.is_greeting() && !self.input.is_empty()
    }

    /// Handles the whole frames in `bytes`; returns how many bytes they have.
    fn parse(
        &mut self,
        id: ConnectionId,
        bytes: &mut [u8],
        turn: &mut Turn<'_>,
    ) -> Result<usize, Fault> {
        let mut used = 0;
        while let Some(header) =
            websocket_frame::read_header(&bytes[used..], WEBSOCKET_MESSAGE_BYTES_MAX)?
        {
            let start = used + header.head;
            let Some(payload) = bytes.get_mut(start..start + header.len) else {
                break;
            };
            websocket_frame::unmask(payload, header.mask);
            used = start + header.len;
            if header.opcode == Opcode::Binary {
                self.handle_message(id, payload, turn)?;
                continue;
            }
            self.count_control(turn.now_ms)?;
            match header.opcode {
                Opcode::Ping => {
                    let pong = websocket_frame::frame(Opcode::Pong, payload);
                    self.put(pong.into(), turn).map_err(|_| Fault::Cut)?;
                }
                Opcode::Close => {
                    let echo =
                        websocket_frame::frame(Opcode::Close, payload.get(..2).unwrap_or(&[]));
                    self.part(id, &[echo], turn);
                    return Ok(bytes.len());
                }
                Opcode::Binary | Opcode::Pong => {}
            }
        }
        Ok(used)
    }

    /// Reads the whole message before anything of it is handled.
    fn handle_message(
        &mut self,
        id: ConnectionId,
        message: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), Fault> {
        for request in read_message(message, turn.stats)? {
            if greeting::is_costly(&request) {
                turn.hellos_left = turn.hellos_left.saturating_sub(1);
            }
            let mut greeted = self.present;
            let taken = greeting::take(turn.access, turn.now_ms, &mut greeted, id, request)?;
            if greeted && !self.present {
                turn.stats.greeted += 1;
                self.present = true;
                self.state = State::Open;
            }
            turn.events.extend(taken.event);
            if let Some(answer) = taken.answer {
                turn.stats.frames_out += 1;
                let message = websocket_frame::frame(Opcode::Binary, &answer);
                self.put(message.into(), turn).map_err(|_| Fault::Cut)?;
            }
        }
        Ok(())
    }

    fn count_control(&mut self, now_ms: u64) -> Result<(), WireError> {
        let second = now_ms / 1_000;
        if self.controls.0 != second {
            self.controls = (second, 0);
        }
        self.controls.1 += 1;
        if self.controls.1 > WEBSOCKET_CONTROLS_PER_S_MAX {
            return Err(WireError::new(
                Code::Transport,
                "too many WebSocket control frames; a ping every few seconds is enough",
            ));
        }
        Ok(())
    }

    /// Writes a whole WebSocket frame, or puts it in line behind what waits.
    fn put(&mut self, frame: Bytes, turn: &mut Turn<'_>) -> io::Result<()> {
        if !self.is_busy() && self.write(&frame, None, turn)? {
            return Ok(());
        }
        if self.queue.len() >= CONTROL_QUEUE_FRAMES_MAX
            || self.queue_bytes + frame.len() > CONTROL_QUEUE_BYTES_MAX
        {
            return Err(ErrorKind::OutOfMemory.into());
        }
        self.queue_bytes += frame.len();
        self.queue.push_back(frame);
        self.blocked_since_ms.get_or_insert(turn.now_ms);
        Ok(())
    }

    /// Writes to a socket on which nothing waits. False: nothing was taken.
    fn write(
        &mut self,
        bytes: &Bytes,
        viewer: Option<ViewerId>,
        turn: &mut Turn<'_>,
    ) -> io::Result<bool> {
        let count = match self.socket.write(bytes) {
            Ok(count) => count,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e),
        };
        turn.stats.bytes_out += count as u64;
        if count < bytes.len() || self.socket.has_backlog() {
            self.blocked_since_ms = Some(turn.now_ms);
            self.pending = Some(Pending {
                bytes: bytes.slice(count..),
                viewer,
            });
        }
        Ok(true)
    }

    /// Writes what waits, in order. True: nothing waits any more.
    fn flush(&mut self, turn: &mut Turn<'_>) -> io::Result<bool> {
        loop {
            if self.pending.is_none() {
                let Some(bytes) = self.queue.pop_front() else {
                    break;
                };
                self.queue_bytes = self.queue_bytes.saturating_sub(bytes.len());
                self.pending = Some(Pending {
                    bytes,
                    viewer: None,
                });
            }
            match self.flush_pending(turn) {
                Ok(()) => self.pending = None,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        self.blocked_since_ms = None;
        self.queue.shrink_to_fit();
        if let State::Closing { finished, .. } = &mut self.state
            && !std::mem::replace(finished, true)
        {
            self.socket.finish();
        }
        Ok(true)
    }

    fn flush_pending(&mut self, turn: &mut Turn<'_>) -> io::Result<()> {
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        while !pending.bytes.is_empty() {
            let count = self.socket.write(&pending.bytes)?;
            turn.stats.bytes_out += count as u64;
            self.blocked_since_ms = Some(turn.now_ms);
            pending.bytes.advance(count);
        }
        self.socket.flush()
    }
}

impl AsFd for WebSocketConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn read_message(message: &[u8], stats: &mut TransportStats) -> Result<Vec<Request>, WireError> {
    if message.is_empty() {
        return Err(WireError::new(
            Code::Malformed,
            "a WebSocket message holds one or more whole frames",
        ));
    }
    let mut requests = Vec::new();
    let mut rest = message;
    while let Some(frame) = split_first(&mut rest, CLIENT_FRAME_BYTES_MAX)? {
        stats.frames_in += 1;
        requests.extend(decode_request(frame)?);
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_viewer_costs_less_than_512_bytes() {
        assert!(
            size_of::<WebSocketConnection>() <= 256,
            "{}",
            size_of::<WebSocketConnection>()
        );
    }
}
