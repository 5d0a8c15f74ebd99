//! The HTTP/3 of one connection: as much of it as opens one WebTransport session and ends it.
//!
//! ```text
//! ours:    control stream: settings, and nothing ever after
//! theirs:  control stream: settings …   QPACK streams: nothing to say
//!          request: CONNECT … 200 … capsules, until either side ends it
//!          streams and datagrams of the session: the frames of the protocol
//! ```
//! Streams are sorted here by their first numbers; those of the session are handed on from the
//! byte after them, so that the rest of a connection does not know HTTP/3. A stream that comes
//! before its session is open waits unread: QUIC's windows bound what it holds.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use quinn_proto::crypto::rustls::HandshakeData;
use quinn_proto::{Connection, Dir, StreamId, VarInt};
use skein_wire::limits::WEBTRANSPORT_ALPN;
use skein_wire::varint;

use crate::edge::origins::Origins;
use crate::edge::quic_read::{Chunk, read};
use crate::edge::webtransport_fault::{
    BUFFERED_STREAM_REJECTED, CLOSED_CRITICAL_STREAM, DATAGRAM_ERROR, ENCODER_STREAM_ERROR,
    EXCESSIVE_LOAD, FRAME_UNEXPECTED, Fault, MISSING_SETTINGS, NO_ERROR, REQUEST_INCOMPLETE,
    REQUEST_REJECTED, STREAM_CREATION_ERROR, carried,
};
use crate::edge::webtransport_out::WebTransportOut;
use crate::edge::webtransport_prefix::{Look, Prefix, Purpose, SESSION_UNI};
use crate::edge::webtransport_request::{
    CLOSE_SESSION, DATA, HEADERS, NoSession, answer, goodbye, judge,
};
use crate::edge::webtransport_sections::{Section, Sections};
use crate::edge::webtransport_settings::{self as settings, ClientSettings, SETTINGS};
use crate::limits::{
    WEBTRANSPORT_BIDI_STREAMS_MAX, WEBTRANSPORT_BYTES_MAX, WEBTRANSPORT_FRAME_BYTES_MAX,
    WEBTRANSPORT_REASON_BYTES_MAX, WEBTRANSPORT_UNI_STREAMS_MAX,
};

/// The only thing that may be said to an empty table: that it stays empty.
const TABLE_OF_NOTHING: u8 = 0x20;

/// What has come to light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The session is open.
    Opened,
    /// It was refused; the answer is on its way.
    Refused(NoSession),
    /// A bidirectional stream of the session.
    Bidirectional(StreamId),
    /// A unidirectional stream of the session.
    Unidirectional(StreamId),
    /// The client has ended the session.
    Closed,
}

/// How far the session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No request yet, or no settings.
    Waiting(Option<Result<(), NoSession>>),
    Open,
    Over,
}

/// A stream that HTTP/3 has not handed on.
#[derive(Debug)]
struct Stream {
    id: StreamId,
    prefix: Prefix,
    purpose: Option<Purpose>,
    sections: Sections,
    readable: bool,
}

/// What became of a stream that was looked at.
enum Step {
    /// Nothing more now.
    Rest,
    /// It may have more.
    Again,
    /// It is not ours any more.
    Drop,
    /// It has brought something, and stays.
    Keep(Found),
    /// It has brought something, and is not ours any more.
    HandOn(Found),
}

/// The HTTP/3 of one connection.
#[derive(Debug)]
pub struct WebTransport {
    origins: Arc<Origins>,
    phase: Phase,
    settings: Option<ClientSettings>,
    /// The stream of the request, which names the session.
    request: Option<StreamId>,
    capsules: Sections,
    streams: Vec<Stream>,
    /// Bytes of HTTP/3 itself that the client may still send.
    bytes_left: usize,
    control: WebTransportOut,
    answer: WebTransportOut,
    /// What each of our streams of the session begins with.
    stream_head: Bytes,
}

impl WebTransport {
    /// Whether the client has chosen HTTP/3, in which there is WebTransport and nothing else here.
    pub fn is_chosen(link: &Connection) -> bool {
        let data = link.crypto_session().handshake_data();
        let data = data.and_then(|data| data.downcast::<HandshakeData>().ok());
        let chosen = data.and_then(|data| data.protocol);
        chosen.is_some_and(|protocol| protocol == WEBTRANSPORT_ALPN)
    }

