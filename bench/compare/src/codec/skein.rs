//! skein over WebSocket, in its own frames.
//!
//! Viewers that have the same get the same bytes, so a message is decoded when it comes for the
//! first time; who gets it again is served from what it said. Each viewer is checked all the same.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use skein_bench::server::now_ms;
use skein_wire::batch::{Batch, WireCounter};
use skein_wire::frame::{decode_update, encode_request};
use skein_wire::ids::{ChatName, Counter, RequestNumber, SessionId, ShareNumber};
use skein_wire::limits::{SERVER_FRAME_BYTES_MAX, VERSION, WEBSOCKET_SUBPROTOCOL};
use skein_wire::point::{Accuracy, Fix, Heading, Payload, Point, Position as Place, Speed};
use skein_wire::request::{
    Delivery, Hello, Request, SharePoint, SharePoints, ShareStart, Token, Watch,
};
use skein_wire::splitter::split_first_shared;
use skein_wire::update::Update;

use crate::codec::websocket::{message, next_message, upgrade, upgraded};
use crate::position::Position;
use crate::protocol::{LineState, Protocol};
use crate::sink::Sink;

/// Path of the WebSocket.
const PATH: &str = "/v1/ws";

/// Seconds that a session lasts: longer than any run.
const DURATION_S: u32 = 3_600;

/// Sessions of one user in one chat, as the server has it by default.
const SESSIONS_PER_USER: u32 = 4;

/// One chat, its senders and viewers.
#[derive(Clone)]
pub struct SkeinWebsocket {
    chat: ChatName,
    viewer: Token,
    /// By number of the user.
    senders: Vec<Token>,
    sealed: bool,
    sessions: HashMap<SessionId, u32>,
    shares: HashMap<u32, ShareNumber>,
    /// Counter up to which the points of a session are durable.
    durable: HashMap<u32, u64>,
    /// Session index by slot.
    slots: Vec<Option<u32>>,
    /// The messages decoded last, newest first.
    known: VecDeque<Rc<Known>>,
}

/// Messages that are remembered: the server shares at most eight batches between all viewers.
const KNOWN_MESSAGES: usize = 8;

/// A message of batches only, and their rows.
struct Known {
    message: Bytes,
    rows: Vec<Row>,
}

/// A row's session and the counter of its newest point.
#[derive(Clone, Copy)]
struct Row {
    session: u32,
    counter: WireCounter,
}

/// Name of the user whose session this is.
pub fn user_of(session: u32) -> String {
    format!("sender-{}", session / SESSIONS_PER_USER)
}

/// How many users feed so many sessions.
pub fn users(sessions: u32) -> u32 {
    sessions.div_ceil(SESSIONS_PER_USER)
}

impl SkeinWebsocket {
    /// Everybody in this chat; `senders` are the tokens of [`users`].
    ///
    /// # Errors
    /// If the name of the chat is none.
    pub fn new(chat: &str, viewer: String, senders: Vec<String>) -> Result<Self> {
        Ok(Self {
            chat: ChatName::new(chat).context("a chat's name")?,
            viewer: Token(viewer),
            senders: senders.into_iter().map(Token).collect(),
            sealed: false,
            sessions: HashMap::new(),
            shares: HashMap::new(),
            durable: HashMap::new(),
            slots: Vec::new(),
            known: VecDeque::new(),
        })
    }

    /// Sessions carry sealed points: blobs that the server keeps and relays and cannot read.
    pub fn with_sealed_points(mut self) -> Self {
        self.sealed = true;
        self
    }

    /// A message with sealed points of a session, by their counters, each of so many bytes. `durable`: it is
    /// to be told when they are.
    pub fn upload(
        &self,
        session: u32,
        counters: Range<u64>,
        blob: &Bytes,
        durable: bool,
    ) -> Vec<u8> {
        let point = |counter| Point {
            counter: Counter(counter),
            captured_at_ms: now_ms() as i64,
            payload: Payload::Sealed(blob.clone()),
        };
        let mut out = Vec::new();
        let request = Request::Points(SharePoints {
            share: self.share_of(session),
            historical: false,
            durable,
            points: counters.map(point).collect(),
        });
        frame(&request, &mut out);
        out
    }

    /// Counter up to which the server has said that the points of a session are durable.
    pub fn durable_of(&self, session: u32) -> u64 {
        self.durable.get(&session).copied().unwrap_or(0)
    }

    fn share_of(&self, session: u32) -> ShareNumber {
        let share = self.shares.get(&session).copied();
        share.unwrap_or(ShareNumber(0))
    }

    fn hello(token: &Token) -> Request {
        Request::Hello(Hello {
            version: VERSION,
            token: token.clone(),
            client: "skein-compare".to_owned(),
        })
    }

    fn watch(&self) -> Request {
        Request::Watch(Watch {
            request: RequestNumber(1),
            chat: self.chat.clone(),
            session: None,
            view: None,
            cursor: None,
            delivery: Delivery::Latest,
            trail: 0,
            interval_ms: 0,
        })
    }

    fn share(&self, session: u32) -> Request {
        Request::ShareStart(ShareStart {
            request: RequestNumber(1),
            chat: self.chat.clone(),
            duration_s: DURATION_S,
            idempotency_key: format!("session-{session}"),
            sealed: self.sealed,
        })
    }

