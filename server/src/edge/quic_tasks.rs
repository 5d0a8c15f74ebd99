//! The tasks of a QUIC connection: one reads, and while there is reason one writes the control
//! stream, one each drives an open batch stream, one waits for room. A quiet connection has the
//! reading one only.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, ConnectionError, ReadError, ReadToEndError, RecvStream};
use skein_engine::ids::ConnectionId;
use skein_wire::error::{Code, WireError};
use skein_wire::limits::CLIENT_FRAME_BYTES_MAX;
use skein_wire::splitter::{Splitter, split_first};
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::edge::event::Event;
use crate::edge::greeting;
use crate::edge::quic_connection::{
    Farewell, Need, close_code, datagram_bytes_max, has_datagram_room, skipped_frame,
};
use crate::edge::quic_shared::{Lane, QuicShared};
use crate::limits::CLOSE_LINGER_MS;

/// Bytes of a stream that carries frames of its own: one largest frame and its length.
const SIDE_STREAM_BYTES_MAX: usize = CLIENT_FRAME_BYTES_MAX + 8;

/// Why reading ends.
enum End {
    /// The client is told.
    Fault(WireError),
    /// The client has said all it had to say.
    Left,
    /// The connection is over.
    Lost,
}

impl From<WireError> for End {
    fn from(error: WireError) -> Self {
        Self::Fault(error)
    }
}

impl From<ConnectionError> for End {
    fn from(_: ConnectionError) -> Self {
        Self::Lost
    }
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(_) => Self::Left,
            _ => Self::Lost,
        }
    }
}

/// Lives as long as the connection.
pub async fn run(shared: Rc<QuicShared>, id: ConnectionId, link: Connection) {
    match read(&shared, id, &link).await {
        End::Fault(error) => close(&shared, id, error.code, 0, &error.text),
        End::Left => close(&shared, id, Code::Ok, 0, Code::Ok.text()),
        End::Lost => {}
    }
    link.closed().await;
    shared.remove(id);
}

/// Sends a frame on the control stream, behind what waits. A client that lets too much pile up
/// is cut.
pub fn send(shared: &Rc<QuicShared>, id: ConnectionId, frame: Bytes) {
    let now_ms = shared.clock.now_ms();
    let room = shared.with(id, |connection, stats| {
        if !connection.present {
            return true;
        }
        stats.frames_out += 1;
        connection.queue(frame, now_ms)
    });
    match room {
        Some(true) => write_control(shared, id),
        Some(false) => cut(shared, id, Code::LimitReached),
        None => {}
    }
}

/// Says goodbye; the connection goes when the client has heard it, or a little later.
pub fn close(
    shared: &Rc<QuicShared>,
    id: ConnectionId,
    code: Code,
    retry_after_ms: u32,
    text: &str,
) {
    let goodbye = greeting::goodbye(code, retry_after_ms, text);
    let farewell = Farewell {
        code,
        text: text.to_owned(),
    };
    let now_ms = shared.clock.now_ms();
    let began = shared.with(id, |connection, stats| {
        if connection.is_closing() {
            return None;
        }
        stats.count_close(code);
        let present = connection.present;
        let can_say = connection.begin_closing(goodbye.into(), farewell, now_ms);
        if !can_say {
            connection.link().close(close_code(code), text.as_bytes());
        }
        Some((present, can_say))
    });
    let Some(Some((present, can_say))) = began else {
        return;
    };
    if present {
        shared.inbox.put(Event::Disconnected { connection: id });
    }
    if can_say {
        write_control(shared, id);
    }
}

/// Ends the connection without waiting for anything.
pub fn cut(shared: &QuicShared, id: ConnectionId, code: Code) {
    shared.with(id, |connection, stats| {
        stats.cut += 1;
        connection
            .link()
            .close(close_code(code), code.text().as_bytes());
    });
}

