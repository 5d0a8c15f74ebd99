//! One QUIC connection: what it takes, what it says, its end.
//!
//! A batch that fits a datagram goes as one if nothing waits to be sent; the datagram buffer is
//! cut to exactly one, so that "nothing waits" and "it leaves with the next packet" are the same.
//! A larger one goes on a stream of its own. What QUIC needs for itself is behind a pointer: what
//! the walk over many connections looks at stays together.

use std::sync::Arc;
use std::time::Instant;

use bytes::{BufMut, Bytes};
use quinn_proto::{
    Connection, ConnectionHandle, Dir, Event as LinkEvent, StreamEvent, StreamId, VarInt,
};
use skein_engine::ids::ViewerId;
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::Offer;
use skein_wire::error::{Code, WireError};
use skein_wire::ids::ChatHandle;
use skein_wire::varint;
use web_transport_proto::error_to_http3;

use crate::edge::deadlines::{Armed, NEVER_MS};
use crate::edge::event::Event;
use crate::edge::given_up::GivenUp;
use crate::edge::greeting;
use crate::edge::quic_batches::QuicBatches;
use crate::edge::quic_control::QuicControl;
use crate::edge::quic_input::{End, QuicInput};
use crate::edge::quic_reading::QuicReading;
use crate::edge::quic_silence::QuicSilence;
use crate::edge::quic_turn::Turn;
use crate::edge::speaker::Speaker;
use crate::edge::webtransport::{Found, WebTransport, end_code, reject};
use crate::edge::webtransport_datagrams::{WebTransportDatagrams, datagram, head_bytes};
use crate::edge::webtransport_fault::{BUFFERED_STREAM_REJECTED, Fault, carried};
use crate::limits::{
    FRAME_DEADLINE_MS, HELLO_DEADLINE_MS, IDLE_VIEWER_MS, QUIC_DATAGRAM_SEND_BYTES,
    QUIC_HANDSHAKE_DEADLINE_MS,
};

/// What QUIC counts for each datagram beside its bytes.
const DATAGRAM_OVERHEAD_BYTES: usize = size_of::<quinn_proto::Datagram>();
/// Smallest path on which datagrams are used: with it a second one never fits beside a first,
/// however small that is, on which [`QuicConnection::purge`] relies.
const DATAGRAM_BYTES_MIN: usize = QUIC_DATAGRAM_SEND_BYTES - 2 * DATAGRAM_OVERHEAD_BYTES;
/// A frame kind that every client skips.
const SKIPPED_KIND: u8 = 0xff;

/// As what a connection counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its handshake runs.
    Arriving,
    /// It is there, in whatever state.
    Here,
    /// It is over; only its last packets are repeated for who has not heard them.
    Leaving,
}

#[derive(Debug)]
enum State {
    Handshaking {
        until_ms: u64,
    },
    Greeting {
        until_ms: u64,
    },
    Open,
    Closing {
        until_ms: u64,
        code: Code,
        text: Box<str>,
    },
    Over,
}

/// What became of a timer that came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// QUIC was called.
    Obeyed,
    /// Nothing is asked of a client so silent, until then or until it is heard.
    Rests {
        /// When to look again.
        until_ms: u64,
    },
}

/// What an offer lacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// The datagram that waits must leave.
    Datagram,
    /// The client must allow another stream.
    Stream,
}

/// One QUIC connection.
#[derive(Debug)]
pub struct QuicConnection {
    state: State,
    /// Who has said `Hello`.
    speaker: Option<Speaker>,
    given_up: GivenUp,
    /// Place in the wheel of deadlines.
    pub armed: Armed,
    /// When QUIC wants to be called, whatever happens.
    pub timer_at: Option<Instant>,
    /// Whether that still makes sense.
    pub silence: QuicSilence,
    /// The endpoint has forgotten it.
    pub drained: bool,
    lost: bool,
    /// The client has ended its session.
    parted: bool,
    /// What an offer lacked and somebody waits for.
    waiting: Option<Need>,
    /// Since when nothing was taken, while something waits.
    blocked_since_ms: Option<u64>,
    /// Since when a frame on the control stream is not whole.
    partial_since_ms: Option<u64>,
    /// Its number at the endpoint.
    pub handle: ConnectionHandle,
    /// QUIC itself.
    pub link: Box<Connection>,
    /// HTTP/3, where the client speaks it.
    web: Option<Box<WebTransport>>,
    control: QuicControl,
    batches: QuicBatches,
    input: QuicInput,
}