    /// The rows of a message, read now or when it came first.
    fn rows_of(&mut self, payload: &[u8], state: &mut LineState) -> Result<Rc<Known>> {
        let mut known = self.known.iter();
        if let Some(known) = known.find(|known| known.message == payload) {
            return Ok(Rc::clone(known));
        }
        let message = Bytes::copy_from_slice(payload);
        let mut frames = message.clone();
        let (mut rows, mut only_batches) = (Vec::new(), true);
        while let Some(frame) = split_first_shared(&mut frames, SERVER_FRAME_BYTES_MAX)? {
            match decode_update(frame)? {
                Some(Update::Batch(body)) => self.read_batch(&body, &mut rows)?,
                Some(Update::Watching(_)) => {
                    state.ready = true;
                    only_batches = false;
                }
                Some(Update::Refused(refused)) => bail!("refused: {}", refused.text),
                Some(Update::Goodbye(goodbye)) => bail!("closed: {}", goodbye.text),
                _ => only_batches = false,
            }
        }
        let known = Rc::new(Known { message, rows });
        // Whatever else is in a message has to be read for each viewer.
        if only_batches {
            self.known.truncate(KNOWN_MESSAGES - 1);
            self.known.push_front(Rc::clone(&known));
        }
        Ok(known)
    }

    fn read_batch(&mut self, body: &Bytes, rows: &mut Vec<Row>) -> Result<()> {
        for entry in Batch::decode(body)?.entries {
            let slot = entry.slot.0 as usize;
            if let Some(descriptor) = &entry.descriptor {
                let session = self.sessions.get(&descriptor.session);
                if self.slots.len() <= slot {
                    self.slots.resize(slot + 1, None);
                }
                self.slots[slot] = session.copied();
            }
            let session = self.slots.get(slot).copied().flatten();
            if let (Some(session), Some(point)) = (session, &entry.point) {
                let counter = point.counter;
                rows.push(Row { session, counter });
            }
        }
        Ok(())
    }
}

fn frame(request: &Request, out: &mut Vec<u8>) {
    let mut bytes = Vec::with_capacity(64);
    encode_request(request, &mut bytes);
    message(&bytes, out);
}

impl Protocol for SkeinWebsocket {
    fn viewer_greeting(&self, _viewer: usize) -> Vec<u8> {
        upgrade(PATH, Some(WEBSOCKET_SUBPROTOCOL))
    }

    fn sender_greeting(&self, _session: u32) -> Vec<u8> {
        upgrade(PATH, Some(WEBSOCKET_SUBPROTOCOL))
    }

    fn take(
        &mut self,
        state: &mut LineState,
        input: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<usize> {
        let mut rest = input;
        if !state.greeted && upgraded(&mut rest)? {
            state.greeted = true;
            frame(&Self::hello(&self.viewer), out);
            frame(&self.watch(), out);
        }
        while state.greeted
            && let Some(payload) = next_message(&mut rest, out)?
        {
            for row in &self.rows_of(payload, state)?.rows {
                match row.counter {
                    WireCounter::Low(low) => sink.position_low(row.session, low),
                    WireCounter::Whole(Counter(counter)) => sink.position(Position {
                        session: row.session,
                        counter,
                    }),
                }
            }
        }
        Ok(input.len() - rest.len())
    }

    fn take_as_sender(
        &mut self,
        session: u32,
        state: &mut LineState,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        let mut rest = input;
        if !state.greeted && upgraded(&mut rest)? {
            state.greeted = true;
            let user = (session / SESSIONS_PER_USER) as usize;
            let token = self.senders.get(user).context("a token for each user")?;
            frame(&Self::hello(token), out);
            frame(&self.share(session), out);
        }
        while state.greeted
            && let Some(payload) = next_message(&mut rest, out)?
        {
            let mut frames = Bytes::copy_from_slice(payload);
            while let Some(one) = split_first_shared(&mut frames, SERVER_FRAME_BYTES_MAX)? {
                match decode_update(one)? {
                    Some(Update::Shared(shared)) => {
                        self.sessions.insert(shared.session, session);
                        self.shares.insert(session, shared.share);
                        state.ready = true;
                    }
                    Some(Update::Accepted(accepted)) if !accepted.verdicts.is_empty() => {
                        bail!("a point is refused: {:?}", accepted.verdicts[0].code)
                    }
                    Some(Update::Accepted(accepted)) => {
                        let durable = self.durable.entry(session).or_default();
                        *durable = accepted.durable.0.max(*durable);
                    }
                    Some(Update::Refused(refused)) => bail!("refused: {}", refused.text),
                    Some(Update::Goodbye(goodbye)) => bail!("closed: {}", goodbye.text),
                    _ => {}
                }
            }
        }
        Ok(input.len() - rest.len())
    }

    fn publish(&mut self, session: u32, counter: u64, out: &mut Vec<u8>) {
        let share = self.share_of(session);
        let wander = (counter % 1_000) as i32;
        let position = Place {
            lat_e6: 47_000_000 + session as i32 + wander,
            lon_e6: 8_000_000 + wander,
        };
        let point = Point {
            counter: Counter(counter),
            captured_at_ms: now_ms() as i64,
            payload: Payload::Fix(Fix {
                position,
                heading: Some(Heading(64)),
                speed: Some(Speed(90)),
                accuracy: Some(Accuracy(60)),
                ..Fix::default()
            }),
        };
        frame(
            &Request::Point(SharePoint {
                share,
                durable: false,
                point,
            }),
            out,
        );
    }
}
