//! One viewer over QUIC: the client's own state machine over quinn's connection.

use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use skein_client::change::{Change, Event};
use skein_client::viewer_state::{ViewerState, WatchId, WatchOptions};
use skein_wire::frame::{decode_update, encode_request};
use skein_wire::ids::ChatName;
use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
use skein_wire::request::{Delivery, Request};
use skein_wire::splitter::{Splitter, split_first_shared};
use skein_wire::update::Update;
use skein_wire::varint;

use crate::clock::now_ns;
use crate::fault::Fault;
use crate::sink::Sink;
use crate::skein_websocket::{hello, refusal};
use crate::slot_table::SendersByUser;

/// Bytes of the control stream read at a time.
const READ_BYTES: usize = 4 * 1024;

/// Bytes of a stream with a batch, all pages together.
const STREAM_BYTES_MAX: usize = 64 << 20;

/// Longest wait when the state machine wants none.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// What has come: whole frames.
pub enum Frames {
    /// On the control stream.
    Control(usize),
    /// As a datagram, or on a stream of its own.
    Own(Bytes),
    /// Nothing: a time has come.
    Timeout,
}

/// One viewer.
pub struct QuicViewer {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    splitter: Splitter,
    buffer: Box<[u8; READ_BYTES]>,
    state: ViewerState,
    watch: WatchId,
    changes: Vec<Change>,
}

impl QuicViewer {
    /// Opens the control stream and says hello.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn begin(
        connection: Connection,
        token: &str,
        chat: ChatName,
        delivery: Delivery,
    ) -> Result<Self, Fault> {
        let (mut send, receive) = connection.open_bi().await.map_err(lost)?;
        let mut greeting = Vec::new();
        encode_request(&hello(token), &mut greeting);
        send.write_all(&greeting).await.map_err(lost)?;
        let mut state = ViewerState::new();
        let mut options = WatchOptions::new(chat);
        options.delivery = delivery;
        let watch = state.watch(options);
        Ok(Self {
            connection,
            send,
            receive,
            splitter: Splitter::new(SERVER_FRAME_BYTES_MAX),
            buffer: Box::new([0; READ_BYTES]),
            state,
            watch,
            changes: Vec::new(),
        })
    }

    /// Waits for what comes next. Safe to cancel.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn next(&mut self) -> Result<Frames, Fault> {
        let at_ms = self.state.poll_timeout().unwrap_or(u64::MAX);
        let wait = Duration::from_millis(at_ms.saturating_sub(now_ms())).min(WAIT_MAX);
        tokio::select! {
            datagram = self.connection.read_datagram() => Ok(Frames::Own(datagram.map_err(lost)?)),
            stream = self.connection.accept_uni() => {
                let mut stream = stream.map_err(lost)?;
                let bytes = stream.read_to_end(STREAM_BYTES_MAX).await.map_err(lost)?;
                Ok(Frames::Own(bytes.into()))
            }
            read = self.receive.read(&mut self.buffer[..]) => match read.map_err(lost)? {
                Some(count) => Ok(Frames::Control(count)),
                None => Err(Fault::Refused("the control stream has ended".to_owned())),
            },
            () = tokio::time::sleep(wait) => Ok(Frames::Timeout),
        }
    }

    /// Handles what has come: checks go to `sink`, requests to [`Self::answer`].
    ///
    /// # Errors
    /// What ends this viewer.
    pub fn handle(
        &mut self,
        frames: Frames,
        senders: &SendersByUser,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        match frames {
            Frames::Control(count) => {
                self.splitter.push(&self.buffer[..count]);
                while let Some(frame) = self.splitter.next_frame()? {
                    self.frame(frame, senders, sink)?;
                }
            }
            Frames::Own(mut bytes) => {
                while let Some(frame) = split_first_shared(&mut bytes, SERVER_FRAME_BYTES_MAX)? {
                    self.frame(frame, senders, sink)?;
                }
            }
            Frames::Timeout => {}
        }
        self.state.handle_timeout(now_ms());
        if self.state.is_server_silent(now_ms()) {
            return Err(Fault::Refused("the server is silent".to_owned()));
        }
        Ok(())
    }

    /// Sends what the state machine wants to say.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn answer(&mut self) -> Result<(), Fault> {
        let mut bytes = Vec::new();
        while let Some(request) = self.state.poll_request() {
            encode_request(&request, &mut bytes);
            if matches!(request, Request::Cursor(_)) && bytes.len() > READ_BYTES {
                break;
            }
        }
        match bytes.is_empty() {
            true => Ok(()),
            false => self.send.write_all(&bytes).await.map_err(lost),
        }
    }

    /// Whether the server has granted the watch.
    pub fn is_watching(&self) -> bool {
        let mut views = self.state.views(self.watch);
        views.any(|view| view.cursor().log != 0)
    }

    /// Leaves in good order.
    pub fn leave(self) {
        self.connection.close(VarInt::from_u32(0), b"");
    }

    fn frame(
        &mut self,
        frame: Bytes,
        senders: &SendersByUser,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        let Some(update) = decode_update(frame)? else {
            return Ok(());
        };
        let is_full = match &update {
            Update::Batch(body) => {
                sink.batch();
                is_full(body)
            }
            // A full batch that came before it is applied with it.
            Update::Watching(_) => true,
            Update::Refused(refused) => return Err(refusal(refused.code, &refused.text)),
            Update::Goodbye(goodbye) => return Err(refusal(goodbye.code, &goodbye.text)),
            _ => false,
        };
        self.state.handle(now_ms(), &update)?;
        while let Some(change) = self.state.poll_change() {
            self.changes.push(change);
        }
        let changes = std::mem::take(&mut self.changes);
        tell(&changes, is_full, senders, sink)?;
        self.changes = changes;
        self.changes.clear();
        Ok(())
    }
}

