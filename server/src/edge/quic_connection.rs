//! One QUIC connection: its control stream out, its batches out, its end.
//!
//! A batch that fits a datagram goes as one if nothing waits to be sent; quinn's datagram buffer
//! is cut to exactly one, so that "nothing waits" and "it leaves with the next packet" are the
//! same. A larger one goes on a stream of its own, one at a time for each viewer, and is never
//! reset in favour of newer data; only a revocation resets it.

use std::collections::VecDeque;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{BufMut, Bytes};
use quinn::{Connection, SendStream, VarInt, WriteError};
use skein_engine::ids::ViewerId;
use skein_wire::error::Code;
use skein_wire::varint;

use crate::edge::deadlines::{Armed, NEVER_MS};
use crate::limits::{
    CLOSE_LINGER_MS, CONTROL_QUEUE_BYTES_MAX, CONTROL_QUEUE_FRAMES_MAX, FRAME_DEADLINE_MS,
    HELLO_DEADLINE_MS, IDLE_VIEWER_MS, QUIC_BATCH_STREAMS_MAX, QUIC_DATAGRAM_SEND_BYTES,
};

/// What quinn counts for each datagram beside its bytes.
const DATAGRAM_OVERHEAD_BYTES: usize = size_of::<quinn_proto::Datagram>();
/// Smallest path on which datagrams are used: with it a second one never fits beside a first,
/// however small that is, on which both [`QuicConnection::has_datagram_room`] and
/// [`QuicConnection::purge`] rely.
const DATAGRAM_BYTES_MIN: usize = QUIC_DATAGRAM_SEND_BYTES - 2 * DATAGRAM_OVERHEAD_BYTES;
/// A frame kind that every client skips.
const SKIPPED_KIND: u8 = 0xff;

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It leaves with the next packet, and may get lost.
    Datagram,
    /// It is a stream of this serial number, to be driven.
    Streaming(u32),
    /// Nothing was taken. Somebody must wait for this, unless somebody does.
    Full(Option<Need>),
    /// The connection is over.
    Gone,
}

/// What a connection must wait for before it takes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The datagram that waits must leave.
    Datagram,
    /// The client must allow another stream.
    Stream,
}

/// How a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Why.
    pub code: Code,
    /// What to do next.
    pub text: String,
}

#[derive(Debug)]
enum State {
    Greeting { until_ms: u64 },
    Open,
    Closing { until_ms: u64, farewell: Farewell },
}

/// A batch on its way.
#[derive(Debug)]
struct BatchStream {
    viewer: ViewerId,
    serial: u32,
    stream: SendStream,
    rest: Bytes,
}

/// One QUIC connection.
#[derive(Debug)]
pub struct QuicConnection {
    link: Connection,
    state: State,
    /// `Connected` was said and `Disconnected` was not.
    pub present: bool,
    /// Place in the wheel of deadlines.
    pub armed: Armed,
    /// A task writes the control stream.
    pub writing: bool,
    /// A task waits for room.
    pub waiting: bool,
    control: Option<SendStream>,
    queue: VecDeque<Bytes>,
    queue_bytes: usize,
    streams: Vec<BatchStream>,
    serial: u32,
    /// A stream the client has allowed while we waited for it.
    spare: Option<SendStream>,
    /// An offer found all streams in use.
    starved: bool,
    /// Since when nothing was taken, while something waits.
    blocked_since_ms: Option<u64>,
    /// Since when a frame on the control stream is not whole.
    partial_since_ms: Option<u64>,
}

impl QuicConnection {
    /// A connection whose handshake is done.
    pub fn new(link: Connection, now_ms: u64) -> Self {
        Self {
            link,
            state: State::Greeting {
                until_ms: now_ms + HELLO_DEADLINE_MS,
            },
            present: false,
            armed: Armed::default(),
            writing: false,
            waiting: false,
            control: None,
            queue: VecDeque::new(),
            queue_bytes: 0,
            streams: Vec::new(),
            serial: 0,
            spare: None,
            starved: false,
            blocked_since_ms: None,
            partial_since_ms: None,
        }
    }

    /// quinn's handle.
    pub fn link(&self) -> &Connection {
        &self.link
    }

    /// The client has opened its control stream; this is our half.
    pub fn set_control(&mut self, control: SendStream) {
        self.control = Some(control);
    }

    /// Its `Hello` was good.
    pub fn open(&mut self) {
        self.present = true;
        self.state = State::Open;
    }

