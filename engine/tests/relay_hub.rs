//! A relay without I/O: batches of a table go into the hub, and what its shard says comes out.

use bytes::Bytes;
use skein_engine::batch_builder::{BatchBuilder, BatchSpec, Scope};
use skein_engine::identity::Identity;
use skein_engine::ids::{ConnectionId, ShardId, ViewerId};
use skein_engine::journal::{Entry, Started};
use skein_engine::limits::{Limits, RELAY_OPENING_MS};
use skein_engine::output::Output;
use skein_engine::relay::hub::{Hub, HubConfig};
use skein_engine::relay::hub_command::HubCommand;
use skein_engine::shard::{RelayConfig, Shard, ShardConfig};
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_engine::table::{Table, TableLimits};
use skein_engine::time::Timestamp;
use skein_wire::batch::{Batch, WireCounter};
use skein_wire::frame::decode_update;
use skein_wire::ids::{
    ChatHandle, ChatName, Counter, Cursor, GeofenceName, RequestNumber, SessionId, UserName,
};
use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
use skein_wire::point::{Fix, Payload, Point};
use skein_wire::request::{Delivery, Request, Watch};
use skein_wire::splitter::split_first_shared;
use skein_wire::update::{Crossing, CrossingKind, Members, Update, Watching};

const LOG: u64 = 7;
const CHAT: ChatHandle = ChatHandle(3);
const NOW: Timestamp = Timestamp(1_700_000_000_000);
const VIEWER: ConnectionId = ConnectionId(1);

fn chat() -> ChatName {
    ChatName::new("hike").unwrap()
}

fn point(counter: u64) -> Point {
    Point {
        counter: Counter(counter),
        captured_at_ms: NOW.0 as i64,
        payload: Payload::Fix(Fix::default()),
    }
}

/// The upstream's table: a session with so many points, the last of them at offset `points` + 1.
fn upstream(points: u64) -> Table {
    let mut table = Table::new(1, 1, TableLimits::default());
    let session = SessionId(5);
    let started = Started {
        slot: table.reserve_slot().unwrap(),
        user: UserName::new("ana").unwrap(),
        started_at_ms: NOW.0,
        expires_at_ms: NOW.0 + 900_000,
        sealed: false,
    };
    table.apply(1, NOW.0, &Entry::Started { session, started });
    for counter in 1..=points {
        let point = point(counter);
        table.apply(counter + 1, NOW.0, &Entry::Point { session, point });
    }
    table
}

#[derive(Default)]
struct Taken(Vec<Batch>);

impl Sink for Taken {
    fn offer(&mut self, _: ConnectionId, _: ViewerId, batch: &SharedBatch) -> Offer {
        self.0.push(decoded(batch));
        Offer::Sent
    }

    fn tell(&mut self, _: ConnectionId, _: &Bytes) {}

    fn offer_head(&mut self, _: ConnectionId, _: &Bytes) {}
}

fn decoded(batch: &SharedBatch) -> Batch {
    let mut frames = batch.frames().clone();
    let frame = split_first_shared(&mut frames, SERVER_FRAME_BYTES_MAX)
        .unwrap()
        .unwrap();
    let Some(Update::Batch(body)) = decode_update(frame).unwrap() else {
        panic!("no batch");
    };
    Batch::decode(&body).unwrap()
}

/// What the upstream sends to the relay for a cursor, with exact counters.
fn batch(table: &Table, from: u64) -> Batch {
    let spec = BatchSpec {
        chat: CHAT,
        scope: Scope {
            delivery: Delivery::Every,
            session: None,
            grid: None,
            area: None,
        },
        from,
        trail: 32,
        now: NOW,
        view: None,
    };
    let mut batch = decoded(&BatchBuilder::new(0).build(table, &spec));
    for entry in &mut batch.entries {
        if let Some(point) = &mut entry.point {
            let newest = table.row_at(entry.slot).unwrap().descriptor().counter;
            point.counter = WireCounter::Whole(newest);
        }
    }
    batch
}