impl QuicConnection {
    /// A connection whose handshake begins.
    pub fn new(handle: ConnectionHandle, link: Connection, now_ms: u64) -> Self {
        Self {
            state: State::Handshaking {
                until_ms: now_ms + QUIC_HANDSHAKE_DEADLINE_MS,
            },
            speaker: None,
            given_up: GivenUp::default(),
            armed: Armed::default(),
            timer_at: None,
            silence: QuicSilence::default(),
            drained: false,
            lost: false,
            parted: false,
            waiting: None,
            blocked_since_ms: None,
            partial_since_ms: None,
            handle,
            link: Box::new(link),
            web: None,
            control: QuicControl::default(),
            batches: QuicBatches::default(),
            input: QuicInput::new(),
        }
    }

    /// As what it counts.
    pub fn standing(&self) -> Standing {
        match self.state {
            State::Handshaking { .. } => Standing::Arriving,
            State::Greeting { .. } | State::Open | State::Closing { .. } => Standing::Here,
            State::Over => Standing::Leaving,
        }
    }

    /// Whether it carries a WebTransport session.
    pub fn is_web(&self) -> bool {
        self.web.is_some()
    }

    /// `Connected` was said and `Disconnected` was not.
    pub fn is_present(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether nothing of it is needed any more.
    pub fn is_gone(&self) -> bool {
        self.drained && self.standing() == Standing::Leaving
    }

    /// When to look at it although nothing happens.
    pub fn due_ms(&self) -> u64 {
        match self.state {
            State::Handshaking { until_ms }
            | State::Greeting { until_ms }
            | State::Closing { until_ms, .. } => until_ms,
            State::Open => {
                let idle = self
                    .blocked_since_ms
                    .map_or(NEVER_MS, |at| at + IDLE_VIEWER_MS);
                let frame = self
                    .partial_since_ms
                    .map_or(NEVER_MS, |at| at + FRAME_DEADLINE_MS);
                idle.min(frame)
            }
            State::Over => NEVER_MS,
        }
    }

    /// Its deadline has come.
    pub fn handle_due(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            State::Handshaking { .. } => {
                self.link.close(turn.now, VarInt::from_u32(0), Bytes::new());
                self.state = State::Over;
            }
            State::Greeting { .. } => self.close_for(&WireError::of(Code::Deadline), turn),
            State::Open if self.is_idle(turn.now_ms) => {
                self.close_for(&WireError::of(Code::IdleViewer), turn);
            }
            State::Open => self.close_for(&WireError::of(Code::Deadline), turn),
            // It has been told the end of its session, and does not say that it knows.
            State::Closing { .. } if self.web.as_ref().is_some_and(|web| web.is_over()) => {
                self.part(turn);
            }
            State::Closing { .. } => self.cut(Code::Deadline, turn),
            State::Over => {}
        }
    }

    /// QUIC's timer has come up.
    pub fn handle_timer(&mut self, now: Instant, now_ms: u64) -> Timer {
        // Handshakes, and the last packets of who goes, end by themselves within seconds.
        if self.standing() == Standing::Here
            && let Some(until_ms) = self.silence.rest_until_ms(now_ms)
        {
            return Timer::Rests { until_ms };
        }
        self.link.handle_timeout(now);
        Timer::Obeyed
    }

    /// Takes what QUIC has to tell and what the client has sent, up to the share of the pass.
    /// Whether something is left.
    pub fn handle_input(&mut self, turn: &mut Turn<'_>) -> bool {
        while let Some(event) = self.link.poll() {
            self.handle_link_event(event, turn);
        }
        self.read_web(turn);
        self.read(turn);
        // What the client said before it left counts.
        if self.lost && !self.input.is_left() {
            self.end(turn);
        }
        if self.parted && self.is_open() && !self.input.is_left() {
            self.leave(turn);
        }
        self.input.is_left()
    }

    /// Its packets have been made, as far as the path takes them.
    pub fn handle_transmitted(&mut self, turn: &mut Turn<'_>) {
        // On a path that has become too small for datagrams streams are offered from here on.
        if self.waiting == Some(Need::Datagram)
            && (self.has_datagram_room() || self.datagram_bytes_max() == 0)
        {
            self.end_waiting(turn);
        }
    }

