//! Skein's viewers over WebSocket.

use bytes::Bytes;
use skein_wire::error::Code;
use skein_wire::frame::{decode_update, encode_request};
use skein_wire::ids::{ChatName, RequestNumber};
use skein_wire::kind::Kind;
use skein_wire::limits::{SERVER_FRAME_BYTES_MAX, VERSION, WEBSOCKET_SUBPROTOCOL};
use skein_wire::request::{Delivery, Hello, Request, Token, Watch};
use skein_wire::splitter::split_first;
use skein_wire::update::Update;

use crate::batch_cache::BatchCache;
use crate::fault::Fault;
use crate::protocol::{Protocol, Seat};
use crate::sink::Sink;
use crate::slot_table::{SendersByUser, SlotTable};
use crate::websocket_frame::{Message, cut, put_binary, put_pong, upgrade, upgraded};

/// How a load generator calls itself.
pub const CLIENT: &str = concat!("skein-load/", env!("CARGO_PKG_VERSION"));

/// The path of the WebSocket.
pub const PATH: &str = "/v1/ws";

/// The first request of a viewer.
const WATCH: RequestNumber = RequestNumber(1);

/// All viewers of a process.
pub struct SkeinWebsocket {
    host: String,
    delivery: Delivery,
    chats: Vec<Chat>,
    batches: BatchCache,
    pings: u64,
}

/// A chat, and which of its members are which senders.
#[derive(Clone, Debug)]
pub struct Chat {
    /// Its name.
    pub name: ChatName,
    /// Which sender a user is.
    pub senders: SendersByUser,
}

/// One viewer.
#[derive(Debug)]
pub struct SkeinViewer {
    chat: usize,
    /// What is said once the connection is a WebSocket; empty afterwards.
    greeting: Vec<u8>,
    table: SlotTable,
}

impl SkeinWebsocket {
    /// For a server at `host`.
    pub fn new(host: String, delivery: Delivery, chats: Vec<Chat>) -> Self {
        Self {
            host,
            delivery,
            chats,
            batches: BatchCache::default(),
            pings: 0,
        }
    }

    fn frames(
        &mut self,
        viewer: &mut SkeinViewer,
        mut frames: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        while let Some(frame) = split_first(&mut frames, SERVER_FRAME_BYTES_MAX)? {
            if let Some((&kind, body)) = frame.split_first()
                && kind == Kind::Batch as u8
            {
                let batch = self.batches.parse(body)?;
                let senders = &self.chats[viewer.chat].senders;
                if let Some(report) = viewer.table.take(batch, senders, sink) {
                    sink.strange("a gap between two batches");
                    sink.answer(&message(&[Request::Cursor(report)]));
                }
                continue;
            }
            if let Some(update) = decode_update(Bytes::copy_from_slice(frame))? {
                viewer.update(update)?;
            }
        }
        Ok(())
    }
}

impl SkeinViewer {
    fn update(&mut self, update: Update) -> Result<(), Fault> {
        match update {
            Update::Watching(watching) => {
                self.table
                    .bind(watching.chat, watching.epoch, watching.from);
                Ok(())
            }
            Update::Refused(refused) => Err(refusal(refused.code, &refused.text)),
            Update::Goodbye(goodbye) => Err(refusal(goodbye.code, &goodbye.text)),
            Update::WatchEnded(ended) => Err(refusal(ended.code, ended.code.text())),
            _ => Ok(()),
        }
    }
}

impl Protocol for SkeinWebsocket {
    type Viewer = SkeinViewer;

    fn greet(&mut self, seat: &Seat) -> (SkeinViewer, Vec<u8>) {
        let chat = seat.chat as usize;
        let watch = Request::Watch(Watch {
            request: WATCH,
            chat: self.chats[chat].name.clone(),
            session: None,
            view: None,
            cursor: None,
            delivery: self.delivery,
            trail: 0,
            interval_ms: 0,
        });
        let viewer = SkeinViewer {
            chat,
            greeting: message(&[hello(&seat.token), watch]),
            table: SlotTable::default(),
        };
        (viewer, upgrade(&self.host, PATH, WEBSOCKET_SUBPROTOCOL))
    }

    fn take(
        &mut self,
        viewer: &mut SkeinViewer,
        input: &[u8],
        sink: &mut impl Sink,
    ) -> Result<usize, Fault> {
        let mut used = 0;
        if !viewer.greeting.is_empty() {
            let Some(answer) = upgraded(input)? else {
                return Ok(0);
            };
            used = answer;
            sink.answer(&std::mem::take(&mut viewer.greeting));
        }
        while let Some((found, bytes)) = cut(&input[used..])? {
            match found {
                Message::Data(frames) => self.frames(viewer, frames, sink)?,
                Message::Ping(payload) => {
                    let mut pong = Vec::new();
                    put_pong(&mut pong, payload);
                    sink.answer(&pong);
                }
                Message::Pong => {}
                Message::Close(status, reason) => {
                    let reason = String::from_utf8_lossy(reason);
                    return Err(Fault::Refused(format!("closed with {status} {reason}")));
                }
            }
            used += bytes;
        }
        Ok(used)
    }

    fn is_watching(&self, viewer: &SkeinViewer) -> bool {
        viewer.table.is_bound()
    }

    /// Only a `Ping`: a cursor would cross batches on their way, the server would send those again,
    /// as it may, and a batch that came twice by a fault would not stand out.
    fn keep_alive(&mut self, _viewer: &mut SkeinViewer) -> Vec<u8> {
        self.pings += 1;
        message(&[Request::Ping(self.pings)])
    }
}

/// The first frame of every connection.
pub fn hello(token: &str) -> Request {
    Request::Hello(Hello {
        version: VERSION,
        token: Token(token.to_owned()),
        client: CLIENT.to_owned(),
    })
}

/// Requests as one WebSocket message.
pub fn message(requests: &[Request]) -> Vec<u8> {
    let mut frames = Vec::new();
    for request in requests {
        encode_request(request, &mut frames);
    }
    let mut message = Vec::with_capacity(frames.len() + 14);
    put_binary(&mut message, &frames);
    message
}

/// What the server said when it said no.
pub fn refusal(code: Code, text: &str) -> Fault {
    Fault::Refused(format!("{}: {text}", code.name()))
}
