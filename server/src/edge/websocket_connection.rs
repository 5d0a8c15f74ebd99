//! One client on a WebSocket: its `Hello`, its requests, the batches it takes, its end.
//!
//! A quiet viewer holds no heap memory of ours beside its place in the table, and a slow one no
//! more than its [`WebSocketLink`] says.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};

use bytes::Bytes;
use skein_engine::ids::ConnectionId;
use skein_wire::error::{Code, WireError};
use skein_wire::frame::decode_request;
use skein_wire::ids::ChatHandle;
use skein_wire::limits::CLIENT_FRAME_BYTES_MAX;
use skein_wire::request::Request;
use skein_wire::splitter::split_first;

use crate::access::Access;
use crate::edge::deadlines::{Armed, NEVER_MS};
use crate::edge::event::Event;
use crate::edge::greeting;
use crate::edge::speaker::Speaker;
use crate::edge::stats::TransportStats;
use crate::edge::websocket_frame::{self, Opcode, Rules, Violation};
use crate::edge::websocket_gathered::{Gathered, GatheredOffer, Round};
use crate::edge::websocket_link::{Fault, WebSocketLink};
use crate::edge::websocket_socket::Socket;
use crate::limits::{
    CLOSE_LINGER_MS, FRAME_DEADLINE_MS, HELLO_DEADLINE_MS, IDLE_VIEWER_MS,
    WEBSOCKET_CONTROLS_PER_S_MAX, WEBSOCKET_MESSAGE_BYTES_MAX,
};

/// A message is one binary frame.
const RULES: Rules = Rules {
    text: false,
    fragments: false,
    payload_bytes_max: WEBSOCKET_MESSAGE_BYTES_MAX,
    controls_per_s_max: WEBSOCKET_CONTROLS_PER_S_MAX,
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
    /// Batches that leave together, where they do.
    pub gathered: &'a mut Gathered,
    /// Kept for its memory: the requests of one message.
    pub requests: &'a mut Vec<Request>,
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
    Closing { until_ms: u64 },
}

/// One client on a WebSocket.
#[derive(Debug)]
pub struct WebSocketConnection {
    link: WebSocketLink,
    state: State,
    /// Who has said `Hello`. There while `Connected` was said and `Disconnected` was not.
    speaker: Option<Speaker>,
    /// The kernel may have bytes for us.
    pub readable: bool,
    /// The kernel has announced the end of what the peer sends, or an error.
    pub ending: bool,
    /// Stands in the line of those that want a turn.
    pub in_line: bool,
    /// An offer was answered with "nothing".
    starved: bool,
    /// When a batch of it was gathered last.
    gathered_in: Round,
    /// Place in the wheel of deadlines.
    pub armed: Armed,
}

/// Bytes of a connection: a quiet one has no other memory of the edge's.
const CONNECTION_BYTES_MAX: usize = 96;

const _: () = assert!(size_of::<WebSocketConnection>() <= CONNECTION_BYTES_MAX);

impl WebSocketConnection {
    fn is_present(&self) -> bool {
        self.speaker.is_some()
    }

    /// A connection just upgraded; `early` came right behind the request.
    pub fn new(socket: Socket, early: &[u8], now_ms: u64) -> Self {
        Self {
            link: WebSocketLink::new(socket, early, now_ms),
            state: State::Greeting {
                until_ms: now_ms + HELLO_DEADLINE_MS,
            },
            speaker: None,
            readable: true,
            ending: false,
            in_line: false,
            starved: false,
            gathered_in: Round::default(),
            armed: Armed::default(),
        }
    }

    /// Whether it still waits for its `Hello`.
    pub fn is_greeting(&self) -> bool {
        matches!(self.state, State::Greeting { .. })
    }