    /// Allows the streams that HTTP/3 needs, and says our settings.
    ///
    /// # Errors
    /// When the client allows no stream to say them on.
    pub fn new(link: &mut Connection, origins: Arc<Origins>) -> Result<Self, Fault> {
        for (dir, count) in [
            (Dir::Bi, WEBTRANSPORT_BIDI_STREAMS_MAX),
            (Dir::Uni, WEBTRANSPORT_UNI_STREAMS_MAX),
        ] {
            link.set_max_concurrent_streams(dir, VarInt::from_u32(count));
        }
        let stream = link.streams().open(Dir::Uni).ok_or(Fault::new(
            STREAM_CREATION_ERROR,
            "HTTP/3 needs a stream for the settings of the server",
        ))?;
        let mut control = WebTransportOut::default();
        control.open(stream);
        control.put(link, &settings::opening(), false);
        Ok(Self {
            origins,
            phase: Phase::Waiting(None),
            settings: None,
            request: None,
            capsules: Sections::default(),
            streams: Vec::new(),
            bytes_left: WEBTRANSPORT_BYTES_MAX,
            control,
            answer: WebTransportOut::default(),
            stream_head: Bytes::new(),
        })
    }

    /// The session, once it has been open: what is still sent to one that has ended names it, too.
    pub fn session(&self) -> Option<StreamId> {
        self.request.filter(|_| !self.stream_head.is_empty())
    }

    /// Whether there was a request and nothing more comes of it.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// What each of our streams of the session begins with.
    pub fn stream_head(&self) -> Bytes {
        self.stream_head.clone()
    }

    /// Whether this is the stream of the session's request.
    pub fn is_request(&self, stream: StreamId) -> bool {
        self.request == Some(stream)
    }

    /// The client has opened a stream.
    pub fn accept(&mut self, id: StreamId) {
        self.streams.push(Stream {
            id,
            prefix: Prefix::default(),
            purpose: None,
            sections: Sections::default(),
            readable: true,
        });
    }

    /// Bytes have come on a stream. False when it is not one of HTTP/3's.
    pub fn set_readable(&mut self, id: StreamId) -> bool {
        let stream = self.streams.iter_mut().find(|stream| stream.id == id);
        stream.map(|stream| stream.readable = true).is_some()
    }

    /// The client takes more on a stream. False when it is not one of HTTP/3's.
    pub fn write(&mut self, link: &mut Connection, id: StreamId) -> bool {
        let outs = [&mut self.control, &mut self.answer];
        let out = outs.into_iter().find(|out| out.is(id));
        out.map(|out| out.write(link)).is_some()
    }

    /// The client does not want to hear more on one of our streams. False when it is not one of
    /// HTTP/3's.
    ///
    /// # Errors
    /// When it is the one that must not be stopped.
    pub fn handle_stopped(&self, id: StreamId) -> Result<bool, Fault> {
        match self.control.is(id) {
            true => Err(critical()),
            false => Ok(self.is_request(id)),
        }
    }

