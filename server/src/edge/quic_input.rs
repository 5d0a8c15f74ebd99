//! What a client sends: its half of the control stream, streams of a few points, datagrams.
//!
//! Bytes are only taken while the pass has room for what they bring; the rest stays with QUIC,
//! whose windows make the client wait.

use quinn_proto::{Connection, StreamId};
use skein_wire::error::{Code, WireError};
use skein_wire::limits::CLIENT_FRAME_BYTES_MAX;
use skein_wire::splitter::{Splitter, split_first};

use crate::edge::quic_read::{Chunk, read};
use crate::edge::webtransport_datagrams::frame_of;
use crate::edge::webtransport_fault::Fault;

/// Bytes of a stream that carries frames of its own: one largest frame and its length.
const SIDE_STREAM_BYTES_MAX: usize = CLIENT_FRAME_BYTES_MAX + 8;

/// On what a frame came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The control stream: ordered, any frame.
    Control,
    /// A stream of its own or a datagram: points and heartbeats only.
    Side,
}

/// Where frames go.
pub trait FrameSink {
    /// Whether the pass has had its share.
    fn is_full(&self) -> bool;
    /// That many bytes have come.
    fn count(&mut self, bytes: usize);
    /// One frame.
    ///
    /// # Errors
    /// Whatever is wrong with it: the connection is to be closed.
    fn take(&mut self, frame: &[u8], lane: Lane) -> Result<(), WireError>;

    /// A stream was given up by the client.
    ///
    /// # Errors
    /// When it has done so too often.
    fn give_up(&mut self) -> Result<(), WireError>;
}

/// Why reading ends.
#[derive(Debug)]
pub enum End {
    /// The client is told.
    Fault(WireError),
    /// A datagram is none of HTTP/3.
    NoDatagram(Fault),
    /// The client has said all it had to say.
    Left,
}

impl From<WireError> for End {
    fn from(error: WireError) -> Self {
        Self::Fault(error)
    }
}

/// What is in a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Datagrams {
    /// A frame.
    Bare,
    /// Nothing that can be read before a session is open.
    Held,
    /// The number of a session, then a frame.
    Of(StreamId),
}

/// A stream that carries frames of its own.
#[derive(Debug)]
struct SideStream {
    stream: StreamId,
    bytes: Vec<u8>,
    readable: bool,
}

/// What a client sends.
#[derive(Debug)]
pub struct QuicInput {
    control: Option<StreamId>,
    control_readable: bool,
    datagrams: Datagrams,
    datagrams_readable: bool,
    splitter: Splitter,
    side: Vec<SideStream>,
}