    /// When to look at it although nothing happens.
    pub fn due_ms(&self) -> u64 {
        match self.state {
            State::Greeting { until_ms } | State::Closing { until_ms } => until_ms,
            State::Open => {
                let due = |since: Option<u64>, limit| since.map_or(NEVER_MS, |at| at + limit);
                let idle = due(self.link.blocked_since_ms(), IDLE_VIEWER_MS);
                idle.min(due(self.link.input_since_ms(), FRAME_DEADLINE_MS))
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
            match self.link.read(scratch) {
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
        match self.link.flush(turn.now_ms, turn.stats) {
            Err(_) => self.over(id, turn),
            Ok(false) => Fate::Stays,
            Ok(true) => {
                if std::mem::take(&mut self.starved) && self.is_present() {
                    turn.events.push(Event::Writable { connection: id });
                }
                Fate::Stays
            }
        }
    }

    /// Whether a batch of it is in this gathering.
    pub fn is_in(&self, round: Round) -> bool {
        self.gathered_in == round
    }

    /// Offers the bytes of a batch; all or nothing is taken. Where batches are gathered it is on
    /// its way when that is over, and there is none of this connection in it yet.
    pub fn offer(
        &mut self,
        id: ConnectionId,
        bytes: &Bytes,
        chat: ChatHandle,
        turn: &mut Turn<'_>,
    ) -> Took {
        if !self.is_present() {
            return Took::Gone;
        }
        if self.link.is_busy() {
            return self.starve(turn.now_ms);
        }
        // TLS makes other bytes for each viewer, and keeps them itself.
        let round = turn.gathered.round().filter(|_| !self.link.is_encrypted());
        if let Some(round) = round {
            self.gathered_in = round;
            turn.gathered.put(GatheredOffer {
                to: id,
                chat,
                bytes: bytes.clone(),
            });
            return Took::All;
        }
        let wrote = self.link.write(bytes, Some(chat), turn.now_ms, turn.stats);
        match wrote {
            Ok(true) => Took::All,
            Ok(false) => self.starve(turn.now_ms),
            Err(_) => Took::Gone,
        }
    }

    /// What became of a batch that was gathered. One that a full socket did not take waits like the
    /// rest of one that it took in part.
    pub fn handle_left(
        &mut self,
        offer: &GatheredOffer,
        outcome: io::Result<usize>,
        turn: &mut Turn<'_>,
    ) -> Fate {
        let (bytes, chat, now_ms) = (&offer.bytes, Some(offer.chat), turn.now_ms);
        let count = match outcome {
            Ok(count) => count,
            Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
            Err(e) if e.kind() == ErrorKind::Interrupted => {
                match self.link.write(bytes, chat, now_ms, turn.stats) {
                    Ok(true) => return Fate::Stays,
                    Ok(false) => 0,
                    Err(_) => return Fate::Over,
                }
            }
            Err(_) => return Fate::Over,
        };
        let link = &mut self.link;
        link.note_taken(bytes, count, chat, now_ms, turn.stats);
        Fate::Stays
    }

    /// Sends a protocol frame as a message of its own, behind what waits.
    pub fn send(&mut self, frame: &[u8], turn: &mut Turn<'_>) -> Fate {
        if !self.is_present() {
            return Fate::Stays;
        }
        turn.stats.frames_out += 1;
        let message = websocket_frame::frame(Opcode::Binary, frame);
        match self.link.put(message.into(), turn.now_ms, turn.stats) {
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

    /// Makes sure that nothing more of a batch of this chat leaves. False: it is half written,
    /// and cannot be taken back.
    #[must_use]
    pub fn purge(&mut self, chat: ChatHandle) -> bool {
        self.link.purge(chat)
    }

    /// The connection is over: says so to the shard, once.
    pub fn over(&mut self, id: ConnectionId, turn: &mut Turn<'_>) -> Fate {
        if self.speaker.take().is_some() {
            turn.events.push(Event::Disconnected { connection: id });
        }
        Fate::Over
    }

    /// Whether a read that gave less than there was room for has emptied the socket. The events
    /// are edge-triggered: what comes later is told again, but an end that already stands behind
    /// the bytes is not. With TLS a read gives what one record held, whatever else waits.
    fn is_drained_by_short_read(&self) -> bool {
        !self.ending && !self.link.is_encrypted()
    }

    fn is_idle(&self, now_ms: u64) -> bool {
        self.link
            .blocked_since_ms()
            .is_some_and(|at| at + IDLE_VIEWER_MS <= now_ms)
    }

    fn starve(&mut self, now_ms: u64) -> Took {
        self.starved = true;
        self.link.note_blocked(now_ms);
        Took::Nothing
    }

    fn close_for(&mut self, id: ConnectionId, error: &WireError, turn: &mut Turn<'_>) {
        // A flush that fails shows when the socket is looked at next, or by the linger deadline.
        self.close(id, error.code, 0, &error.text, turn);
    }

    /// The last frames, then nothing more.
    fn part(&mut self, id: ConnectionId, last: &[Vec<u8>], turn: &mut Turn<'_>) -> Fate {
        self.leave(id, turn);
        match self.link.part(last, turn.now_ms, turn.stats) {
            Ok(()) => Fate::Stays,
            Err(_) => Fate::Over,
        }
    }

    /// Nothing more is taken; what is in line may still leave.
    fn leave(&mut self, id: ConnectionId, turn: &mut Turn<'_>) {
        self.over(id, turn);
        self.state = State::Closing {
            until_ms: turn.now_ms + CLOSE_LINGER_MS,
        };
    }

    fn feed(&mut self, id: ConnectionId, bytes: &mut [u8], turn: &mut Turn<'_>) -> Fate {
        if self.link.is_parting() || (bytes.is_empty() && !self.has_early()) {
            return Fate::Stays;
        }
        match self.take_frames(id, bytes, turn) {
            Ok(()) if self.link.is_parting() => {
                self.leave(id, turn);
                Fate::Stays
            }
            Ok(()) => Fate::Stays,
            Err(Fault::Close(Violation { error, .. })) => {
                self.close(id, error.code, 0, &error.text, turn)
            }
            Err(Fault::Cut) => {
                turn.stats.cut += 1;
                self.over(id, turn)
            }
        }
    }

    /// Whether bytes wait that no read will bring up.
    fn has_early(&self) -> bool {
        self.is_greeting() && self.link.has_input()
    }

    /// Handles the whole messages in what was read.
    fn take_frames(
        &mut self,
        id: ConnectionId,
        bytes: &mut [u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), Fault> {
        let mut feed = self.link.begin_feed(bytes);
        while let Some(frame) = self
            .link
            .next_frame(&mut feed, &RULES, turn.now_ms, turn.stats)?
        {
            self.handle_message(id, feed.payload(&frame), turn)?;
        }
        self.link.end_feed(feed, turn.now_ms);
        Ok(())
    }

    /// Reads the whole message before anything of it is handled.
    fn handle_message(
        &mut self,
        id: ConnectionId,
        message: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), Fault> {
        let mut requests = std::mem::take(turn.requests);
        let read = read_message(message, turn.stats, &mut requests).map_err(Fault::from);
        let handled = read.and_then(|()| self.handle_requests(id, requests.drain(..), turn));
        requests.clear();
        *turn.requests = requests;
        handled
    }

    fn handle_requests(
        &mut self,
        id: ConnectionId,
        requests: impl Iterator<Item = Request>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Fault> {
        for request in requests {
            if greeting::is_costly(&request) {
                turn.hellos_left = turn.hellos_left.saturating_sub(1);
            }
            let was_present = self.is_present();
            let speaker = &mut self.speaker;
            let taken = greeting::take(turn.access, turn.now_ms, speaker, id, request)?;
            if self.is_present() && !was_present {
                turn.stats.greeted += 1;
                self.state = State::Open;
            }
            turn.events.extend(taken.event);
            if let Some(answer) = taken.answer {
                turn.stats.frames_out += 1;
                let message = websocket_frame::frame(Opcode::Binary, &answer);
                let put = self.link.put(message.into(), turn.now_ms, turn.stats);
                put.map_err(|_| Fault::Cut)?;
            }
        }
        Ok(())
    }
}

impl AsFd for WebSocketConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

fn read_message(
    message: &[u8],
    stats: &mut TransportStats,
    requests: &mut Vec<Request>,
) -> Result<(), WireError> {
    if message.is_empty() {
        return Err(WireError::new(
            Code::Malformed,
            "a WebSocket message holds one or more whole frames",
        ));
    }
    let mut rest = message;
    while let Some(frame) = split_first(&mut rest, CLIENT_FRAME_BYTES_MAX)? {
        stats.frames_in += 1;
        requests.extend(decode_request(frame)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// What a viewer gets in the end of a batch that was gathered, and what becomes of it.
    fn left(outcome: io::Result<usize>) -> (Fate, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Socket::new(listener.accept().unwrap().0, None).unwrap();
        let mut connection = WebSocketConnection::new(socket, &[], 0);
        let mut turn = Turn {
            access: &Access::open(dir.path(), true).unwrap(),
            now_ms: 1,
            stats: &mut TransportStats::default(),
            events: &mut Vec::new(),
            hellos_left: 0,
            gathered: &mut Gathered::default(),
            requests: &mut Vec::new(),
        };
        let id = ConnectionId(1);
        let offer = GatheredOffer {
            to: id,
            chat: ChatHandle(1),
            bytes: Bytes::from_static(b"a batch"),
        };
        let fate = connection.handle_left(&offer, outcome, &mut turn);
        if fate == Fate::Stays {
            assert_eq!(connection.handle_writable(id, &mut turn), Fate::Stays);
        }
        drop(connection);
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        (fate, got)
    }

    #[test]
    fn nothing_is_lost_of_a_batch_that_was_gathered_unless_the_connection_is() {
        let check = |outcome, fate, got: &[u8]| assert_eq!(left(outcome), (fate, got.to_vec()));
        check(Ok(7), Fate::Stays, b"");
        check(Ok(2), Fate::Stays, b"batch");
        let failed = |kind: ErrorKind| Err(kind.into());
        check(failed(ErrorKind::WouldBlock), Fate::Stays, b"a batch");
        check(failed(ErrorKind::Interrupted), Fate::Stays, b"a batch");
        check(failed(ErrorKind::BrokenPipe), Fate::Over, b"");
    }

    #[test]
    fn a_quiet_viewer_costs_less_than_512_bytes() {
        assert!(
            size_of::<WebSocketConnection>() <= 256,
            "{}",
            size_of::<WebSocketConnection>()
        );
    }
}
