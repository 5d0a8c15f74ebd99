//! One simulated run: members share and watch, the network delays and loses, the server crashes;
//! then all faults end and everything must heal.

use skein_client::chat_view::ChatView;
use skein_engine::geofence::record::{GeofenceWish, Shape};
use skein_engine::identity::Identity;
use skein_engine::ids::PartitionId;
use skein_engine::request::{Actor, ChatReply, ChatRequest};
use skein_engine::rights::Rights;
use skein_wire::ids::{ChatName, SessionId, UserName};
use skein_wire::map_view::MapView;
use skein_wire::request::Delivery;

use crate::sim::clients::{SimSender, SimViewer};
use crate::sim::map::{self, Truth};
use crate::sim::network::{Arrival, LinkKey, LinkKind, Network};
use crate::sim::random::Random;
use crate::sim::relay::{NearViewer, SimRelay};
use crate::sim::server::{Disk, PARTITIONS, Sabotage, SimServer};
use crate::sim::witness::{Checked, Violation, Witness};

/// Virtual time with faults, milliseconds.
const FAULTY_MS: u64 = 25_000;
/// Virtual time without faults, in which everything must heal, milliseconds. Longer than a
/// client's keep-alive, because a complaint may have to wait for one.
const HEALING_MS: u64 = 25_000;
/// How far a view may lag behind, milliseconds: a second and a quarter between two batches, the way to the
/// viewer, and a relay between.
const VIEW_LAG_MS: u64 = 3_000;
/// Steps, of 25 ms on average, between two checkpoints of any partition.
const CHECKPOINT_STEPS: u64 = 100;
/// When a run begins, milliseconds since 1970.
const BEGIN_MS: u64 = 1_700_000_000_000;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Everything random follows from it.
    pub seed: u64,
    /// Number of shards.
    pub shards: u16,
    /// Bugs that are put back.
    pub sabotage: Sabotage,
}

/// Runs a scenario.
///
/// # Errors
/// The first violation, with the virtual time.
pub fn run(scenario: Scenario) -> Result<Checked, Violation> {
    World::new(scenario)?.run()
}

struct World {
    scenario: Scenario,
    random: Random,
    begun_ms: u64,
    now_ms: u64,
    disk: Disk,
    server: SimServer,
    network: Network,
    senders: Vec<SimSender>,
    viewers: Vec<SimViewer>,
    relay: SimRelay,
    witness: Witness,
    crash_at_ms: u64,
    control_at_ms: u64,
    janitor_at_ms: u64,
    members_wanted: Vec<(ChatName, UserName)>,
    /// Members are known: clients may come.
    open: bool,
    /// The first violation that was found where none can be returned.
    broken: Option<Violation>,
}

impl World {
    fn new(scenario: Scenario) -> Result<Self, Violation> {
        let mut random = Random::new(scenario.seed);
        let disk = Disk::new(scenario.sabotage);
        let server = SimServer::start(
            &disk,
            scenario.sabotage,
            scenario.shards,
            BEGIN_MS,
            &mut random,
        )?;
        let loss_percent = random.range(0, 30);
        let network = Network::new(Random::new(random.bits()), loss_percent);
        let mut world = Self {
            scenario,
            begun_ms: BEGIN_MS,
            now_ms: BEGIN_MS,
            disk,
            server,
            network,
            senders: Vec::new(),
            viewers: Vec::new(),
            relay: SimRelay::new(Vec::new()),
            witness: Witness::default(),
            crash_at_ms: BEGIN_MS + random.range(2_000, 12_000),
            control_at_ms: BEGIN_MS,
            janitor_at_ms: BEGIN_MS,
            members_wanted: Vec::new(),
            open: false,
            broken: None,
            random,
        };
        world.populate();
        Ok(world)
    }