/// Drives a batch stream to its acknowledged end.
pub fn drive_stream(shared: &Rc<QuicShared>, id: ConnectionId, serial: u32) {
    let shared = Rc::clone(shared);
    spawn_local(async move {
        let handed_over = poll_fn(|cx| poll_stream(&shared, id, serial, cx)).await;
        let Some(stopped) = handed_over else {
            return;
        };
        if stopped.await.is_err() {
            return;
        }
        let ended = shared
            .with(id, |connection, _| connection.end_stream(serial))
            .flatten();
        if let Some((viewer, starved)) = ended {
            shared.inbox.put(Event::StreamDone {
                connection: id,
                viewer,
            });
            if starved {
                shared.inbox.put(Event::Writable { connection: id });
            }
        }
    });
}

/// Waits for what an offer lacked, then says [`Event::Writable`].
pub fn wait_for(shared: &Rc<QuicShared>, id: ConnectionId, need: Need) {
    let Some(link) = shared.with(id, |connection, _| connection.link().clone()) else {
        return;
    };
    let shared = Rc::clone(shared);
    spawn_local(async move {
        let spare = match need {
            Need::Datagram => datagram_room(&link).await.then_some(None),
            Need::Stream => link.open_uni().await.ok().map(Some),
        };
        let Some(spare) = spare else {
            return;
        };
        let present = shared.with(id, |connection, _| {
            connection.end_waiting(spare);
            connection.present
        });
        if present == Some(true) {
            shared.inbox.put(Event::Writable { connection: id });
        }
    });
}

async fn read(shared: &Rc<QuicShared>, id: ConnectionId, link: &Connection) -> End {
    match read_all(shared, id, link).await {
        Ok(()) => End::Left,
        Err(end) => end,
    }
}

async fn read_all(shared: &Rc<QuicShared>, id: ConnectionId, link: &Connection) -> Result<(), End> {
    let (send_half, mut control) = link.accept_bi().await?;
    shared.with(id, |connection, _| connection.set_control(send_half));
    let mut splitter = Splitter::new(CLIENT_FRAME_BYTES_MAX);
    loop {
        tokio::select! {
            chunk = control.read_chunk(CLIENT_FRAME_BYTES_MAX, true) => {
                let Some(chunk) = chunk? else {
                    return end_of(&splitter);
                };
                take_control(shared, id, &mut splitter, &chunk.bytes)?;
            }
            stream = link.accept_uni() => {
                let task = read_side(Rc::clone(shared), id, stream?);
                spawn_local(task);
            }
            datagram = link.read_datagram() => take_side(shared, id, &datagram?)?,
        }
        // The pass is behind: what this client sends next stays with it.
        shared.inbox.room().await;
    }
}

fn end_of(splitter: &Splitter) -> Result<(), End> {
    match splitter.is_empty() {
        true => Ok(()),
        false => Err(WireError::new(Code::Malformed, "the stream ends within a frame").into()),
    }
}

fn take_control(
    shared: &Rc<QuicShared>,
    id: ConnectionId,
    splitter: &mut Splitter,
    bytes: &[u8],
) -> Result<(), WireError> {
    shared.count(|stats| stats.bytes_in += bytes.len() as u64);
    splitter.push(bytes);
    while let Some(frame) = splitter.next_frame()? {
        if let Some(answer) = shared.take_frame(id, &frame, Lane::Control)? {
            send(shared, id, answer);
        }
    }
    let now_ms = shared.clock.now_ms();
    shared.with(id, |connection, _| {
        connection.set_partial(!splitter.is_empty(), now_ms)
    });
    Ok(())
}

/// Reads a stream that carries frames of its own.
async fn read_side(shared: Rc<QuicShared>, id: ConnectionId, mut stream: RecvStream) {
    let fault = match stream.read_to_end(SIDE_STREAM_BYTES_MAX).await {
        Ok(bytes) => take_side(&shared, id, &bytes),
        Err(ReadToEndError::TooLong) => Err(WireError::of(Code::TooLarge)),
        // A sender may give up a point; a lost connection is told elsewhere.
        Err(ReadToEndError::Read(_)) => Ok(()),
    };
    if let Err(error) = fault {
        close(&shared, id, error.code, 0, &error.text);
    }
}

