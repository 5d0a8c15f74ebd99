//! A relay in the simulation: the real hub, viewer and shards, one faulty connection to the server, and
//! viewers of its own close by.

use bytes::Bytes;
use skein_client::viewer_state::{ViewerState, WatchId, WatchOptions};
use skein_engine::identity::{Grant, Identity, Person};
use skein_engine::ids::{ConnectionId, ShardId, ViewerId};
use skein_engine::limits::Limits;
use skein_engine::output::Output;
use skein_engine::relay::hub::{Hub, HubConfig};
use skein_engine::shard::{RelayConfig, Shard, ShardConfig};
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_engine::table::TableLimits;
use skein_engine::time::Timestamp;
use skein_server::relay::link_core::LinkCore;
use skein_wire::ids::{ChatName, SessionId, UserName};
use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
use skein_wire::map_view::MapView;
use skein_wire::request::Delivery;
use skein_wire::splitter::split_first_shared;
use skein_wire::update::Update;

use crate::sim::clients::Wire;
use crate::sim::map;
use crate::sim::network::{LinkKey, LinkKind, Network};
use crate::sim::random::Random;

/// Rounds in which messages go between hub and shards, per step.
const ROUNDS: usize = 4;

/// A viewer of the relay. What it is sent arrives at once.
#[derive(Debug)]
pub struct NearViewer {
    /// Who.
    pub user: UserName,
    /// What it watches.
    pub chat: ChatName,
    /// The real state.
    pub state: ViewerState,
    /// Its watch.
    pub watch: WatchId,
    /// It looks at a part of the map.
    pub is_map: bool,
    shard: usize,
    connection: ConnectionId,
    is_connected: bool,
}

impl NearViewer {
    /// A viewer of a whole chat, or of a part of the map.
    pub fn new(
        user: UserName,
        chat: ChatName,
        (delivery, view): (Delivery, Option<MapView>),
    ) -> Self {
        let mut state = ViewerState::new();
        let watch = state.watch(WatchOptions {
            delivery,
            view,
            ..WatchOptions::new(chat.clone())
        });
        Self {
            user,
            chat,
            state,
            watch,
            is_map: view.is_some(),
            shard: 0,
            connection: ConnectionId(0),
            is_connected: false,
        }
    }

    /// Live sessions that it shows and the newest counter of each, in order.
    pub fn rows(&self) -> Vec<(SessionId, u64)> {
        map::shown(self.state.views(self.watch))
    }
}

/// The relay.
pub struct SimRelay {
    /// Its connection to the server.
    pub wire: Wire,
    /// Its viewers.
    pub viewers: Vec<NearViewer>,
    core: Option<LinkCore>,
    shards: Vec<Shard>,
    connection_last: u64,
}

impl SimRelay {
    /// A relay that has not heard of the server yet.
    pub fn new(viewers: Vec<NearViewer>) -> Self {
        let user = UserName::new("relay").expect("a name");
        Self {
            wire: Wire::new(user, LinkKind::Datagrams),
            viewers,
            core: None,
            shards: Vec::new(),
            connection_last: 0,
        }
    }

    /// Who it is to the server.
    pub fn identity(&self) -> Identity {
        Identity {
            person: Person {
                user: self.wire.user.clone(),
                grant: Some(std::sync::Arc::new(Grant::Relay)),
            },
            expires_at_ms: u64::MAX / 4,
        }
    }

    /// The connection is there.
    pub fn connected(&mut self, key: LinkKey) {
        self.wire.key = Some(key);
    }

    /// The connection is gone.
    pub fn disconnected(&mut self, now_ms: u64, random: &mut Random) {
        if let Some(core) = &mut self.core {
            core.lost(Timestamp(now_ms));
        }
        self.wire.disconnected(now_ms, random);
    }

    /// Frames from the server.
    ///
    /// # Panics
    /// When they break the protocol.
    pub fn frames(&mut self, now_ms: u64, mut frames: Bytes) {
        while let Some(update) = next_update(&mut frames) {
            if let Update::Welcome(welcome) = update {
                let shards = &mut self.shards;
                let core = self
                    .core
                    .get_or_insert_with(|| begin(now_ms, welcome.log, shards));
                core.connected(now_ms, welcome);
            } else if let Some(core) = &mut self.core {
                let taken = core.take(Timestamp(now_ms), now_ms, &update);
                taken.expect("the server keeps to the protocol");
            }
        }
    }

    /// Does what is to be done by now.
    pub fn live(&mut self, now_ms: u64, network: &mut Network, random: &mut Random) {
        let now = Timestamp(now_ms);
        if self.core.is_none() {
            return;
        }
        self.come_and_go(now, random);
        for _ in 0..ROUNDS {
            self.carry(now);
            self.pass(now);
        }
        let core = self.core.as_mut().expect("it has begun");
        core.handle_timeout(now, now_ms);
        for request in core.take_requests() {
            self.wire.send(now_ms, network, request);
        }
    }

