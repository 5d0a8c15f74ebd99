//! The mechanics of one WebSocket, whatever is said over it: frames in, bytes out, pings, the
//! closing handshake.
//!
//! A quiet link holds no heap memory of ours: no read buffer (the caller has one), no write
//! buffer. A slow one holds a reference to one shared batch, half written, and perhaps a few
//! short answers behind it; nothing else is taken for it until both have left.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use bytes::Bytes;
use skein_wire::error::WireError;
use skein_wire::ids::ChatHandle;

use crate::edge::deadlines::NEVER_MS;
use crate::edge::stats::TransportStats;
use crate::edge::websocket_backlog::Backlog;
use crate::edge::websocket_frame::{self, Opcode, Rules, Violation, status};
use crate::edge::websocket_socket::Socket;

/// Why a link cannot go on.
#[derive(Debug)]
pub enum Fault {
    /// The peer is told.
    Close(Violation),
    /// It is cut: it does not read what it asks for.
    Cut,
}

impl From<Violation> for Fault {
    fn from(violation: Violation) -> Self {
        Self::Close(violation)
    }
}

impl From<WireError> for Fault {
    fn from(error: WireError) -> Self {
        Self::Close(error.into())
    }
}

/// A frame of a message, whole; its payload is a part of the [`Feed`] that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFrame {
    /// Text, binary, or more of either.
    pub opcode: Opcode,
    /// The last of its message.
    pub fin: bool,
    payload: Range<usize>,
}

/// The bytes of one read behind what reads before it left over.
#[derive(Debug)]
pub struct Feed<'a> {
    bytes: FeedBytes<'a>,
    used: usize,
    /// Since when the frame is awaited whose beginning was left over.
    since_ms: Option<u64>,
}

#[derive(Debug)]
enum FeedBytes<'a> {
    /// Nothing was left over.
    Fresh(&'a mut [u8]),
    /// Both, joined.
    Joined(Vec<u8>),
}

impl Feed<'_> {
    /// The payload of a frame that came from here, unmasked.
    pub fn payload(&self, frame: &DataFrame) -> &[u8] {
        match &self.bytes {
            FeedBytes::Fresh(bytes) => &bytes[frame.payload.clone()],
            FeedBytes::Joined(bytes) => &bytes[frame.payload.clone()],
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        match &mut self.bytes {
            FeedBytes::Fresh(bytes) => bytes,
            FeedBytes::Joined(bytes) => bytes,
        }
    }
}

/// The beginning of a frame. Boxed: most links have none most of the time.
#[derive(Debug)]
struct Unfinished {
    bytes: Vec<u8>,
    /// When the last whole frame before it ended.
    since_ms: u64,
}

impl Unfinished {
    fn of(bytes: &[u8], since_ms: u64) -> Option<Box<Self>> {
        let bytes = bytes.to_vec();
        (!bytes.is_empty()).then(|| Box::new(Self { bytes, since_ms }))
    }
}

/// How far the end of a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parting {
    /// In use.
    No,
    /// The last frames are in line; what comes in is thrown away.
    Begun,
    /// They have left, and our direction is ended.
    Finished,
}

/// One WebSocket after the upgrade.
#[derive(Debug)]
pub struct WebSocketLink {
    socket: Socket,
    /// A frame that is not whole yet, while there is one.
    input: Option<Box<Unfinished>>,
    /// What waits to be written, while something does. Boxed: most links never have any.
    backlog: Option<Box<Backlog>>,
    /// Since when nothing was taken, while something waits; [`NEVER_MS`] = nothing does.
    blocked_since_ms: u64,
    /// Control frames in the current second.
    controls: (u32, u32),
    parting: Parting,
}

impl WebSocketLink {
    /// A link just upgraded; `early` came right behind the request.
    pub fn new(socket: Socket, early: &[u8], now_ms: u64) -> Self {
        Self {
            socket,
            input: Unfinished::of(early, now_ms),
            backlog: None,
            blocked_since_ms: NEVER_MS,
            controls: (0, 0),
            parting: Parting::No,
        }
    }