struct Relay {
    hub: Hub,
    shard: Shard,
}

impl Relay {
    fn new() -> Self {
        let config = ShardConfig {
            shard: ShardId(0),
            shards: 1,
            partitions: 1,
            log_id: LOG,
            limits: Limits::default(),
            seed: 1,
            relay: Some(RelayConfig::default()),
        };
        let mut shard = Shard::new(config, NOW);
        shard.finish_recovery(NOW);
        let hub = HubConfig {
            shards: 1,
            relay_id: 9,
            table: TableLimits::default(),
        };
        let hub = Hub::new(hub, LOG);
        let mut relay = Self { hub, shard };
        let identity = Identity {
            person: UserName::new("ben").unwrap().into(),
            expires_at_ms: NOW.0 + 900_000,
        };
        relay.shard.handle_connected(NOW, VIEWER, identity);
        relay.carry();
        relay
    }

    fn carry(&mut self) {
        while let Some(message) = self.shard.poll_peer(ShardId(1)) {
            self.hub.handle_peer(NOW, ShardId(0), message);
        }
        while let Some(message) = self.hub.poll_peer(ShardId(0)) {
            self.shard.handle_peer(NOW, ShardId(1), message);
        }
    }

    /// Frames for the viewer.
    fn frames(&mut self) -> Vec<Update> {
        let outputs = std::iter::from_fn(|| self.shard.poll_output());
        let frames = outputs.filter_map(|output| match output {
            Output::Frame { update, .. } => Some(update),
            _ => None,
        });
        frames.collect()
    }

    fn pass(&mut self) -> Vec<Batch> {
        self.carry();
        let mut taken = Taken::default();
        self.shard.fan_out(NOW, &mut taken);
        taken.0
    }

    fn watch(&mut self, cursor: Option<u64>) {
        let cursor = cursor.map(|offset| Cursor {
            log: LOG,
            epoch: 1,
            offset,
        });
        let watch = Watch {
            request: RequestNumber(1),
            chat: chat(),
            session: None,
            view: None,
            cursor,
            delivery: Delivery::Every,
            trail: 0,
            interval_ms: 0,
        };
        self.shard.handle_frame(NOW, VIEWER, Request::Watch(watch));
        self.carry();
    }

    /// The upstream grants the watch and says who the members are.
    fn grant(&mut self, table: &Table, members: &[&str]) {
        let watching = Watching {
            request: RequestNumber(1),
            chat: CHAT,
            epoch: 1,
            horizon: table.horizon(),
            from: 0,
        };
        self.hub.handle_watching(&chat(), &watching);
        self.hub.handle_batch(NOW, &chat(), batch(table, 0));
        let members = members.iter().map(|name| (UserName::new(name).unwrap(), 3));
        let members = Members {
            request: RequestNumber(2),
            chat: CHAT,
            offset: table.as_of(),
            more: false,
            members: members.collect(),
        };
        self.hub.handle_members(NOW, &members);
        // What lies before is not told: served all the same.
        self.hub.handle_timeout(NOW.plus_ms(RELAY_OPENING_MS));
        self.carry();
    }

    fn watching(&mut self) -> Option<Watching> {
        self.frames().into_iter().find_map(|update| match update {
            Update::Watching(watching) => Some(watching),
            _ => None,
        })
    }
}

#[test]
fn a_viewer_that_is_ahead_keeps_its_cursor() {
    let mut relay = Relay::new();
    relay.watch(Some(12));
    let mut table = upstream(9);
    relay.grant(&table, &["ben"]);
    assert_eq!(
        relay.watching().map(|it| it.from),
        Some(12),
        "10 is all there is"
    );
    assert_eq!(relay.pass(), [], "nothing that it has not");
    let before = table.as_of();
    for counter in 10..=12 {
        let (session, point) = (SessionId(5), point(counter));
        table.apply(counter + 1, NOW.0, &Entry::Point { session, point });
    }
    relay.hub.handle_batch(NOW, &chat(), batch(&table, before));
    let batches = relay.pass();
    assert_eq!(batches.len(), 1, "{batches:?}");
    assert!(batches[0].header.from <= 12 && batches[0].header.from > 0);
    assert_eq!(batches[0].header.to, 13);
}