    fn populate(&mut self) {
        let chats: Vec<ChatName> = (0..self.random.range(1, 4))
            .map(|n| ChatName::new(&format!("chat-{n}")).expect("a name"))
            .collect();
        for n in 0..self.random.range(2, 6) {
            let (chat, user, kind) = self.member(&chats, "sender", n);
            self.senders
                .push(SimSender::new(user, chat, kind, &mut self.random));
        }
        for n in 0..self.random.range(2, 8) {
            let (chat, user, kind) = self.member(&chats, "viewer", n);
            let how = self.how_to_watch();
            self.viewers.push(SimViewer::new(user, chat, kind, how));
        }
        for n in 0..self.random.range(1, 5) {
            let (chat, user, _) = self.member(&chats, "near", n);
            let how = self.how_to_watch();
            self.relay.viewers.push(NearViewer::new(user, chat, how));
        }
    }

    fn how_to_watch(&mut self) -> (Delivery, Option<MapView>) {
        match self.random.range(0, 5) {
            0 | 1 => (Delivery::Every, None),
            2 => (Delivery::Latest, None),
            _ => (Delivery::Latest, Some(map::wish(&mut self.random))),
        }
    }

    fn member(&mut self, chats: &[ChatName], what: &str, n: u64) -> (ChatName, UserName, LinkKind) {
        let chat = chats[self.random.range(0, chats.len() as u64) as usize].clone();
        let user = UserName::new(&format!("{what}-{n}")).expect("a name");
        let kind = if self.random.one_in(2) {
            LinkKind::Ordered
        } else {
            LinkKind::Datagrams
        };
        self.members_wanted.push((chat.clone(), user.clone()));
        (chat, user, kind)
    }

    fn run(mut self) -> Result<Checked, Violation> {
        self.put_members()?;
        self.put_geofences()?;
        self.open = true;
        while self.now_ms < self.begun_ms + FAULTY_MS {
            self.step(false)?;
            if self.now_ms >= self.crash_at_ms {
                self.crash()?;
                self.crash_at_ms = self.now_ms + self.random.range(1_000, 12_000);
            }
        }
        self.network.faulty = false;
        while self.now_ms < self.begun_ms + FAULTY_MS + HEALING_MS {
            self.step(true)?;
        }
        self.compare(false)?;
        self.compare_maps()?;
        // What was promised in the last life survives one more power failure.
        self.crash()?;
        Ok(self.witness.checked)
    }

    /// The chat service tells who is a member, and repeats what was not acknowledged.
    fn put_members(&mut self) -> Result<(), Violation> {
        for (chat, user) in self.members_wanted.clone() {
            let request = ChatRequest::PutMember {
                chat,
                user,
                rights: Rights::ALL.bits(),
                expected: None,
            };
            self.ask(request)?;
        }
        Ok(())
    }

    /// Where everybody begins: they walk in and out, and past each other.
    fn put_geofences(&mut self) -> Result<(), Violation> {
        let mut chats: Vec<ChatName> = self.senders.iter().map(|it| it.chat.clone()).collect();
        chats.sort();
        chats.dedup();
        let place = Shape::Circle {
            lat_e6: 47_000_000,
            lon_e6: 8_000_000,
            radius_m: 150,
        };
        let together = Shape::Around {
            session: 0,
            near_m: 100,
        };
        for chat in chats {
            for (name, shape) in [("place", &place), ("together", &together)] {
                let wish = GeofenceWish {
                    chat: chat.clone(),
                    name: name.parse().expect("a name"),
                    owner: None,
                    shape: shape.clone(),
                    user: None,
                    session: None,
                    dwell_s: 0,
                    once: false,
                    duration_s: None,
                };
                let actor = Actor::Control;
                self.ask(ChatRequest::PutGeofence { actor, wish })?;
            }
        }
        Ok(())
    }

    fn ask(&mut self, request: ChatRequest) -> Result<ChatReply, Violation> {
        let id = self.server.request(self.now_ms, request);
        for _ in 0..400 {
            self.step(true)?;
            for answer in self.server.take_answers() {
                if answer.request == id {
                    return answer
                        .result
                        .map_err(|error| self.violation(&error.to_string()));
                }
            }
        }
        Err(self.violation("the control API did not answer"))
    }