    /// Offers the frames of a batch; all or nothing is taken.
    pub fn offer(
        &mut self,
        viewer: ViewerId,
        batch: &SharedBatch,
        now_ms: u64,
        copies: &mut WebTransportDatagrams,
    ) -> Offer {
        if !self.is_present() {
            return Offer::Gone;
        }
        if self.batches.has(viewer) {
            return Offer::Full;
        }
        let frames = batch.frames();
        // A datagram holds one frame.
        if batch.frame_count() > 1 || frames.len() > self.datagram_bytes_max() {
            return self.offer_stream(viewer, batch.chat(), frames, now_ms);
        }
        if !self.has_datagram_room() {
            return self.wait_for(Need::Datagram, now_ms);
        }
        let datagram = match self.session() {
            Some(session) => copies.of(session, &frames),
            None => frames,
        };
        match self.link.datagrams().send(datagram, true) {
            Ok(()) => Offer::Datagram,
            Err(_) => Offer::Gone,
        }
    }

    /// Sends a small frame as a datagram if nothing waits; otherwise it is forgotten.
    pub fn offer_head(&mut self, frame: &Bytes, copies: &mut WebTransportDatagrams) -> bool {
        if !self.is_present()
            || frame.len() > self.datagram_bytes_max()
            || !self.has_datagram_room()
        {
            return false;
        }
        let datagram = match self.session() {
            Some(session) => copies.of(session, frame),
            None => frame.clone(),
        };
        self.link.datagrams().send(datagram, true).is_ok()
    }

    /// Forgets what of a chat is on its way to a client that may not see it any more: its streams are reset,
    /// and a waiting datagram, whosever it is, is pushed out of the buffer by one that says
    /// nothing (QUIC drops the oldest). What was the datagram of another chat is repaired like
    /// any lost one.
    pub fn purge(&mut self, chat: ChatHandle) {
        let code = self.stream_code(Code::MembershipRevoked);
        self.batches.purge(&mut self.link, chat, code);
        let len = self.datagram_bytes_max();
        if len > 0 && !self.has_datagram_room() {
            let skipped = skipped_frame(len);
            let skipped = match self.session() {
                Some(session) => datagram(session, &skipped),
                None => skipped,
            };
            let _ = self.link.datagrams().send(skipped, true);
        }
        self.look_whether_blocked();
    }

    /// Sends a frame on the control stream, behind what waits. A client that lets too much pile
    /// up is cut.
    pub fn send(&mut self, frame: Bytes, turn: &mut Turn<'_>) {
        if !self.is_present() {
            return;
        }
        turn.stats.frames_out += 1;
        if !self.control.queue(frame) {
            self.cut(Code::LimitReached, turn);
            return;
        }
        self.blocked_since_ms.get_or_insert(turn.now_ms);
        self.write_control(turn);
    }

    /// Says goodbye; the connection goes when the client has heard it, or a little later.
    pub fn close(&mut self, code: Code, retry_after_ms: u32, text: &str, turn: &mut Turn<'_>) {
        if !self.is_open() {
            return;
        }
        turn.stats.count_close(code);
        self.tell_gone(turn);
        self.state = State::Closing {
            until_ms: turn.now_ms + turn.close_linger_ms,
            code,
            text: text.into(),
        };
        if !self.control.is_open() {
            self.part(turn);
            return;
        }
        let goodbye = greeting::goodbye(code, retry_after_ms, text);
        self.control.queue_last(goodbye.into());
        self.write_control(turn);
    }

    fn close_for(&mut self, error: &WireError, turn: &mut Turn<'_>) {
        self.close(error.code, 0, &error.text, turn);
    }

    /// The goodbye is heard or cannot be: the connection goes, after its session if it has one.
    fn part(&mut self, turn: &mut Turn<'_>) {
        if let State::Closing { code, text, .. } = &self.state {
            if let Some(web) = &mut self.web
                && web.close(&mut self.link, u32::from(*code as u16), text)
            {
                return;
            }
            let text = Bytes::copy_from_slice(text.as_bytes());
            let code = self.link_code(*code);
            self.link.close(turn.now, code, text);
        }
        self.end(turn);
    }

    /// Ends the connection without waiting for anything.
    pub fn cut(&mut self, code: Code, turn: &mut Turn<'_>) {
        turn.stats.cut += 1;
        let text = Bytes::from_static(code.text().as_bytes());
        let code = self.link_code(code);
        self.link.close(turn.now, code, text);
        self.end(turn);
    }