    /// Connects viewers that are not, and now and then lets one come again elsewhere.
    fn come_and_go(&mut self, now: Timestamp, random: &mut Random) {
        for viewer in &mut self.viewers {
            if viewer.is_connected && random.one_in(300) {
                self.shards[viewer.shard].handle_disconnected(now, viewer.connection);
                viewer.state.handle_disconnected();
                viewer.is_connected = false;
            } else if !viewer.is_connected {
                self.connection_last += 1;
                viewer.connection = ConnectionId(self.connection_last);
                viewer.shard = random.range(0, self.shards.len() as u64) as usize;
                viewer.is_connected = true;
                let identity = Identity {
                    person: viewer.user.clone().into(),
                    expires_at_ms: u64::MAX / 4,
                };
                self.shards[viewer.shard].handle_connected(now, viewer.connection, identity);
            }
        }
    }

    /// Messages between hub and shards.
    fn carry(&mut self, now: Timestamp) {
        let core = self.core.as_mut().expect("it has begun");
        let hub = ShardId(self.shards.len() as u16);
        for (number, shard) in self.shards.iter_mut().enumerate() {
            let id = ShardId(number as u16);
            while let Some(message) = shard.poll_peer(hub) {
                core.hub.handle_peer(now, id, message);
            }
            core.settle(now);
            while let Some(message) = core.hub.poll_peer(id) {
                shard.handle_peer(now, hub, message);
            }
        }
    }

    fn pass(&mut self, now: Timestamp) {
        for number in 0..self.shards.len() {
            let shard = &mut self.shards[number];
            shard.handle_timeout(now);
            let mut sent = Vec::new();
            drain(shard, &mut sent);
            let mut sink = NearSink::default();
            shard.fan_out(now, &mut sink);
            sent.extend(sink.batches);
            drain(shard, &mut sent);
            for (connection, update) in sent {
                self.hand_over(now, number, connection, &update);
            }
            for viewer in self.viewers.iter_mut().filter(|it| it.shard == number) {
                viewer.state.handle_timeout(now.0);
                while let Some(request) = viewer.state.poll_request() {
                    self.shards[number].handle_frame(now, viewer.connection, request);
                }
            }
        }
    }

    fn hand_over(
        &mut self,
        now: Timestamp,
        shard: usize,
        connection: ConnectionId,
        update: &Update,
    ) {
        let is_its = |viewer: &&mut NearViewer| {
            viewer.is_connected && viewer.shard == shard && viewer.connection == connection
        };
        if let Some(viewer) = self.viewers.iter_mut().find(is_its) {
            let taken = viewer.state.handle(now.0, update);
            taken.expect("the relay keeps to the protocol");
        }
    }
}

fn begin(now_ms: u64, log: u64, shards: &mut Vec<Shard>) -> LinkCore {
    const SHARDS: u16 = 2;
    let now = Timestamp(now_ms);
    for number in 0..SHARDS {
        let mut shard = Shard::new(
            ShardConfig {
                shard: ShardId(number),
                shards: SHARDS,
                partitions: 1,
                log_id: log,
                limits: Limits::default(),
                seed: u64::from(number) + 1,
                relay: Some(RelayConfig::default()),
            },
            now,
        );
        shard.finish_recovery(now);
        shards.push(shard);
    }
    let config = HubConfig {
        shards: SHARDS,
        relay_id: 1,
        table: TableLimits::default(),
    };
    LinkCore::new(Hub::new(config, log))
}

fn drain(shard: &mut Shard, sent: &mut Vec<(ConnectionId, Update)>) {
    while let Some(output) = shard.poll_output() {
        if let Output::Frame { connection, update } = output {
            sent.push((connection, update));
        }
    }
}

/// Takes everything, in order.
#[derive(Default)]
struct NearSink {
    batches: Vec<(ConnectionId, Update)>,
}

impl NearSink {
    fn take(&mut self, connection: ConnectionId, mut frames: Bytes) {
        while let Some(update) = next_update(&mut frames) {
            self.batches.push((connection, update));
        }
    }
}

impl Sink for NearSink {
    fn offer(&mut self, connection: ConnectionId, _: ViewerId, batch: &SharedBatch) -> Offer {
        self.take(connection, batch.frames());
        Offer::Sent
    }

    fn tell(&mut self, connection: ConnectionId, frame: &Bytes) {
        self.take(connection, frame.clone());
    }

    fn offer_head(&mut self, _: ConnectionId, _: &Bytes) {}
}

fn next_update(frames: &mut Bytes) -> Option<Update> {
    let frame = split_first_shared(frames, SERVER_FRAME_BYTES_MAX).expect("whole frames")?;
    skein_wire::frame::decode_update(frame).expect("a well-formed frame")
}