    fn step(&mut self, calm: bool) -> Result<(), Violation> {
        self.now_ms += self.random.range(1, 50);
        while let Some(arrival) = self.network.arrive(self.now_ms) {
            self.deliver(arrival);
        }
        if self.open {
            self.connect();
        }
        if self.random.one_in(CHECKPOINT_STEPS) {
            let partition = self.random.range(0, u64::from(PARTITIONS));
            self.server.begin_checkpoint(PartitionId(partition as u16));
        }
        self.server.run_shards(self.now_ms, &mut self.network);
        self.run_control_and_janitor();
        self.server.run_shards(self.now_ms, &mut self.network);
        if let Some(text) = self.broken.take() {
            return Err(self.violation(&text));
        }
        self.live(calm)
    }

    fn run_control_and_janitor(&mut self) {
        if self.now_ms >= self.control_at_ms {
            self.server.run_control(self.now_ms);
            for crossing in std::mem::take(&mut self.server.crossings) {
                if let Err(text) = self.witness.crossed(&crossing) {
                    self.broken.get_or_insert(text);
                }
            }
            self.control_at_ms = self.now_ms + self.random.range(0, 60);
        }
        if self.now_ms >= self.janitor_at_ms {
            self.server.run_janitor(self.now_ms);
            self.janitor_at_ms = self.now_ms + self.random.range(20, 400);
        }
        if self.random.one_in(50) {
            self.disk.write_back_some(self.random.bits());
        }
    }

    fn deliver(&mut self, arrival: Arrival) {
        let now_ms = self.now_ms;
        match arrival {
            Arrival::Frames(key, frames) => {
                if let Some(sender) = self.senders.iter_mut().find(|s| s.wire.key == Some(key)) {
                    sender.frames(now_ms, frames);
                } else if let Some(viewer) =
                    self.viewers.iter_mut().find(|v| v.wire.key == Some(key))
                {
                    viewer.frames(now_ms, frames);
                } else if self.relay.wire.key == Some(key) {
                    self.relay.frames(now_ms, frames);
                }
            }
            Arrival::ClosedAtClient(key) => self.closed_at_client(key),
            at_server => self.server.arrive(now_ms, &mut self.network, at_server),
        }
    }

    fn closed_at_client(&mut self, key: LinkKey) {
        for sender in self.senders.iter_mut().filter(|s| s.wire.key == Some(key)) {
            sender.disconnected(self.now_ms, &mut self.random);
        }
        for viewer in self.viewers.iter_mut().filter(|v| v.wire.key == Some(key)) {
            viewer.disconnected(self.now_ms, &mut self.random);
        }
        if self.relay.wire.key == Some(key) {
            self.relay.disconnected(self.now_ms, &mut self.random);
        }
    }

    fn connect(&mut self) {
        let (now_ms, shards) = (self.now_ms, self.server.shards() as u64);
        for (client, sender) in self.senders.iter_mut().enumerate() {
            if sender.wire.wants_connection(now_ms) {
                let shard = self.random.range(0, shards) as usize;
                let key = self
                    .server
                    .connect(now_ms, shard, identity(&sender.wire.user));
                self.network.open(key, client, sender.wire.kind);
                sender.connected(key);
            }
        }
        for (client, viewer) in self.viewers.iter_mut().enumerate() {
            if viewer.wire.wants_connection(now_ms) {
                let shard = self.random.range(0, shards) as usize;
                let key = self
                    .server
                    .connect(now_ms, shard, identity(&viewer.wire.user));
                self.network.open(key, client, viewer.wire.kind);
                viewer.connected(key);
            }
        }
        if self.relay.wire.wants_connection(now_ms) {
            let shard = self.random.range(0, shards) as usize;
            let key = self.server.connect(now_ms, shard, self.relay.identity());
            let client = self.senders.len() + self.viewers.len();
            self.network.open(key, client, self.relay.wire.kind);
            self.relay.connected(key);
        }
    }

