//! Simulated phones: the real sender and viewer states behind a connection that breaks.

use std::collections::BTreeSet;

use bytes::Bytes;
use skein_client::change::{Change, Event};
use skein_client::sender_state::{SenderEvent, SenderOptions, SenderState};
use skein_client::viewer_state::{ViewerState, WatchId, WatchOptions};
use skein_wire::frame::decode_update;
use skein_wire::ids::{ChatName, SessionId, UserName};
use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
use skein_wire::map_view::MapView;
use skein_wire::point::{Fix, Payload, Position};
use skein_wire::request::{Delivery, Request};
use skein_wire::splitter::split_first_shared;
use skein_wire::update::Update;

use crate::sim::map;
use crate::sim::network::{LinkKey, LinkKind, Network};
use crate::sim::random::Random;

/// Time between two points of a sender, milliseconds.
const POINT_MS: (u64, u64) = (200, 1_500);
/// Time until a client without a connection tries again, milliseconds.
const RECONNECT_MS: (u64, u64) = (20, 1_200);
/// Steps, of 25 ms on average, between two looks at other parts of the map.
const LOOK_STEPS: u64 = 60;
/// Duration of a share, seconds: some expire within a run.
const DURATION_S: (u64, u64) = (4, 60);

/// How far an extension moves the end from now, seconds: never before an earlier end.
const EXTENSION_S: u32 = 60;

/// The connection of a client, if it has one.
#[derive(Debug)]
pub struct Wire {
    /// Its member.
    pub user: UserName,
    /// How it carries batches.
    pub kind: LinkKind,
    /// The connection.
    pub key: Option<LinkKey>,
    /// When to try again.
    pub connect_at_ms: u64,
}

impl Wire {
    pub(super) fn new(user: UserName, kind: LinkKind) -> Self {
        Self {
            user,
            kind,
            key: None,
            connect_at_ms: 0,
        }
    }

    /// Whether it is time to connect.
    pub fn wants_connection(&self, now_ms: u64) -> bool {
        self.key.is_none() && now_ms >= self.connect_at_ms
    }

    pub(super) fn disconnected(&mut self, now_ms: u64, random: &mut Random) {
        self.key = None;
        self.connect_at_ms = now_ms + random.range(RECONNECT_MS.0, RECONNECT_MS.1);
    }

    pub(super) fn send(&self, now_ms: u64, network: &mut Network, request: Request) {
        if let Some(key) = self.key {
            network.send_request(now_ms, key, request);
        }
    }
}

/// Cuts whole frames into updates.
///
/// # Panics
/// When the server sent something that is not a frame.
fn updates(mut frames: Bytes) -> Vec<Update> {
    let mut updates = Vec::new();
    while let Some(frame) = split_first_shared(&mut frames, SERVER_FRAME_BYTES_MAX).expect("frame")
    {
        updates.extend(decode_update(frame).expect("the server sends what its protocol says"));
    }
    assert!(frames.is_empty(), "half a frame");
    updates
}

/// What a sender learned, for the witness.
#[derive(Debug)]
pub enum SenderNews {
    /// An event of the state.
    Event(SenderEvent),
    /// The connection broke: what was accepted on it and is not durable yet may be lost.
    ConnectionLost,
}

/// A member that shares.
#[derive(Debug)]
pub struct SimSender {
    /// Its connection.
    pub wire: Wire,
    /// Where it shares.
    pub chat: ChatName,
    /// The real state.
    pub state: SenderState,
    /// Counters of points that went out live and asked for durability.
    pub durable_wanted: BTreeSet<u64>,
    /// Whether it has asked for the end of its current share.
    pub stop_asked: bool,
    share_at_ms: u64,
    shares: u64,
    position: Position,
    /// What it has learned and the witness has not been told.
    pub news: Vec<SenderNews>,
}

impl SimSender {
    /// A sender with its first share.
    pub fn new(user: UserName, chat: ChatName, kind: LinkKind, random: &mut Random) -> Self {
        let state = SenderState::new(options(&user, &chat, 0, random));
        let wire = Wire::new(user, kind);
        Self {
            wire,
            chat,
            state,
            durable_wanted: BTreeSet::new(),
            stop_asked: false,
            share_at_ms: 0,
            shares: 0,
            position: map::BEGIN,
            news: Vec::new(),
        }
    }

    /// The connection is there.
    pub fn connected(&mut self, key: LinkKey) {
        self.wire.key = Some(key);
    }

    /// The connection is gone.
    pub fn disconnected(&mut self, now_ms: u64, random: &mut Random) {
        self.take_events();
        self.news.push(SenderNews::ConnectionLost);
        self.state.handle_disconnected();
        self.wire.disconnected(now_ms, random);
    }

    fn take_events(&mut self) {
        while let Some(event) = self.state.poll_event() {
            self.news.push(SenderNews::Event(event));
        }
    }

    /// Frames from the server.
    pub fn frames(&mut self, now_ms: u64, frames: Bytes) {
        for update in updates(frames) {
            self.state.handle(now_ms, &update);
        }
    }

    /// A step of its life: share, stop, begin again; then everything that is to be sent.
    pub fn live(&mut self, now_ms: u64, calm: bool, network: &mut Network, random: &mut Random) {
        if !calm {
            self.act(now_ms, network, random);
        }
        self.settle(now_ms, network);
    }