    /// Ends a connection whose HTTP/3 is none.
    fn cut_web(&mut self, fault: Fault, turn: &mut Turn<'_>) {
        turn.stats.count_close(Code::Transport);
        let text = Bytes::from_static(fault.text.as_bytes());
        self.link.close(turn.now, carried(fault.code), text);
        self.end(turn);
    }

    /// The connection is over, whoever has ended it.
    fn end(&mut self, turn: &mut Turn<'_>) {
        self.tell_gone(turn);
        self.state = State::Over;
        self.control = QuicControl::default();
        self.batches = QuicBatches::default();
        self.input.discard();
        self.waiting = None;
    }

    fn tell_gone(&self, turn: &mut Turn<'_>) {
        if self.is_present() {
            turn.events.push(Event::Disconnected {
                connection: turn.id,
            });
        }
    }

    fn handle_link_event(&mut self, event: LinkEvent, turn: &mut Turn<'_>) {
        match event {
            LinkEvent::Connected => {
                if self.standing() == Standing::Arriving {
                    turn.stats.opened += 1;
                    // Only now is the address proved. What is beyond its rate counts with its next
                    // connection, which is refused.
                    let address = self.link.remote_address().ip();
                    let _ = turn.access.rates().take_address(address, turn.now_ms);
                    self.state = State::Greeting {
                        until_ms: turn.now_ms + HELLO_DEADLINE_MS,
                    };
                    self.begin_web(turn);
                }
            }
            LinkEvent::ConnectionLost { .. } => self.lost = true,
            LinkEvent::DatagramReceived => self.input.set_datagrams_readable(),
            LinkEvent::Stream(event) => self.handle_stream_event(event, turn),
            LinkEvent::HandshakeDataReady | LinkEvent::DatagramsUnblocked => {}
        }
    }

    fn handle_stream_event(&mut self, event: StreamEvent, turn: &mut Turn<'_>) {
        if self.standing() != Standing::Here {
            return;
        }
        match event {
            StreamEvent::Opened { dir } if self.is_web() => {
                while let (Some(web), Some(stream)) =
                    (&mut self.web, self.link.streams().accept(dir))
                {
                    web.accept(stream);
                }
            }
            StreamEvent::Opened { dir: Dir::Bi } => {
                if let Some(stream) = self.link.streams().accept(Dir::Bi) {
                    self.control.open(stream);
                    self.input.open_control(stream);
                }
            }
            StreamEvent::Opened { dir: Dir::Uni } => {
                while let Some(stream) = self.link.streams().accept(Dir::Uni) {
                    self.input.open_side(stream);
                }
            }
            StreamEvent::Readable { id } => {
                let web = self.web.as_mut();
                if !web.is_some_and(|web| web.set_readable(id)) {
                    self.input.set_readable(id);
                }
            }
            StreamEvent::Writable { id } if self.control.is(id) => self.write_control(turn),
            StreamEvent::Writable { id } => {
                let web = self.web.as_mut();
                if web.is_some_and(|web| web.write(&mut self.link, id)) {
                    return;
                }
                if self.batches.write(&mut self.link, id) {
                    self.blocked_since_ms = Some(turn.now_ms);
                }
            }
            StreamEvent::Finished { id } => self.handle_finished(id, turn),
            StreamEvent::Stopped { id, error_code } => {
                let web = self.web.as_ref();
                match web.map(|web| web.handle_stopped(id)).transpose() {
                    Err(fault) => return self.cut_web(fault, turn),
                    Ok(Some(true)) if self.is_open() => return self.leave(turn),
                    Ok(_) => {}
                }
                // The stream is ours to end; an error means that it has ended.
                let _ = self.link.send_stream(id).reset(error_code);
                self.handle_finished(id, turn);
                turn.stats.given_up += 1;
                if let Err(error) = self.given_up.count(turn.now_ms) {
                    self.close_for(&error, turn);
                }
            }
            StreamEvent::Available { dir: Dir::Uni } => {
                if self.waiting == Some(Need::Stream) {
                    self.end_waiting(turn);
                }
            }
            StreamEvent::Available { dir: Dir::Bi } => {}
        }
    }