    /// Whether what comes in is still handled.
    pub fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing { .. })
    }

    /// Tells whether the control stream stands within a frame.
    pub fn set_partial(&mut self, partial: bool, now_ms: u64) {
        match partial {
            true => drop(self.partial_since_ms.get_or_insert(now_ms)),
            false => self.partial_since_ms = None,
        }
    }

    /// When to look at it although nothing happens.
    pub fn due_ms(&self) -> u64 {
        match self.state {
            State::Greeting { until_ms } | State::Closing { until_ms, .. } => until_ms,
            State::Open => {
                let idle = self
                    .blocked_since_ms
                    .map_or(NEVER_MS, |at| at + IDLE_VIEWER_MS);
                let frame = self
                    .partial_since_ms
                    .map_or(NEVER_MS, |at| at + FRAME_DEADLINE_MS);
                idle.min(frame)
            }
        }
    }

    /// Its deadline has come: with which code to close it, or `None` to cut a closing one.
    pub fn overdue(&self, now_ms: u64) -> Option<Code> {
        match self.state {
            State::Closing { .. } => None,
            State::Open if self.is_idle(now_ms) => Some(Code::IdleViewer),
            State::Open | State::Greeting { .. } => Some(Code::Deadline),
        }
    }

    /// Offers the frames of a batch; all or nothing is taken.
    pub fn offer(&mut self, viewer: ViewerId, frames: Bytes, now_ms: u64) -> Offered {
        if !self.present {
            return Offered::Gone;
        }
        if self.streams.iter().any(|batch| batch.viewer == viewer) {
            return Offered::Full(None);
        }
        if frames.len() > self.datagram_bytes_max() {
            return self.offer_stream(viewer, frames, now_ms);
        }
        if !self.has_datagram_room() {
            return self.full(Need::Datagram, now_ms);
        }
        match self.link.send_datagram(frames) {
            Ok(()) => Offered::Datagram,
            Err(_) => Offered::Gone,
        }
    }

    /// Sends a small frame as a datagram if nothing waits; otherwise it is forgotten.
    pub fn offer_head(&mut self, frame: &Bytes) -> bool {
        self.present
            && frame.len() <= self.datagram_bytes_max()
            && self.has_datagram_room()
            && self.link.send_datagram(frame.clone()).is_ok()
    }

    /// Whether a datagram sent now would leave with the next packet.
    pub fn has_datagram_room(&self) -> bool {
        has_datagram_room(&self.link)
    }

    /// Forgets what is on its way to a viewer that may not see it any more: its stream is reset,
    /// and a waiting datagram, whosever it is, is pushed out of the buffer by one that says
    /// nothing (quinn drops the oldest). What was the datagram of another chat is repaired like
    /// any lost one.
    pub fn purge(&mut self, viewer: ViewerId) {
        if let Some(at) = self.streams.iter().position(|batch| batch.viewer == viewer) {
            let mut batch = self.streams.swap_remove(at);
            // An error means that all of it was acknowledged or the connection is over.
            let _ = batch.stream.reset(close_code(Code::MembershipRevoked));
        }
        let len = self.datagram_bytes_max();
        if len > 0 && !self.has_datagram_room() {
            let _ = self.link.send_datagram(skipped_frame(len));
        }
        self.look_whether_blocked();
    }

    /// Puts a frame in line for the control stream. False when too many wait.
    pub fn queue(&mut self, frame: Bytes, now_ms: u64) -> bool {
        if self.queue.len() >= CONTROL_QUEUE_FRAMES_MAX
            || self.queue_bytes + frame.len() > CONTROL_QUEUE_BYTES_MAX
        {
            return false;
        }
        self.queue_bytes += frame.len();
        self.queue.push_back(frame);
        self.blocked_since_ms.get_or_insert(now_ms);
        true
    }

    /// From here on only the goodbye goes out. False when there is no stream to say it on.
    pub fn begin_closing(&mut self, goodbye: Bytes, farewell: Farewell, now_ms: u64) -> bool {
        self.present = false;
        self.state = State::Closing {
            until_ms: now_ms + CLOSE_LINGER_MS,
            farewell,
        };
        self.queue.push_back(goodbye);
        self.control.is_some()
    }

    /// How it ends, once that is decided.
    pub fn farewell(&self) -> Option<&Farewell> {
        match &self.state {
            State::Closing { farewell, .. } => Some(farewell),
            _ => None,
        }
    }

    /// The control stream, when everything in line has been written.
    pub fn control_mut(&mut self) -> Option<&mut SendStream> {
        self.control.as_mut()
    }

    /// Writes the control stream. Ready when nothing is in line, or the stream is no more.
    pub fn poll_control(&mut self, cx: &mut Context<'_>, now_ms: u64) -> Poll<u64> {
        let Some(control) = &mut self.control else {
            return Poll::Ready(0);
        };
        let mut written = 0;
        while let Some(frame) = self.queue.front_mut() {
            match poll_write(control, frame, cx) {
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(_)) => {
                    self.queue.clear();
                    self.queue_bytes = 0;
                }
                Poll::Pending => {
                    if written > 0 {
                        self.blocked_since_ms = Some(now_ms);
                    }
                    return Poll::Pending;
                }
            }
            if let Some(done) = self.queue.pop_front_if(|frame| frame.is_empty()) {
                drop(done);
            }
        }
        self.queue_bytes = 0;
        self.queue.shrink_to_fit();
        self.look_whether_blocked();
        Poll::Ready(written as u64)
    }

    /// Writes a batch stream. Ready when all of it is handed over and the stream finished; then
    /// its end is to be awaited. `None` when there is no such stream any more.
    pub fn poll_stream(
        &mut self,
        serial: u32,
        cx: &mut Context<'_>,
        now_ms: u64,
    ) -> Poll<Option<&SendStream>> {
        let Some(at) = self.streams.iter().position(|batch| batch.serial == serial) else {
            return Poll::Ready(None);
        };
        let batch = &mut self.streams[at];
        while !batch.rest.is_empty() {
            match poll_write(&mut batch.stream, &mut batch.rest, cx) {
                Poll::Ready(Ok(_)) => self.blocked_since_ms = Some(now_ms),
                Poll::Ready(Err(_)) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        // An error means that the client has stopped the stream, which `stopped` tells too.
        let _ = batch.stream.finish();
        batch.rest = Bytes::new();
        Poll::Ready(Some(&self.streams[at].stream))
    }

    /// A batch stream has ended. The viewer it was for, unless it was purged, and whether
    /// somebody waits for a stream.
    pub fn end_stream(&mut self, serial: u32) -> Option<(ViewerId, bool)> {
        let at = self
            .streams
            .iter()
            .position(|batch| batch.serial == serial)?;
        let batch = self.streams.swap_remove(at);
        self.look_whether_blocked();
        Some((batch.viewer, std::mem::take(&mut self.starved)))
    }

    /// What was waited for has come.
    pub fn end_waiting(&mut self, spare: Option<SendStream>) {
        self.waiting = false;
        self.spare = spare.or(self.spare.take());
        self.look_whether_blocked();
    }

    fn offer_stream(&mut self, viewer: ViewerId, frames: Bytes, now_ms: u64) -> Offered {
        if self.streams.len() >= QUIC_BATCH_STREAMS_MAX {
            self.starved = true;
            return Offered::Full(None);
        }
        let stream = match self.spare.take() {
            Some(stream) => stream,
            None => match open_stream(&self.link) {
                Poll::Ready(Some(stream)) => stream,
                Poll::Ready(None) => return Offered::Gone,
                Poll::Pending => return self.full(Need::Stream, now_ms),
            },
        };
        self.serial = self.serial.wrapping_add(1);
        self.blocked_since_ms.get_or_insert(now_ms);
        self.streams.push(BatchStream {
            viewer,
            serial: self.serial,
            stream,
            rest: frames,
        });
        Offered::Streaming(self.serial)
    }

    fn full(&mut self, need: Need, now_ms: u64) -> Offered {
        self.blocked_since_ms.get_or_insert(now_ms);
        match std::mem::replace(&mut self.waiting, true) {
            true => Offered::Full(None),
            false => Offered::Full(Some(need)),
        }
    }

    /// Largest datagram towards this client; 0 when it takes none, or too small ones.
    fn datagram_bytes_max(&self) -> usize {
        datagram_bytes_max(&self.link)
    }

    fn is_idle(&self, now_ms: u64) -> bool {
        self.blocked_since_ms
            .is_some_and(|at| at + IDLE_VIEWER_MS <= now_ms)
    }

    fn look_whether_blocked(&mut self) {
        if self.streams.is_empty() && self.queue.is_empty() && !self.waiting {
            self.blocked_since_ms = None;
        }
    }
}

/// The code of the protocol as QUIC carries it.
pub fn close_code(code: Code) -> VarInt {
    VarInt::from_u32(u32::from(code as u16))
}

/// Whether nothing waits in quinn's datagram buffer.
pub fn has_datagram_room(link: &Connection) -> bool {
    link.datagram_send_buffer_space() >= QUIC_DATAGRAM_SEND_BYTES - DATAGRAM_OVERHEAD_BYTES
}

/// Largest datagram on this path; 0 when the client takes none, or too small ones.
pub fn datagram_bytes_max(link: &Connection) -> usize {
    let room = QUIC_DATAGRAM_SEND_BYTES - DATAGRAM_OVERHEAD_BYTES;
    match link.max_datagram_size() {
        Some(len) if len >= DATAGRAM_BYTES_MIN => len.min(room),
        _ => 0,
    }
}

/// A whole frame of `len` bytes that every client skips.
pub fn skipped_frame(len: usize) -> Bytes {
    let mut frame = Vec::with_capacity(len);
    let head = varint::len(len as u64);
    varint::put(&mut frame, len.saturating_sub(head) as u64);
    frame.put_u8(SKIPPED_KIND);
    frame.resize(len, 0);
    frame.into()
}

/// Opens a stream if the client allows another one now.
fn open_stream(link: &Connection) -> Poll<Option<SendStream>> {
    let mut cx = Context::from_waker(Waker::noop());
    let opening = pin!(link.open_uni());
    opening.poll(&mut cx).map(Result::ok)
}

/// Writes the front of `bytes` without a copy; what is left stays in it.
fn poll_write(
    stream: &mut SendStream,
    bytes: &mut Bytes,
    cx: &mut Context<'_>,
) -> Poll<Result<usize, WriteError>> {
    let mut chunks = [std::mem::take(bytes)];
    let written = pin!(stream.write_chunks(&mut chunks)).poll(cx);
    let [rest] = chunks;
    *bytes = rest;
    written.map_ok(|written| written.bytes)
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