    fn live(&mut self, calm: bool) -> Result<(), Violation> {
        let now_ms = self.now_ms;
        for sender in &mut self.senders {
            let session = sender.state.session();
            sender.live(now_ms, calm, &mut self.network, &mut self.random);
            let session = session.or(sender.state.session());
            for news in sender.news.drain(..) {
                self.witness
                    .sender_news(session, &news, &sender.durable_wanted);
            }
            if let (true, Some(session)) = (sender.stop_asked, sender.state.session()) {
                self.witness.end_asked(session);
            }
            if !calm
                && self.random.one_in(600)
                && let Some(key) = sender.wire.key
            {
                self.network.cut(now_ms, key);
            }
        }
        self.relay.live(now_ms, &mut self.network, &mut self.random);
        if !calm
            && self.random.one_in(400)
            && let Some(key) = self.relay.wire.key
        {
            self.network.cut(now_ms, key);
        }
        let near = self.viewers.len();
        for (number, viewer) in self.relay.viewers.iter_mut().enumerate() {
            while let Some(change) = viewer.state.poll_change() {
                let told = self.witness.viewer_news(near + number, &change);
                told.map_err(|text| {
                    let at_ms = now_ms - self.begun_ms;
                    format!(
                        "at the relay: {text} (seed {}, at {at_ms} ms)",
                        self.scenario.seed
                    )
                })?;
            }
        }
        for (number, viewer) in self.viewers.iter_mut().enumerate() {
            if !calm {
                viewer.look_around(now_ms, &mut self.random);
            }
            viewer.live(now_ms, &mut self.network);
            for change in viewer.news.drain(..) {
                self.witness.viewer_news(number, &change).map_err(|text| {
                    format!(
                        "{text} (seed {}, at {} ms)",
                        self.scenario.seed,
                        now_ms - self.begun_ms
                    )
                })?;
            }
            if !calm
                && self.random.one_in(400)
                && let Some(key) = viewer.wire.key
            {
                self.network.cut(now_ms, key);
            }
        }
        Ok(())
    }

    /// The server dies, by a power failure or a kill, and comes back on what is left.
    fn crash(&mut self) -> Result<(), Violation> {
        let sabotage = self.scenario.sabotage;
        let power = self.random.percent(75);
        self.disk = match power {
            true => self.disk.crash(self.random.bits(), sabotage),
            false => self.disk.kill(sabotage),
        };
        self.witness.checked.power_cuts += u64::from(power);
        self.witness.checked.checkpoints += self.server.checkpoints();
        self.network.drop_all();
        for sender in self.senders.iter_mut().filter(|s| s.wire.key.is_some()) {
            sender.disconnected(self.now_ms, &mut self.random);
        }
        for viewer in self.viewers.iter_mut().filter(|v| v.wire.key.is_some()) {
            viewer.disconnected(self.now_ms, &mut self.random);
        }
        if self.relay.wire.key.is_some() {
            self.relay.disconnected(self.now_ms, &mut self.random);
        }
        self.now_ms += self.random.range(5, 3_000);
        let (now_ms, shards) = (self.now_ms, self.scenario.shards);
        self.server = SimServer::start(&self.disk, sabotage, shards, now_ms, &mut self.random)
            .map_err(|text| self.violation(&text))?;
        self.witness
            .after_restart(now_ms, &self.server)
            .map_err(|text| self.violation(&text))
    }

    /// A view gets a batch a second: what it has may be that much older than the table, and no more.
    fn compare_maps(&mut self) -> Result<(), Violation> {
        let end_ms = self.now_ms + VIEW_LAG_MS;
        loop {
            match self.compare(true) {
                Err(_) if self.now_ms < end_ms => self.step(true)?,
                compared => return compared,
            }
        }
    }