    /// A new share, on a connection of its own.
    fn begin_again(&mut self, now_ms: u64, network: &mut Network, random: &mut Random) {
        self.shares += 1;
        self.stop_asked = false;
        self.durable_wanted.clear();
        self.state = SenderState::new(options(&self.wire.user, &self.chat, self.shares, random));
        if let Some(key) = self.wire.key {
            network.cut(now_ms, key);
        }
    }

    fn act(&mut self, now_ms: u64, network: &mut Network, random: &mut Random) {
        if self.state.is_over() {
            if random.one_in(20) {
                self.begin_again(now_ms, network, random);
            }
            return;
        }
        if now_ms < self.share_at_ms {
            return;
        }
        self.share_at_ms = now_ms + random.range(POINT_MS.0, POINT_MS.1);
        match random.range(0, 40) {
            0 => {
                self.stop_asked = true;
                self.state.stop();
            }
            1 => {
                self.state.extend(EXTENSION_S);
            }
            n => self.share(now_ms, n < 14, random),
        }
    }

    fn share(&mut self, now_ms: u64, durable: bool, random: &mut Random) {
        self.position.lat_e6 += random.range(0, 2_000) as i32 - 1_000;
        self.position.lon_e6 += random.range(0, 2_000) as i32 - 1_000;
        let fix = Fix {
            position: self.position,
            ..Fix::default()
        };
        self.state
            .share(now_ms, now_ms as i64, Payload::Fix(fix), durable);
    }

    fn note_durable(&mut self, request: &Request) {
        match request {
            Request::Point(sent) if sent.durable => {
                self.durable_wanted.insert(sent.point.counter.0);
            }
            Request::Points(sent) => {
                for point in &sent.points {
                    self.durable_wanted.remove(&point.counter.0);
                }
            }
            _ => {}
        }
    }

    fn settle(&mut self, now_ms: u64, network: &mut Network) {
        if self.state.poll_timeout().is_some_and(|at| at <= now_ms) {
            self.state.handle_timeout(now_ms);
        }
        while let Some(request) = self.state.poll_request() {
            self.note_durable(&request);
            self.wire.send(now_ms, network, request);
        }
        self.take_events();
    }
}

fn options(user: &UserName, chat: &ChatName, number: u64, random: &mut Random) -> SenderOptions {
    let duration_s = random.range(DURATION_S.0, DURATION_S.1) as u32;
    SenderOptions::new(chat.clone(), duration_s, &format!("{user}-{chat}-{number}"))
}

/// A member that watches.
#[derive(Debug)]
pub struct SimViewer {
    /// Its connection.
    pub wire: Wire,
    /// What it watches.
    pub chat: ChatName,
    /// The real state.
    pub state: ViewerState,
    /// Its watch.
    pub watch: WatchId,
    /// It looks at a part of the map.
    pub is_map: bool,
    /// What it has seen and the witness has not been told.
    pub news: Vec<Change>,
}

impl SimViewer {
    /// A viewer of a whole chat, or of a part of the map.
    pub fn new(
        user: UserName,
        chat: ChatName,
        kind: LinkKind,
        (delivery, view): (Delivery, Option<MapView>),
    ) -> Self {
        let mut state = ViewerState::new();
        let watch = state.watch(WatchOptions {
            delivery,
            view,
            ..WatchOptions::new(chat.clone())
        });
        Self {
            wire: Wire::new(user, kind),
            chat,
            state,
            watch,
            is_map: view.is_some(),
            news: Vec::new(),
        }
    }

    /// The connection is there.
    pub fn connected(&mut self, key: LinkKey) {
        self.wire.key = Some(key);
    }

    /// The connection is gone.
    pub fn disconnected(&mut self, now_ms: u64, random: &mut Random) {
        self.state.handle_disconnected();
        self.wire.disconnected(now_ms, random);
    }

    /// Frames from the server.
    ///
    /// # Panics
    /// When a batch is not well-formed.
    pub fn frames(&mut self, now_ms: u64, frames: Bytes) {
        for update in updates(frames) {
            self.state
                .handle(now_ms, &update)
                .expect("a well-formed batch");
        }
    }

    /// Looks at another part of the map now and then.
    pub fn look_around(&mut self, now_ms: u64, random: &mut Random) {
        if self.is_map && random.one_in(LOOK_STEPS) {
            self.state.look(now_ms, self.watch, map::wish(random));
        }
    }

    /// Sends what is to be sent, notes what was seen.
    pub fn live(&mut self, now_ms: u64, network: &mut Network) {
        if self.state.poll_timeout().is_some_and(|at| at <= now_ms) {
            self.state.handle_timeout(now_ms);
        }
        while let Some(request) = self.state.poll_request() {
            self.wire.send(now_ms, network, request);
        }
        while let Some(change) = self.state.poll_change() {
            self.news.push(change);
        }
    }

    /// Live sessions that it shows and the newest counter of each, in order.
    pub fn rows(&self) -> Vec<(SessionId, u64)> {
        map::shown(self.state.views(self.watch))
    }

    /// Whether its right to watch is gone.
    pub fn is_out(&self) -> bool {
        self.news
            .iter()
            .any(|change| matches!(change.event, Event::WatchEnded { .. }))
    }
}