    /// Reads what is there. 0 means that the peer has ended its direction.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; anything else ends the connection.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.socket.read(into)
    }

    /// Whether a read that gave less than there was room for may have left something. With TLS a
    /// read gives what one record held, whatever else waits.
    pub fn is_encrypted(&self) -> bool {
        self.socket.is_encrypted()
    }

    /// Whether bytes wait for the rest of their frame, or came right behind the upgrade.
    pub fn has_input(&self) -> bool {
        self.input.is_some()
    }

    /// Since when the frame that is not whole is awaited, if there is one.
    pub fn input_since_ms(&self) -> Option<u64> {
        self.input.as_ref().map(|input| input.since_ms)
    }

    /// Since when nothing was taken, while something waits.
    pub fn blocked_since_ms(&self) -> Option<u64> {
        (self.blocked_since_ms != NEVER_MS).then_some(self.blocked_since_ms)
    }

    /// Somebody was turned away because something waits.
    pub fn note_blocked(&mut self, now_ms: u64) {
        self.blocked_since_ms = self.blocked_since_ms.min(now_ms);
    }

    /// Whether something waits to be written.
    pub fn is_busy(&self) -> bool {
        self.backlog.is_some()
    }

    /// Whether its end has begun.
    pub fn is_parting(&self) -> bool {
        self.parting != Parting::No
    }

    /// Makes sure that nothing more of a batch of this chat leaves. False: it is half written,
    /// and cannot be taken back.
    #[must_use]
    pub fn purge(&mut self, chat: ChatHandle) -> bool {
        let Some(backlog) = self.backlog.as_mut().filter(|it| it.is_of(chat)) else {
            return true;
        };
        if !backlog.is_whole() {
            return false;
        }
        if !backlog.begin_next() {
            self.backlog = None;
            self.blocked_since_ms = NEVER_MS;
        }
        true
    }

    /// Begins to take frames out of bytes that were just read.
    pub fn begin_feed<'a>(&mut self, fresh: &'a mut [u8]) -> Feed<'a> {
        let (bytes, since_ms) = match self.input.take() {
            None => (FeedBytes::Fresh(fresh), None),
            Some(input) => {
                let mut joined = input.bytes;
                joined.extend_from_slice(fresh);
                (FeedBytes::Joined(joined), Some(input.since_ms))
            }
        };
        Feed {
            bytes,
            used: 0,
            since_ms,
        }
    }

    /// The next whole frame of a message. Control frames before it are answered; after a close
    /// frame there is no other.
    ///
    /// # Errors
    /// `Close` when the bytes break the rules, `Cut` when answers pile up.
    pub fn next_frame(
        &mut self,
        feed: &mut Feed<'_>,
        rules: &Rules,
        now_ms: u64,
        stats: &mut TransportStats,
    ) -> Result<Option<DataFrame>, Fault> {
        while !self.is_parting() {
            let used = feed.used;
            let bytes = feed.bytes();
            let Some(header) = websocket_frame::read_header(&bytes[used..], rules)? else {
                return Ok(None);
            };
            let start = used + header.head;
            let end = start + header.len;
            let Some(payload) = bytes.get_mut(start..end) else {
                return Ok(None);
            };
            websocket_frame::unmask(payload, header.mask);
            let control = match header.opcode {
                Opcode::Ping => Some(websocket_frame::frame(Opcode::Pong, payload)),
                Opcode::Close => Some(websocket_frame::close_answer(payload)?),
                _ => None,
            };
            feed.used = end;
            if !header.opcode.is_control() {
                return Ok(Some(DataFrame {
                    opcode: header.opcode,
                    fin: header.fin,
                    payload: start..end,
                }));
            }
            self.count_control(rules, now_ms)?;
            match (header.opcode, control) {
                // A flush that fails shows when the socket is looked at next.
                (Opcode::Close, Some(answer)) => drop(self.part(&[answer], now_ms, stats)),
                (_, Some(answer)) => {
                    let put = self.put(answer.into(), now_ms, stats);
                    put.map_err(|_| Fault::Cut)?;
                }
                (_, None) => {}
            }
        }
        Ok(None)
    }

    /// Keeps what is left of a feed for the next one.
    pub fn end_feed(&mut self, mut feed: Feed<'_>, now_ms: u64) {
        if self.is_parting() {
            return;
        }
        let used = feed.used;
        // The same frame is still awaited, unless one was taken.
        let since_ms = feed.since_ms.filter(|_| used == 0).unwrap_or(now_ms);
        self.input = Unfinished::of(&feed.bytes()[used..], since_ms);
    }

    /// Writes a whole WebSocket frame, or puts it in line behind what waits.
    ///
    /// # Errors
    /// `OutOfMemory` when too much waits; anything else is what the socket says.
    pub fn put(&mut self, frame: Bytes, now_ms: u64, stats: &mut TransportStats) -> io::Result<()> {
        if let Some(backlog) = &mut self.backlog {
            if !backlog.put(frame) {
                return Err(ErrorKind::OutOfMemory.into());
            }
        } else if self.write(&frame, None, now_ms, stats)? {
            return Ok(());
        } else {
            self.backlog = Some(Box::new(Backlog::new(&frame, 0, None)));
        }
        self.note_blocked(now_ms);
        Ok(())
    }

    /// Writes to a socket on which nothing waits. False: nothing was taken. What the kernel does
    /// not take of what was begun waits here.
    ///
    /// # Errors
    /// What the socket says.
    pub fn write(
        &mut self,
        bytes: &Bytes,
        chat: Option<ChatHandle>,
        now_ms: u64,
        stats: &mut TransportStats,
    ) -> io::Result<bool> {
        let count = match self.socket.write(bytes) {
            Ok(count) => count,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e),
        };
        self.note_taken(bytes, count, chat, now_ms, stats);
        Ok(true)
    }

    /// So many bytes were taken by a socket on which nothing waits. What is left waits here.
    pub fn note_taken(
        &mut self,
        bytes: &Bytes,
        count: usize,
        chat: Option<ChatHandle>,
        now_ms: u64,
        stats: &mut TransportStats,
    ) {
        stats.bytes_out += count as u64;
        if count < bytes.len() || self.socket.has_backlog() {
            self.blocked_since_ms = now_ms;
            let backlog = Backlog::new(bytes, count, chat);
            self.backlog = Some(Box::new(backlog));
        }
    }

    /// The last frames, then nothing more: they leave as the socket takes them.
    ///
    /// # Errors
    /// What the socket says.
    pub fn part(
        &mut self,
        last: &[Vec<u8>],
        now_ms: u64,
        stats: &mut TransportStats,
    ) -> io::Result<()> {
        self.parting = Parting::Begun;
        self.input = None;
        for frame in last {
            let frame = Bytes::copy_from_slice(frame);
            match &mut self.backlog {
                Some(backlog) => backlog.put_last(frame),
                None => self.backlog = Some(Box::new(Backlog::new(&frame, 0, None))),
            }
        }
        self.flush(now_ms, stats).map(|_| ())
    }

    /// Writes what waits, in order. True: nothing waits any more.
    ///
    /// # Errors
    /// What the socket says.
    pub fn flush(&mut self, now_ms: u64, stats: &mut TransportStats) -> io::Result<bool> {
        while let Some(backlog) = &mut self.backlog {
            while !backlog.begun().is_empty() {
                let count = match self.socket.write(backlog.begun()) {
                    Ok(count) => count,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(e) => return Err(e),
                };
                stats.bytes_out += count as u64;
                self.blocked_since_ms = now_ms;
                backlog.advance(count);
            }
            match self.socket.flush() {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
            if !backlog.begin_next() {
                self.backlog = None;
            }
        }
        self.blocked_since_ms = NEVER_MS;
        if self.parting == Parting::Begun {
            self.parting = Parting::Finished;
            self.socket.finish();
        }
        Ok(true)
    }

    fn count_control(&mut self, rules: &Rules, now_ms: u64) -> Result<(), Violation> {
        // Any number that differs from second to second.
        let second = (now_ms / 1_000) as u32;
        if self.controls.0 != second {
            self.controls = (second, 0);
        }
        self.controls.1 += 1;
        if self.controls.1 > rules.controls_per_s_max {
            return Err(Violation::transport(
                status::PROTOCOL,
                "too many WebSocket control frames; a ping every few seconds is enough",
            ));
        }
        Ok(())
    }
}