#[test]
fn what_the_upstream_did_not_tell_is_counted() {
    let table = upstream(50);
    let told = batch(&table, 0).entries[0].clone();
    assert_eq!(told.skipped, 50 - 33);
    let mut relay = Relay::new();
    relay.watch(None);
    relay.grant(&table, &["ben"]);
    assert!(relay.watching().is_some());
    let entry = relay.pass()[0].entries[0].clone();
    let listed = entry.earlier.len() as u64 + 1;
    assert_eq!(entry.skipped + listed, 50, "{entry:?}");
}

#[test]
fn a_stranger_is_refused_and_a_removed_member_hears_it() {
    let mut relay = Relay::new();
    relay.watch(None);
    relay.grant(&upstream(3), &["cem"]);
    assert!(relay.watching().is_none());

    let mut relay = Relay::new();
    relay.watch(None);
    relay.grant(&upstream(3), &["ben"]);
    assert!(relay.watching().is_some());
    while relay.hub.poll_command().is_some() {}
    let removed = Members {
        request: RequestNumber(0),
        chat: CHAT,
        offset: 9,
        more: false,
        members: vec![(UserName::new("ben").unwrap(), 0)],
    };
    relay.hub.handle_members(NOW, &removed);
    assert_eq!(
        relay.hub.poll_command(),
        None,
        "no shard has applied it yet"
    );
    relay.carry();
    let ended = |update: &Update| matches!(update, Update::WatchEnded(_));
    assert!(relay.frames().iter().any(ended));
    relay.carry();
    let seen = HubCommand::MembersSeen {
        chat: CHAT,
        offset: 9,
    };
    let commands: Vec<HubCommand> = std::iter::from_fn(|| relay.hub.poll_command()).collect();
    assert!(commands.contains(&seen), "{commands:?}");
}

#[test]
fn after_a_loss_nothing_is_shown_before_the_members_are_known() {
    let mut table = upstream(3);
    let mut relay = Relay::new();
    relay.watch(None);
    relay.grant(&table, &["ben"]);
    assert_eq!(relay.pass().len(), 1);
    relay.frames();
    let before = table.as_of();
    let (session, point) = (SessionId(5), point(4));
    table.apply(before + 1, NOW.0, &Entry::Point { session, point });
    relay.hub.handle_lost(NOW);
    relay.hub.handle_connected(LOG);
    let watching = Watching {
        request: RequestNumber(3),
        chat: CHAT,
        epoch: 1,
        horizon: 1,
        from: before,
    };
    relay.hub.handle_watching(&chat(), &watching);
    relay.hub.handle_batch(NOW, &chat(), batch(&table, before));
    assert_eq!(
        relay.pass(),
        [],
        "who was removed meanwhile must not see it"
    );
    let members = Members {
        request: RequestNumber(4),
        chat: CHAT,
        offset: table.as_of(),
        more: false,
        members: vec![(UserName::new("cem").unwrap(), 3)],
    };
    relay.hub.handle_members(NOW, &members);
    assert_eq!(relay.pass(), []);
    let ended = |update: &Update| matches!(update, Update::WatchEnded(_));
    assert!(relay.frames().iter().any(ended));
}