fn take_side(shared: &QuicShared, id: ConnectionId, bytes: &[u8]) -> Result<(), WireError> {
    shared.count(|stats| stats.bytes_in += bytes.len() as u64);
    let mut rest = bytes;
    while let Some(frame) = split_first(&mut rest, CLIENT_FRAME_BYTES_MAX)? {
        shared.take_frame(id, frame, Lane::Side)?;
    }
    Ok(())
}

/// Writes the control stream now; if it takes not all, a task does the rest.
fn write_control(shared: &Rc<QuicShared>, id: ConnectionId) {
    let mut cx = Context::from_waker(Waker::noop());
    let now_ms = shared.clock.now_ms();
    let left = shared.with(id, |connection, stats| {
        if connection.writing {
            return false;
        }
        let written = connection.poll_control(&mut cx, now_ms);
        if let Poll::Ready(count) = written {
            stats.bytes_out += count;
        }
        let left = written.is_pending() || connection.is_closing();
        connection.writing = left;
        left
    });
    if left == Some(true) {
        let shared = Rc::clone(shared);
        spawn_local(async move { write_rest(&shared, id).await });
    }
}

async fn write_rest(shared: &QuicShared, id: ConnectionId) {
    poll_fn(|cx| poll_control(shared, id, cx)).await;
    let farewell = shared.with(id, |connection, _| {
        connection.writing = false;
        let farewell = connection.farewell().cloned()?;
        let stopped = connection.control_mut().map(|control| {
            let _ = control.finish();
            control.stopped()
        });
        Some((farewell, stopped, connection.link().clone()))
    });
    if let Some(Some((farewell, stopped, link))) = farewell {
        if let Some(stopped) = stopped {
            // Acknowledged, lost or too slow: in any case it is time to go.
            let _ = timeout(Duration::from_millis(CLOSE_LINGER_MS), stopped).await;
        }
        link.close(close_code(farewell.code), farewell.text.as_bytes());
    }
}

fn poll_control(shared: &QuicShared, id: ConnectionId, cx: &mut Context<'_>) -> Poll<()> {
    let now_ms = shared.clock.now_ms();
    let polled = shared.with(id, |connection, stats| {
        connection
            .poll_control(cx, now_ms)
            .map(|count| stats.bytes_out += count)
    });
    polled.unwrap_or(Poll::Ready(()))
}

/// Ready with what tells the stream's end; with nothing when it was purged or is lost.
fn poll_stream(
    shared: &QuicShared,
    id: ConnectionId,
    serial: u32,
    cx: &mut Context<'_>,
) -> Poll<Option<impl Future<Output = Result<Option<quinn::VarInt>, quinn::StoppedError>> + use<>>>
{
    let now_ms = shared.clock.now_ms();
    let polled = shared.with(id, |connection, _| {
        connection
            .poll_stream(serial, cx, now_ms)
            .map(|stream| stream.map(|s| s.stopped()))
    });
    polled.unwrap_or(Poll::Ready(None))
}

/// Waits until nothing waits in the datagram buffer; false when the connection is over.
///
/// quinn tells only those that wait to send a datagram when one has left. So we begin to send
/// one, see it blocked, because the buffer holds one at most, and are woken in its place; then it
/// is dropped unsent. No timer, and no work while nothing is acknowledged.
async fn datagram_room(link: &Connection) -> bool {
    loop {
        if has_datagram_room(link) {
            return true;
        }
        let len = datagram_bytes_max(link);
        if len == 0 {
            // The path has become too small for datagrams: streams are offered from here on.
            return link.close_reason().is_none();
        }
        let mut blocked = pin!(link.send_datagram_wait(skipped_frame(len)));
        let mut is_waiting = false;
        let lost = poll_fn(|cx| {
            if std::mem::replace(&mut is_waiting, true) {
                return Poll::Ready(false);
            }
            blocked.as_mut().poll(cx).map(|sent| sent.is_err())
        })
        .await;
        if lost {
            return false;
        }
    }
}