    /// A stream is acknowledged whole, or the client does not want it.
    fn handle_finished(&mut self, stream: StreamId, turn: &mut Turn<'_>) {
        if self.web.as_ref().is_some_and(|web| web.is_request(stream)) {
            // That its packets have come does not say that it has seen the end of its session, and what follows
            // would overtake that: it ends its own half of the session, or the connection.
            let hears = self.session().is_some() && !self.parted;
            if matches!(self.state, State::Closing { .. }) && !hears {
                self.part(turn);
            }
            return;
        }
        if self.control.is(stream) {
            self.control.clear();
            self.look_whether_blocked();
            if matches!(self.state, State::Closing { .. }) {
                self.part(turn);
            }
            return;
        }
        let Some(viewer) = self.batches.end(stream) else {
            return;
        };
        self.look_whether_blocked();
        let starved = self.batches.take_starved();
        if !self.is_present() {
            return;
        }
        let connection = turn.id;
        turn.events.push(Event::StreamDone { connection, viewer });
        if starved {
            turn.events.push(Event::Writable { connection });
        }
    }

    /// The handshake is done: what the client speaks is known.
    fn begin_web(&mut self, turn: &mut Turn<'_>) {
        if !WebTransport::is_chosen(&self.link) {
            return;
        }
        self.input.hold_datagrams();
        match WebTransport::new(&mut self.link, Arc::clone(turn.origins)) {
            Ok(web) => self.web = Some(Box::new(web)),
            Err(fault) => self.cut_web(fault, turn),
        }
    }

    /// Takes what HTTP/3 has to tell, until it has nothing more.
    fn read_web(&mut self, turn: &mut Turn<'_>) {
        while matches!(
            self.state,
            State::Greeting { .. } | State::Open | State::Closing { .. }
        ) && let Some(web) = &mut self.web
        {
            match web.advance(&mut self.link) {
                Ok(Some(found)) => self.handle_found(found, turn),
                Ok(None) => return,
                Err(fault) => return self.cut_web(fault, turn),
            }
        }
    }

    fn handle_found(&mut self, found: Found, turn: &mut Turn<'_>) {
        match found {
            Found::Opened => {
                if let Some(session) = self.session() {
                    self.input.open_session(session);
                }
            }
            Found::Refused(no) => {
                turn.stats.count_close(Code::Transport);
                self.state = State::Closing {
                    until_ms: turn.now_ms + turn.close_linger_ms,
                    code: Code::Transport,
                    text: no.text.into(),
                };
            }
            Found::Bidirectional(stream) if self.control.is_open() => {
                reject(&mut self.link, stream, BUFFERED_STREAM_REJECTED);
            }
            Found::Bidirectional(stream) => {
                self.control.open(stream);
                self.input.open_control(stream);
            }
            Found::Unidirectional(stream) => self.input.open_side(stream),
            Found::Closed => {
                self.parted = true;
                if matches!(self.state, State::Closing { .. }) {
                    self.part(turn);
                }
            }
        }
    }

    /// The client has ended its session: there is nobody to say goodbye to.
    fn leave(&mut self, turn: &mut Turn<'_>) {
        turn.stats.count_close(Code::Ok);
        let code = self.link_code(Code::Ok);
        self.link.close(turn.now, code, Bytes::new());
        self.end(turn);
    }

    fn session(&self) -> Option<StreamId> {
        self.web.as_ref().and_then(|web| web.session())
    }

    /// The code of the protocol as the end of the connection carries it.
    fn link_code(&self, code: Code) -> VarInt {
        match self.web {
            Some(_) => carried(end_code(code == Code::LimitReached)),
            None => close_code(code),
        }
    }

    /// The same as the end of a stream carries it.
    fn stream_code(&self, code: Code) -> VarInt {
        match self.web {
            Some(_) => carried(error_to_http3(u32::from(code as u16))),
            None => close_code(code),
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Greeting { .. } | State::Open)
    }

    fn read(&mut self, turn: &mut Turn<'_>) {
        if !self.is_open() {
            self.input.discard();
            return;
        }
        if !self.input.is_left() {
            return;
        }
        let mut reading = QuicReading::new(&mut self.speaker, &mut self.given_up, &mut *turn);
        let read = self.input.read(&mut self.link, &mut reading);
        let answers = reading.answers;
        if self.speaker.is_some() && matches!(self.state, State::Greeting { .. }) {
            self.state = State::Open;
        }
        for answer in answers {
            self.send(answer, turn);
        }
        match self.input.is_partial() {
            true => drop(self.partial_since_ms.get_or_insert(turn.now_ms)),
            false => self.partial_since_ms = None,
        }
        match read {
            Ok(()) => return,
            Err(End::Fault(error)) => self.close_for(&error, turn),
            Err(End::Left) => self.close_for(&WireError::of(Code::Ok), turn),
            Err(End::NoDatagram(fault)) => self.cut_web(fault, turn),
        }
        self.input.discard();
    }

