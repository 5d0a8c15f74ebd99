//! A disk that loses records and then works again, with the real log: what the shard holds of them is
//! written anew behind the loss, also if nothing moves any more, and survives the next power failure.

use skein_engine::request::{Actor, ChatReply, ChatRequest, PointsRequest, StartRequest};
use skein_engine::rights::Rights;
use skein_log::Operation;
use skein_tests::sim::network::Network;
use skein_tests::sim::random::Random;
use skein_tests::sim::server::{Disk, Keeping, Sabotage, SimServer};
use skein_wire::ids::{ChatName, Counter, SessionId, UserName};
use skein_wire::point::{Payload, Point};

/// Moments of the crash, and what it leaves, differ by seed.
const SEEDS: u64 = 40;

/// Bytes of a point: large ones fill segments soon.
const BLOB_BYTES: usize = 128;

/// Points of an upload, and milliseconds in which the rate limit lets as many more come.
const UPLOAD: u64 = 64;
const UPLOAD_MS: u64 = 2_000;

/// Simulated time between two turns of the server, milliseconds.
const TURN_MS: u64 = 20;

/// Simulated time without any input, milliseconds.
const QUIET_MS: u64 = 30_000;

/// No checkpoint comes but by size, for which it takes some points, and for what was lost.
const KEEPING: Keeping = Keeping {
    retention_bytes: None,
    checkpoint_age_ms: None,
};

struct Scene {
    disk: Disk,
    server: SimServer,
    network: Network,
    random: Random,
    now_ms: u64,
    counter: u64,
}

fn chat() -> ChatName {
    ChatName::new("harbour").expect("a name")
}

fn ana() -> UserName {
    UserName::new("ana").expect("a name")
}

fn start(disk: &Disk, now_ms: u64, random: &mut Random) -> SimServer {
    let server = SimServer::start_keeping(disk, Sabotage::default(), 2, KEEPING, now_ms, random);
    server.expect("an honest disk")
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let disk = Disk::new(Sabotage::default());
        let now_ms = 1_700_000_000_000;
        let server = start(&disk, now_ms, &mut random);
        Self {
            server,
            disk,
            network: Network::new(Random::new(seed), 0),
            random,
            now_ms,
            counter: 0,
        }
    }

    fn turn(&mut self) {
        self.now_ms += TURN_MS;
        self.server.run_shards(self.now_ms, &mut self.network);
        self.server.run_control(self.now_ms);
        self.server.run_janitor(self.now_ms);
    }

    fn be_quiet(&mut self) {
        for _ in 0..QUIET_MS / TURN_MS {
            self.turn();
        }
    }

    /// A request of the control API and its answer.
    fn ask(&mut self, request: ChatRequest) -> ChatReply {
        let id = self.server.request(self.now_ms, request);
        for _ in 0..100 {
            self.turn();
            let answers = self.server.take_answers();
            if let Some(answer) = answers.into_iter().find(|answer| answer.request == id) {
                return answer.result.expect("a good request");
            }
        }
        panic!("no answer");
    }

    fn start_session(&mut self) -> SessionId {
        self.ask(ChatRequest::PutMember {
            chat: chat(),
            user: ana(),
            rights: Rights::ALL.bits(),
            expected: None,
        });
        let start = ChatRequest::Start(StartRequest {
            chat: chat(),
            actor: Actor::Control,
            user: ana(),
            duration_s: 3_600,
            idempotency_key: "key".to_owned(),
            sealed: true,
        });
        match self.ask(start) {
            ChatReply::Session(session) => session.session,
            other => panic!("no session: {other:?}"),
        }
    }

    fn post(&mut self, session: SessionId, count: u64) {
        let counters = self.counter + 1..=self.counter + count;
        self.counter += count;
        let points = counters.map(|counter| Point {
            counter: Counter(counter),
            captured_at_ms: self.now_ms as i64,
            payload: Payload::Sealed(vec![7; BLOB_BYTES].into()),
        });
        let request = ChatRequest::Points(PointsRequest {
            chat: chat(),
            session,
            actor: Actor::Control,
            historical: false,
            durable: false,
            points: points.collect(),
        });
        let ChatReply::Points(reply) = self.ask(request) else {
            panic!("no answer about points");
        };
        assert_eq!(u64::from(reply.accepted), count, "{:?}", reply.verdicts);
    }

    /// The counter of the point that the owner holds.
    fn newest(&self, session: SessionId) -> Option<u64> {
        let owner = self.server.engine(self.server.owner(&chat()));
        let rows = owner.content(&chat())?.rows;
        let (_, row) = rows.iter().find(|(id, _)| *id == session)?;
        row.newest.as_ref().map(|point| point.counter.0)
    }

    /// The power fails, and the next server starts with what is left.
    fn lose_power(&mut self) {
        self.disk = self.disk.crash(self.random.bits(), Sabotage::default());
        self.server = start(&self.disk, self.now_ms, &mut self.random);
        self.turn();
    }
}

#[test]
fn the_newest_point_survives_although_its_sync_failed() {
    for seed in 0..SEEDS {
        let mut scene = Scene::new(seed);
        let session = scene.start_session();
        scene.post(session, 1);
        scene.be_quiet();
        scene.post(session, 1);
        scene.disk.log().fail_call(Operation::Sync, 0);
        scene.be_quiet();
        scene.lose_power();
        assert_eq!(scene.newest(session), Some(2), "seed {seed}");
    }
}

#[test]
fn the_newest_point_survives_although_the_disk_was_full() {
    for seed in 0..SEEDS / 4 {
        let mut scene = Scene::new(seed);
        let session = scene.start_session();
        scene.post(session, 1);
        scene.be_quiet();
        scene.disk.log().set_capacity_bytes(Some(0));
        while !scene.server.is_degraded() {
            scene.post(session, UPLOAD);
            scene.now_ms += UPLOAD_MS;
        }
        scene.post(session, 1);
        scene.be_quiet();
        assert!(
            scene.server.is_degraded(),
            "seed {seed}: nothing has changed"
        );
        scene.disk.log().set_capacity_bytes(None);
        // The janitor asks a full disk again now and then.
        scene.be_quiet();
        assert!(!scene.server.is_degraded(), "seed {seed}: by itself");
        scene.lose_power();
        assert_eq!(scene.newest(session), Some(scene.counter), "seed {seed}");
    }
}