    /// The rows of every viewer of a part of the map, or of every other one, are the server's rows.
    fn compare(&mut self, of_maps: bool) -> Result<(), Violation> {
        let near = self.relay.viewers.iter().map(|v| v.chat.clone());
        let mut chats: Vec<ChatName> = self.viewers.iter().map(|v| v.chat.clone()).collect();
        chats.extend(near);
        chats.sort();
        chats.dedup();
        for chat in chats {
            let request = ChatRequest::Positions {
                chat: chat.clone(),
                actor: Actor::Control,
            };
            let ChatReply::Positions { positions, .. } = self.ask(request)? else {
                return Err(self.violation("the reply to `Positions` is of another kind"));
            };
            // Nothing comes in between: the shards come to rest.
            for _ in 0..self.server.shards() {
                self.server.run_shards(self.now_ms, &mut self.network);
            }
            let mirrors = self.server.compare_mirrors(&chat);
            self.witness.checked.mirrors_compared +=
                mirrors.map_err(|text| self.violation(&text))?;
            let mut truth: Vec<Truth> = positions
                .iter()
                .map(|p| {
                    let newest = p.newest.as_ref();
                    let place = newest.and_then(|point| map::place_of(&point.payload));
                    (
                        p.session.session,
                        newest.map_or(0, |point| point.counter.0),
                        place,
                    )
                })
                .collect();
            truth.sort_unstable_by_key(|(session, ..)| *session);
            for (number, viewer) in self.relay.viewers.iter().enumerate() {
                if viewer.is_map != of_maps {
                    continue;
                }
                let rows = viewer.rows();
                if viewer.chat == chat {
                    self.witness.checked.near_rows_compared += rows.len() as u64;
                }
                let views = viewer.state.views(viewer.watch);
                if viewer.chat == chat
                    && let Err(text) = self.agree(&rows, views, &truth)
                {
                    let text = format!(
                        "viewer {number} of the relay (connected {}, the relay {}) has {rows:?}, the server {truth:?}: {text}",
                        viewer.state.is_connected(),
                        self.relay.wire.key.is_some()
                    );
                    return Err(self.violation(&text));
                }
            }
            for (number, viewer) in self.viewers.iter().enumerate() {
                if viewer.chat == chat && viewer.is_map == of_maps {
                    let rows = viewer.rows();
                    self.witness.checked.rows_compared += rows.len() as u64;
                    let views: Vec<&ChatView> = viewer.state.views(viewer.watch).collect();
                    self.witness.checked.map_rows_compared +=
                        if of_maps { rows.len() as u64 } else { 0 };
                    let elsewhere = views.iter().flat_map(|view| view.clusters());
                    self.witness.checked.counted_elsewhere +=
                        elsewhere.map(|it| u64::from(it.count)).sum::<u64>();
                    if let Err(text) = self.agree(&rows, views.into_iter(), &truth) {
                        let (connected, watching) = (
                            viewer.state.is_connected(),
                            viewer.state.is_watching(viewer.watch),
                        );
                        let kind = viewer.wire.kind;
                        let text = format!(
                            "viewer {number} ({kind:?}, connected {connected}, watching {watching}) has \
                             {rows:?}, the server {truth:?}: {text}"
                        );
                        return Err(self.violation(&text));
                    }
                }
            }
        }
        Ok(())
    }

    /// Same sessions, same counters. After a power failure a viewer may still hold a point that the
    /// server has lost: it keeps the greater counter until the sender is back, which sends its
    /// newest fix again.
    fn agree<'v>(
        &self,
        rows: &[(SessionId, u64)],
        mut views: impl Iterator<Item = &'v ChatView>,
        truth: &[Truth],
    ) -> Result<(), String> {
        let lost_some = self.witness.checked.power_cuts > 0;
        let truth = match views.next() {
            Some(view) => map::expected(view, truth)?,
            None => return Err("it does not watch".into()),
        };
        let agrees = rows.len() == truth.len()
            && rows.iter().zip(&truth).all(|(row, true_row)| {
                let may_lag = lost_some && !self.is_shared(row.0);
                row.0 == true_row.0 && (row.1 == true_row.1 || (may_lag && row.1 > true_row.1))
            });
        match agrees {
            true => Ok(()),
            false => Err("rows differ".into()),
        }
    }

    /// Whether the session's sender is connected.
    fn is_shared(&self, session: SessionId) -> bool {
        let of_it = |sender: &SimSender| sender.state.session() == Some(session);
        let mut senders = self.senders.iter();
        senders.any(|sender| of_it(sender) && sender.state.is_sharing())
    }

    fn violation(&self, text: &str) -> Violation {
        let at_ms = self.now_ms - self.begun_ms;
        format!(
            "{text} (seed {}, {} shards, at {at_ms} ms)",
            self.scenario.seed, self.scenario.shards
        )
    }
}

fn identity(user: &UserName) -> Identity {
    Identity {
        person: user.clone().into(),
        expires_at_ms: u64::MAX / 4,
    }
}