    fn write_control(&mut self, turn: &mut Turn<'_>) {
        let written = self.control.write(&mut self.link);
        turn.stats.bytes_out += written as u64;
        if !self.control.is_empty() {
            if written > 0 {
                self.blocked_since_ms = Some(turn.now_ms);
            }
            return;
        }
        self.look_whether_blocked();
        if matches!(self.state, State::Closing { .. }) && !self.control.finish(&mut self.link) {
            self.part(turn);
        }
    }

    fn offer_stream(
        &mut self,
        viewer: ViewerId,
        chat: ChatHandle,
        frames: Bytes,
        now_ms: u64,
    ) -> Offer {
        if self.batches.is_full() {
            return Offer::Full;
        }
        let Some(stream) = self.link.streams().open(Dir::Uni) else {
            return self.wait_for(Need::Stream, now_ms);
        };
        self.blocked_since_ms.get_or_insert(now_ms);
        let web = self.web.as_ref();
        let head = web.map_or_else(Bytes::new, |web| web.stream_head());
        self.batches
            .send(&mut self.link, stream, (viewer, chat), head, frames);
        Offer::Streaming
    }

    fn wait_for(&mut self, need: Need, now_ms: u64) -> Offer {
        self.blocked_since_ms.get_or_insert(now_ms);
        self.waiting.get_or_insert(need);
        Offer::Full
    }

    /// What was waited for has come.
    fn end_waiting(&mut self, turn: &mut Turn<'_>) {
        self.waiting = None;
        self.look_whether_blocked();
        if self.is_present() {
            turn.events.push(Event::Writable {
                connection: turn.id,
            });
        }
    }

    /// Whether a datagram sent now would leave with the next packet.
    fn has_datagram_room(&mut self) -> bool {
        let room = QUIC_DATAGRAM_SEND_BYTES - DATAGRAM_OVERHEAD_BYTES;
        self.link.datagrams().send_buffer_space() >= room
    }

    /// Largest frame of a datagram towards this client; 0 when it takes none, or too small ones.
    fn datagram_bytes_max(&mut self) -> usize {
        let room = QUIC_DATAGRAM_SEND_BYTES - DATAGRAM_OVERHEAD_BYTES;
        match self.link.datagrams().max_size() {
            Some(len) if len >= DATAGRAM_BYTES_MIN => {
                len.min(room) - self.session().map_or(0, head_bytes)
            }
            _ => 0,
        }
    }

    fn is_idle(&self, now_ms: u64) -> bool {
        self.blocked_since_ms
            .is_some_and(|at| at + IDLE_VIEWER_MS <= now_ms)
    }

    fn look_whether_blocked(&mut self) {
        if self.batches.is_empty() && self.control.is_empty() && self.waiting.is_none() {
            self.blocked_since_ms = None;
        }
    }
}

/// The code of the protocol as QUIC carries it.
fn close_code(code: Code) -> VarInt {
    VarInt::from_u32(u32::from(code as u16))
}

/// A whole frame of `len` bytes that every client skips.
fn skipped_frame(len: usize) -> Bytes {
    let mut frame = Vec::with_capacity(len);
    let head = varint::len(len as u64);
    varint::put(&mut frame, len.saturating_sub(head) as u64);
    frame.put_u8(SKIPPED_KIND);
    frame.resize(len, 0);
    frame.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_wire::frame::decode_update;
    use skein_wire::splitter::split_first_shared;

    #[test]
    fn the_frame_that_says_nothing_is_skipped() {
        let mut bytes = skipped_frame(1_162);
        assert_eq!(bytes.len(), 1_162);
        let frame = split_first_shared(&mut bytes, 4_096).unwrap().unwrap();
        assert!(bytes.is_empty());
        assert_eq!(decode_update(frame).unwrap(), None);
    }

    #[test]
    fn a_second_datagram_never_fits_beside_a_first() {
        let smallest = 1 + DATAGRAM_OVERHEAD_BYTES;
        let second = DATAGRAM_BYTES_MIN + DATAGRAM_OVERHEAD_BYTES;
        assert!(smallest + second > QUIC_DATAGRAM_SEND_BYTES);
    }
}