impl QuicInput {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            control: None,
            control_readable: false,
            datagrams: Datagrams::Bare,
            datagrams_readable: false,
            splitter: Splitter::new(CLIENT_FRAME_BYTES_MAX),
            side: Vec::new(),
        }
    }

    /// Datagrams are those of a session, and wait until it is open.
    pub fn hold_datagrams(&mut self) {
        self.datagrams = Datagrams::Held;
    }

    /// The session is open.
    pub fn open_session(&mut self, session: StreamId) {
        self.datagrams = Datagrams::Of(session);
    }

    /// The client has opened the control stream.
    pub fn open_control(&mut self, stream: StreamId) {
        self.control = Some(stream);
        self.control_readable = true;
    }

    /// The client has opened another stream.
    pub fn open_side(&mut self, stream: StreamId) {
        self.side.push(SideStream {
            stream,
            bytes: Vec::new(),
            readable: true,
        });
    }

    /// Bytes have come on a stream.
    pub fn set_readable(&mut self, stream: StreamId) {
        if self.control == Some(stream) {
            self.control_readable = true;
        }
        for side in &mut self.side {
            side.readable |= side.stream == stream;
        }
    }

    /// A datagram has come.
    pub fn set_datagrams_readable(&mut self) {
        self.datagrams_readable = true;
    }

    /// Whether something has come that was not taken.
    pub fn is_left(&self) -> bool {
        self.control_readable || self.has_datagrams() || self.side.iter().any(|side| side.readable)
    }

    fn has_datagrams(&self) -> bool {
        self.datagrams_readable && self.datagrams != Datagrams::Held
    }

    /// Whether the control stream stands within a frame.
    pub fn is_partial(&self) -> bool {
        !self.splitter.is_empty()
    }

    /// Takes nothing more, and gives back what is held.
    pub fn discard(&mut self) {
        *self = Self::new();
    }

    /// Takes what has come until the sink is full.
    ///
    /// # Errors
    /// When there is nothing more to read, or something is wrong with it.
    pub fn read(&mut self, link: &mut Connection, sink: &mut impl FrameSink) -> Result<(), End> {
        self.read_datagrams(link, sink)?;
        self.read_side(link, sink)?;
        self.read_control(link, sink)
    }

    fn read_control(
        &mut self,
        link: &mut Connection,
        sink: &mut impl FrameSink,
    ) -> Result<(), End> {
        let Some(stream) = self.control else {
            return Ok(());
        };
        while self.control_readable && !sink.is_full() {
            match read(link, stream, CLIENT_FRAME_BYTES_MAX) {
                Chunk::Bytes(bytes) => {
                    sink.count(bytes.len());
                    self.splitter.push(&bytes);
                    while let Some(frame) = self.splitter.next_frame()? {
                        sink.take(&frame, Lane::Control)?;
                    }
                }
                Chunk::None => self.control_readable = false,
                Chunk::End if self.splitter.is_empty() => return Err(End::Left),
                Chunk::End => {
                    let error = WireError::new(Code::Malformed, "the stream ends within a frame");
                    return Err(error.into());
                }
                Chunk::Reset => return Err(End::Left),
            }
        }
        Ok(())
    }

    fn read_side(&mut self, link: &mut Connection, sink: &mut impl FrameSink) -> Result<(), End> {
        let mut at = 0;
        while let Some(side) = self.side.get_mut(at) {
            if !side.readable || sink.is_full() {
                at += 1;
                continue;
            }
            match read(link, side.stream, CLIENT_FRAME_BYTES_MAX) {
                Chunk::Bytes(bytes) => {
                    if side.bytes.len() + bytes.len() > SIDE_STREAM_BYTES_MAX {
                        return Err(WireError::of(Code::TooLarge).into());
                    }
                    side.bytes.extend_from_slice(&bytes);
                }
                Chunk::None => side.readable = false,
                Chunk::End => {
                    let side = self.side.swap_remove(at);
                    take_side(&side.bytes, sink)?;
                }
                // A sender may give up a point.
                Chunk::Reset => {
                    self.side.swap_remove(at);
                    sink.give_up()?;
                }
            }
        }
        if self.side.is_empty() {
            self.side = Vec::new();
        }
        Ok(())
    }

    fn read_datagrams(
        &mut self,
        link: &mut Connection,
        sink: &mut impl FrameSink,
    ) -> Result<(), End> {
        while self.has_datagrams() && !sink.is_full() {
            let Some(datagram) = link.datagrams().recv() else {
                self.datagrams_readable = false;
                return Ok(());
            };
            match self.datagrams {
                Datagrams::Of(session) => {
                    // Another session's was sent to nobody.
                    if let Some(frame) = frame_of(session, &datagram).map_err(End::NoDatagram)? {
                        take_datagram(frame, sink)?;
                    }
                }
                Datagrams::Bare | Datagrams::Held => take_datagram(&datagram, sink)?,
            }
        }
        Ok(())
    }
}

impl Default for QuicInput {
    fn default() -> Self {
        Self::new()
    }
}

fn take_side(bytes: &[u8], sink: &mut impl FrameSink) -> Result<(), WireError> {
    sink.count(bytes.len());
    let mut rest = bytes;
    while let Some(frame) = split_first(&mut rest, CLIENT_FRAME_BYTES_MAX)? {
        sink.take(frame, Lane::Side)?;
    }
    Ok(())
}

fn take_datagram(bytes: &[u8], sink: &mut impl FrameSink) -> Result<(), WireError> {
    sink.count(bytes.len());
    let mut rest = bytes;
    match split_first(&mut rest, CLIENT_FRAME_BYTES_MAX)? {
        Some(frame) if rest.is_empty() => sink.take(frame, Lane::Side),
        _ => Err(WireError::new(
            Code::Malformed,
            "a datagram holds exactly one whole frame",
        )),
    }
}