#[test]
fn crossings_are_told_to_those_who_see_the_session_and_alerts_are_not() {
    let table = upstream(3);
    let mut relay = Relay::new();
    relay.watch(None);
    relay.grant(&table, &["ben"]);
    relay.pass();
    relay.frames();
    let crossing = Crossing {
        chat: CHAT,
        offset: table.as_of() + 1,
        kind: CrossingKind::Enter,
        is_alert: false,
        at_ms: NOW.0,
        name: GeofenceName::new("summit").unwrap(),
        subject: (SessionId(5), UserName::new("ana").unwrap()),
        other: None,
    };
    let mut told = |crossing: Crossing| {
        relay.hub.handle_crossing(&crossing);
        relay.pass();
        let frames = relay.frames().into_iter();
        let of_fences = frames.filter(|update| matches!(update, Update::Crossing(_)));
        of_fences.collect::<Vec<_>>()
    };
    assert_eq!(
        told(crossing.clone()),
        [Update::Crossing(crossing.clone())],
        "once, as it came"
    );
    let alert = Crossing {
        is_alert: true,
        ..crossing.clone()
    };
    assert_eq!(told(alert), [], "whoever it is for is not the relay");
    let elsewhere = Crossing {
        chat: ChatHandle(4),
        ..crossing.clone()
    };
    assert_eq!(told(elsewhere), []);
    // The link is lost, and who the members are is not known yet.
    relay.hub.handle_lost(NOW);
    relay.hub.handle_connected(LOG);
    let watching = Watching {
        request: RequestNumber(3),
        chat: CHAT,
        epoch: 1,
        horizon: 1,
        from: table.as_of(),
    };
    relay.hub.handle_watching(&chat(), &watching);
    relay.hub.handle_crossing(&crossing);
    relay.pass();
    let is_crossing = |update: &Update| matches!(update, Update::Crossing(_));
    assert!(!relay.frames().iter().any(is_crossing));
}

#[test]
fn late_points_take_their_place_here_too() {
    let mut table = upstream(1);
    let mut relay = Relay::new();
    relay.watch(None);
    relay.grant(&table, &["ben"]);
    assert_eq!(relay.pass().len(), 1);
    let session = SessionId(5);
    let mut feed = |relay: &mut Relay, entry: &Entry| {
        let before = table.as_of();
        table.apply(before + 1, NOW.0, entry);
        relay.hub.handle_batch(NOW, &chat(), batch(&table, before));
        relay.pass()
    };
    let newest = point(5);
    feed(
        &mut relay,
        &Entry::Point {
            session,
            point: newest,
        },
    );
    let late = point(3);
    let batches = feed(
        &mut relay,
        &Entry::HistoricalPoint {
            session,
            point: late,
        },
    );
    let entry = &batches.last().expect("a batch").entries[0];
    let behind: Vec<u64> = entry.earlier.iter().map(|it| it.behind).collect();
    assert!(behind.contains(&2), "{entry:?}");
    assert_eq!(entry.skipped, 0);
}

#[test]
fn a_new_epoch_loses_no_point_that_the_trails_hold() {
    let mut table = upstream(3);
    let mut relay = Relay::new();
    relay.watch(None);
    relay.grant(&table, &["ben"]);
    assert_eq!(relay.pass().len(), 1);
    let before = table.as_of();
    table.set_epoch(2);
    for counter in 4..=6 {
        let (session, point) = (SessionId(5), point(counter));
        table.apply(counter + 1, NOW.0, &Entry::Point { session, point });
    }
    relay.hub.handle_connected(LOG);
    let watching = Watching {
        request: RequestNumber(3),
        chat: CHAT,
        epoch: 2,
        horizon: 1,
        from: before,
    };
    relay.hub.handle_watching(&chat(), &watching);
    relay.hub.handle_batch(NOW, &chat(), batch(&table, before));
    let members = Members {
        request: RequestNumber(4),
        chat: CHAT,
        offset: table.as_of(),
        more: false,
        members: vec![(UserName::new("ben").unwrap(), 3)],
    };
    relay.hub.handle_members(NOW, &members);
    let batches = relay.pass();
    let header = &batches[0].header;
    assert_eq!(
        (header.epoch, header.from),
        (2, 0),
        "cursors of before hold no longer"
    );
    assert_eq!(batches[0].entries[0].earlier.len(), 5, "{batches:?}");
}