    /// Looks at what has come until something has come to light.
    ///
    /// # Errors
    /// Whatever ends the connection.
    pub fn advance(&mut self, link: &mut Connection) -> Result<Option<Found>, Fault> {
        let mut at = 0;
        while at < self.streams.len() {
            match self.step(link, at)? {
                Step::Rest => at += 1,
                Step::Again => {}
                Step::Drop => drop(self.streams.swap_remove(at)),
                Step::Keep(found) => return Ok(Some(found)),
                Step::HandOn(found) => {
                    self.streams.swap_remove(at);
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// Ends the session with a code and a sentence. False when there is none to end: who cannot
    /// be told needs no waiting for.
    pub fn close(&mut self, link: &mut Connection, code: u32, text: &str) -> bool {
        let was_open = self.phase == Phase::Open;
        self.phase = Phase::Over;
        if was_open {
            let end = text.floor_char_boundary(WEBTRANSPORT_REASON_BYTES_MAX);
            self.answer.put(link, &goodbye(code, &text[..end]), true);
        }
        was_open
    }

    fn step(&mut self, link: &mut Connection, at: usize) -> Result<Step, Fault> {
        let stream = &mut self.streams[at];
        let id = stream.id;
        let Some(purpose) = stream.purpose else {
            if !std::mem::take(&mut stream.readable) {
                return Ok(Step::Rest);
            }
            return match stream.prefix.read(link, id)? {
                Look::Is(purpose) => self.begin(at, purpose),
                Look::Wait => Ok(Step::Rest),
                Look::Gone => Ok(Step::Drop),
            };
        };
        match purpose {
            Purpose::Control => self.read_control(link, at),
            Purpose::Encoder | Purpose::Decoder => self.read_table(link, at, purpose),
            Purpose::Request => self.read_request(link, at),
            Purpose::Session(session) => Ok(self.hand_on(link, id, session)),
            Purpose::Unknown => {
                reject(link, id, STREAM_CREATION_ERROR);
                Ok(Step::Drop)
            }
        }
    }

    /// The purpose of a stream is known.
    fn begin(&mut self, at: usize, purpose: Purpose) -> Result<Step, Fault> {
        let is_single = matches!(
            purpose,
            Purpose::Control | Purpose::Encoder | Purpose::Decoder
        );
        let others = |stream: &Stream| stream.purpose == Some(purpose);
        if is_single && self.streams.iter().any(others) {
            return Err(Fault::new(
                STREAM_CREATION_ERROR,
                "a stream of which there may be one was opened twice",
            ));
        }
        let stream = &mut self.streams[at];
        stream.purpose = Some(purpose);
        // Its end may have come with its beginning.
        stream.readable = true;
        if purpose == Purpose::Request {
            stream.sections.push(stream.prefix.bytes());
        }
        Ok(Step::Again)
    }

    fn read_control(&mut self, link: &mut Connection, at: usize) -> Result<Step, Fault> {
        while let Some(frame) = self.streams[at].sections.next_whole()? {
            if self.settings.is_none() {
                if frame.kind != SETTINGS {
                    return Err(Fault::new(
                        MISSING_SETTINGS,
                        "the control stream begins with settings",
                    ));
                }
                self.settings = Some(settings::read(&frame.value)?);
                if let Some(found) = self.conclude(link) {
                    return Ok(Step::Keep(found));
                }
            } else if matches!(frame.kind, DATA | HEADERS | SETTINGS) || is_never(frame.kind) {
                return Err(unexpected());
            }
        }
        match self.take(link, at)? {
            Chunk::End | Chunk::Reset => Err(critical()),
            Chunk::None => Ok(Step::Rest),
            Chunk::Bytes(_) => Ok(Step::Again),
        }
    }

    fn read_table(
        &mut self,
        link: &mut Connection,
        at: usize,
        purpose: Purpose,
    ) -> Result<Step, Fault> {
        let step = match self.take(link, at)? {
            Chunk::End | Chunk::Reset => return Err(critical()),
            Chunk::None => Step::Rest,
            Chunk::Bytes(bytes) => {
                let fills = bytes.iter().any(|&byte| byte != TABLE_OF_NOTHING);
                if purpose == Purpose::Encoder && fills {
                    return Err(Fault::new(
                        ENCODER_STREAM_ERROR,
                        "the table of packed fields has no room here",
                    ));
                }
                Step::Again
            }
        };
        self.streams[at].sections = Sections::default();
        Ok(step)
    }

    fn read_request(&mut self, link: &mut Connection, at: usize) -> Result<Step, Fault> {
        let id = self.streams[at].id;
        if *self.request.get_or_insert(id) != id {
            reject(link, id, REQUEST_REJECTED);
            return Ok(Step::Drop);
        }
        // What comes behind the fields waits for the settings, as the session does.
        while !self.is_judged() {
            if let Some(frame) = self.streams[at].sections.next_whole()? {
                match self.handle_request_frame(link, &frame)? {
                    Some(found) => return Ok(Step::Keep(found)),
                    None => continue,
                }
            }
            match self.take(link, at)? {
                Chunk::Bytes(_) => {}
                Chunk::None => break,
                Chunk::End if matches!(self.phase, Phase::Waiting(_)) => {
                    return Err(Fault::new(
                        REQUEST_INCOMPLETE,
                        "the request ends before its fields are whole",
                    ));
                }
                Chunk::End | Chunk::Reset => return Ok(Step::HandOn(self.end())),
            }
        }
        Ok(Step::Rest)
    }

    fn handle_request_frame(
        &mut self,
        link: &mut Connection,
        frame: &Section,
    ) -> Result<Option<Found>, Fault> {
        match (frame.kind, self.phase) {
            (HEADERS, Phase::Waiting(None)) => {
                let verdict = judge(&frame.value, &self.origins)?;
                self.phase = Phase::Waiting(Some(verdict));
                Ok(self.conclude(link))
            }
            (DATA, Phase::Open) => {
                self.capsules.push(&frame.value);
                self.read_capsules()
            }
            // Nobody listens to what is said behind the end, which may have crossed it.
            (DATA, Phase::Over) => Ok(None),
            (DATA | HEADERS | SETTINGS, _) => Err(unexpected()),
            (kind, _) if is_never(kind) || is_control(kind) => Err(unexpected()),
            // Whatever it is, it is allowed to be there.
            _ => Ok(None),
        }
    }

    fn read_capsules(&mut self) -> Result<Option<Found>, Fault> {
        while let Some(capsule) = self.capsules.next_whole()? {
            if capsule.kind != CLOSE_SESSION {
                continue;
            }
            let reason = capsule.value.len().checked_sub(size_of::<u32>());
            if reason.is_none_or(|len| len > WEBTRANSPORT_REASON_BYTES_MAX) {
                return Err(Fault::new(
                    DATAGRAM_ERROR,
                    "the goodbye of a session is too short or too long",
                ));
            }
            return Ok(Some(self.end()));
        }
        Ok(None)
    }

    /// Request and settings are both there: the session opens, or does not.
    fn conclude(&mut self, link: &mut Connection) -> Option<Found> {
        let (Phase::Waiting(Some(verdict)), Some(settings), Some(request)) =
            (self.phase, self.settings, self.request)
        else {
            return None;
        };
        let verdict = verdict.and(settings.datagrams.then_some(()).ok_or(NoSession {
            status: StatusCode::BAD_REQUEST,
            text: "the client takes no datagrams of HTTP/3",
        }));
        self.answer.open(request);
        match verdict {
            Ok(()) => {
                self.phase = Phase::Open;
                self.stream_head = head_of_streams(request);
                self.answer.put(link, &answer(StatusCode::OK), false);
                Some(Found::Opened)
            }
            Err(no) => {
                self.phase = Phase::Over;
                self.answer.put(link, &answer(no.status), true);
                Some(Found::Refused(no))
            }
        }
    }

    /// Whether it is known what the request will be answered, and it was not answered yet.
    fn is_judged(&self) -> bool {
        matches!(self.phase, Phase::Waiting(Some(_)))
    }

    fn end(&mut self) -> Found {
        self.phase = Phase::Over;
        Found::Closed
    }

    /// A stream of a session goes to the session, or waits for it.
    fn hand_on(&self, link: &mut Connection, id: StreamId, session: StreamId) -> Step {
        match self.phase {
            Phase::Waiting(_) => Step::Rest,
            Phase::Open if self.is_request(session) => Step::HandOn(match id.dir() {
                Dir::Bi => Found::Bidirectional(id),
                Dir::Uni => Found::Unidirectional(id),
            }),
            Phase::Open | Phase::Over => {
                reject(link, id, BUFFERED_STREAM_REJECTED);
                Step::Drop
            }
        }
    }

    /// Takes the next bytes of a stream of HTTP/3 itself, which may not be many.
    fn take(&mut self, link: &mut Connection, at: usize) -> Result<Chunk, Fault> {
        let stream = &mut self.streams[at];
        if !stream.readable {
            return Ok(Chunk::None);
        }
        let chunk = read(link, stream.id, WEBTRANSPORT_FRAME_BYTES_MAX);
        match &chunk {
            Chunk::Bytes(bytes) => {
                let left = self.bytes_left.checked_sub(bytes.len());
                self.bytes_left = left.ok_or(Fault::new(
                    EXCESSIVE_LOAD,
                    "more is said in HTTP/3 than a session needs",
                ))?;
                stream.sections.push(bytes);
            }
            Chunk::None => stream.readable = false,
            Chunk::End | Chunk::Reset => {}
        }
        Ok(chunk)
    }
}

/// Wants nothing of a stream, and says nothing on it.
pub fn reject(link: &mut Connection, id: StreamId, code: u64) {
    // An error means that the client has ended it.
    let _ = link.recv_stream(id).stop(carried(code));
    if id.dir() == Dir::Bi {
        let _ = link.send_stream(id).reset(carried(code));
    }
}

/// Frames that HTTP/2 had and HTTP/3 forbids.
fn is_never(kind: u64) -> bool {
    matches!(kind, 0x02 | 0x06 | 0x08 | 0x09)
}

/// Frames that only a control stream carries, and a promise, which no client may make.
fn is_control(kind: u64) -> bool {
    matches!(kind, 0x03 | 0x05 | 0x07 | 0x0d)
}

fn unexpected() -> Fault {
    Fault::new(FRAME_UNEXPECTED, "this frame is not allowed on this stream")
}

fn critical() -> Fault {
    Fault::new(
        CLOSED_CRITICAL_STREAM,
        "a stream was ended that lives as long as the connection",
    )
}

fn head_of_streams(session: StreamId) -> Bytes {
    let mut head = Vec::new();
    varint::put(&mut head, SESSION_UNI);
    varint::put(&mut head, u64::from(session));
    head.into()
}

/// The code that ends a connection in good order, or because it asks too much.
pub fn end_code(is_too_much: bool) -> u64 {
    if is_too_much {
        EXCESSIVE_LOAD
    } else {
        NO_ERROR
    }
}