/// Tells the sink what changed.
fn tell(
    changes: &[Change],
    is_full: bool,
    senders: &SendersByUser,
    sink: &mut impl Sink,
) -> Result<(), Fault> {
    let mut fresh = None;
    for change in changes {
        if let Event::WatchEnded { code, text } = &change.event {
            return Err(refusal(*code, text));
        }
        let Some(subject) = &change.subject else {
            continue;
        };
        let Some(&sender) = senders.get(subject.user.as_str()) else {
            continue;
        };
        match &change.event {
            Event::Started { .. } if is_full => {
                flush_fresh(fresh.replace(sender), sink);
            }
            Event::Point { point, .. } if fresh == Some(sender) => {
                fresh = None;
                sink.first(sender, point.counter.0);
            }
            Event::Point { point, .. } => sink.deliver(sender, point.counter.0),
            Event::Skipped { count } => sink.skipped(sender, *count),
            _ => {}
        }
    }
    flush_fresh(fresh, sink);
    Ok(())
}

/// A session that was there before the viewer and has no point yet.
fn flush_fresh(sender: Option<u32>, sink: &mut impl Sink) {
    if let Some(sender) = sender {
        sink.first(sender, 0);
    }
}

/// Whether a batch replaces everything: its `from` is 0.
fn is_full(body: &Bytes) -> bool {
    /// Options bit of a batch that is cut into pages, and the bytes that it adds.
    const PAGED: u8 = 2;
    const PAGE_BYTES: usize = 12;
    let Some((&options, mut rest)) = body.split_first() else {
        return false;
    };
    if options & PAGED != 0 {
        rest = rest.get(PAGE_BYTES..).unwrap_or_default();
    }
    // Chat, cell, epoch; then `from`.
    let mut numbers = (0..4).map(|_| varint::get(&mut rest));
    numbers.nth(3).is_some_and(|from| from == Ok(0))
}

fn lost(error: impl std::fmt::Display) -> Fault {
    Fault::Lost(std::io::Error::other(error.to_string()))
}

fn now_ms() -> u64 {
    now_ns() / 1_000_000
}