impl AsFd for WebSocketLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const CHAT: ChatHandle = ChatHandle(1);
    const BATCH: Bytes = Bytes::from_static(b"a batch");

    /// A link with a batch of which so much was taken, and its peer.
    fn link(taken: usize) -> (WebSocketLink, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Socket::new(listener.accept().unwrap().0, None).unwrap();
        let mut link = WebSocketLink::new(socket, &[], 0);
        let stats = &mut TransportStats::default();
        link.note_taken(&BATCH, taken, Some(CHAT), 5, stats);
        assert_eq!(stats.bytes_out, taken as u64);
        (link, peer)
    }

    fn sent(mut link: WebSocketLink, peer: TcpStream) -> Vec<u8> {
        assert!(link.flush(9, &mut TransportStats::default()).unwrap());
        drop(link);
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut { peer }, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_not_taken_waits_and_leaves() {
        for taken in [0, 3] {
            let (link, peer) = link(taken);
            assert!(link.is_busy());
            assert_eq!(link.blocked_since_ms(), Some(5));
            assert_eq!(sent(link, peer), BATCH[taken..]);
        }
        assert!(!link(BATCH.len()).0.is_busy());
    }

    #[test]
    fn a_batch_that_has_not_begun_to_leave_is_taken_back() {
        let stats = &mut TransportStats::default();
        let (mut link, peer) = link(0);
        link.put(Bytes::from_static(b"a frame"), 6, stats).unwrap();
        assert!(link.purge(ChatHandle(2)), "another chat's");
        assert!(link.purge(CHAT));
        assert!(link.is_busy(), "the frame behind it");
        assert_eq!(sent(link, peer), b"a frame");
    }

    #[test]
    fn a_link_with_nothing_but_a_batch_that_is_taken_back_is_not_blocked() {
        let (mut link, _peer) = link(0);
        assert!(link.purge(CHAT));
        assert!(!link.is_busy());
        assert_eq!(link.blocked_since_ms(), None);
    }

    #[test]
    fn a_half_written_batch_cannot_be_taken_back() {
        let (mut link, peer) = link(3);
        assert!(!link.purge(CHAT));
        assert_eq!(sent(link, peer), BATCH[3..]);
    }
}
