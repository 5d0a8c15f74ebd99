//! Retention against mirrors, with the real log: what a shard has not followed yet, or has to read
//! again, is gone. The mirror asks for an image and comes to what the owner has at once, not only with
//! the next change.

use bytes::Bytes;
use skein_engine::identity::Identity;
use skein_engine::placement::partition_of;
use skein_engine::request::{Actor, ChatReply, ChatRequest, PointsRequest, StartRequest};
use skein_engine::rights::Rights;
use skein_tests::sim::clients::SimViewer;
use skein_tests::sim::network::{Arrival, LinkKind, Network};
use skein_tests::sim::random::Random;
use skein_tests::sim::server::{Disk, Keeping, PARTITIONS, Sabotage, SimServer};
use skein_wire::ids::{ChatName, Counter, SessionId, UserName};
use skein_wire::point::{Payload, Point};
use skein_wire::request::Delivery;

/// Bytes of a partition that the log keeps: two of its segments.
const RETENTION_BYTES: u64 = 512 * 1024;

/// Bytes of a point: large ones fill segments soon.
const BLOB_BYTES: usize = 128;

/// Sessions of the chat: several slices of an image.
const SESSIONS: u64 = 8;

/// Points of an upload, and milliseconds in which the rate limit lets as many more come.
const UPLOAD: u64 = 64;
const UPLOAD_MS: u64 = 1_000;

/// Rings and moments differ by seed.
const SEEDS: u64 = 12;

struct Scene {
    server: SimServer,
    network: Network,
    viewer: SimViewer,
    now_ms: u64,
    sessions: Vec<SessionId>,
    counter: u64,
}

fn chat() -> ChatName {
    ChatName::new("harbour").expect("a name")
}

fn ana() -> UserName {
    UserName::new("ana").expect("a name")
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (disk, sabotage) = (Disk::new(Sabotage::default()), Sabotage::default());
        let now_ms = 1_700_000_000_000;
        let keeping = Keeping {
            retention_bytes: Some(RETENTION_BYTES),
            ..Keeping::default()
        };
        let server = SimServer::start_keeping(&disk, sabotage, 2, keeping, now_ms, &mut random);
        let mut network = Network::new(Random::new(seed), 0);
        network.faulty = false;
        let mut scene = Self {
            server: server.expect("an empty disk"),
            network,
            viewer: SimViewer::new(ana(), chat(), LinkKind::Ordered, (Delivery::Latest, None)),
            now_ms,
            sessions: Vec::new(),
            counter: 0,
        };
        scene.populate();
        scene
    }

    fn populate(&mut self) {
        for number in 0..SESSIONS {
            let user = UserName::new(&format!("user-{}", number / 4)).expect("a name");
            self.put_member(user.clone());
            let start = ChatRequest::Start(StartRequest {
                chat: chat(),
                actor: Actor::Control,
                user,
                duration_s: 3_600,
                idempotency_key: number.to_string(),
                sealed: true,
            });
            let ChatReply::Session(session) = self.ask(start) else {
                panic!("no session");
            };
            self.sessions.push(session.session);
        }
        self.put_member(ana());
    }

    fn put_member(&mut self, user: UserName) {
        self.ask(ChatRequest::PutMember {
            chat: chat(),
            user,
            rights: Rights::ALL.bits(),
            expected: None,
        });
    }

    fn owner(&self) -> usize {
        self.server.owner(&chat())
    }

    fn mirror(&self) -> usize {
        1 - self.owner()
    }

    /// A request of the control API and its answer; only the owner runs.
    fn ask(&mut self, request: ChatRequest) -> ChatReply {
        let id = self.server.request(self.now_ms, request);
        for _ in 0..100 {
            self.step(&[self.owner()]);
            let answers = self.server.take_answers();
            if let Some(answer) = answers.into_iter().find(|answer| answer.request == id) {
                return answer.result.expect("a good request");
            }
        }
        panic!("no answer");
    }

    /// Some time goes by, in which these shards run.
    fn step(&mut self, shards: &[usize]) {
        self.now_ms += 20;
        while let Some(arrival) = self.network.arrive(self.now_ms) {
            match arrival {
                Arrival::Frames(_, frames) => self.viewer.frames(self.now_ms, frames),
                Arrival::ClosedAtClient(_) => panic!("the connection broke"),
                other => self.server.arrive(self.now_ms, &mut self.network, other),
            }
        }
        self.viewer.live(self.now_ms, &mut self.network);
        for &shard in shards {
            self.server.run_shard(self.now_ms, &mut self.network, shard);
        }
        self.server.run_control(self.now_ms);
        self.server.run_janitor(self.now_ms);
    }

    fn run(&mut self) {
        for _ in 0..60 {
            self.step(&[0, 1]);
        }
    }

    /// The viewer connects to the shard that mirrors the chat.
    fn connect(&mut self) {
        let identity = Identity {
            person: ana().into(),
            expires_at_ms: u64::MAX / 4,
        };
        let key = self.server.connect(self.now_ms, self.mirror(), identity);
        self.network.open(key, 0, LinkKind::Ordered);
        self.viewer.connected(key);
    }

    /// One upload of the next session; only the owner runs.
    fn upload(&mut self) {
        let session = self.sessions[(self.counter / UPLOAD % SESSIONS) as usize];
        let counters = self.counter + 1..=self.counter + UPLOAD;
        self.counter += UPLOAD;
        let points = counters.map(|counter| Point {
            counter: Counter(counter),
            captured_at_ms: self.now_ms as i64,
            payload: Payload::Sealed(Bytes::from(vec![counter as u8; BLOB_BYTES])),
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
        assert_eq!(reply.accepted, UPLOAD as u32, "{:?}", reply.verdicts);
        self.now_ms += UPLOAD_MS / SESSIONS;
    }

    fn head(&self) -> u64 {
        self.reader().appended()
    }

    fn reader(&self) -> skein_log::Reader {
        self.server.reader(partition_of(&chat(), PARTITIONS).0)
    }

    /// The owner goes on alone until the log has nothing of what there is now.
    fn leave_behind(&mut self) {
        let head = self.head();
        for _ in 0..1_000 {
            self.upload();
            if self.reader().first_offset() > head + 1 {
                return;
            }
        }
        panic!("retention drops nothing");
    }

    fn images(&self) -> u64 {
        self.server.engine(self.owner()).stats().images_sent
    }

    /// Mirror and viewer have what the owner has.
    fn check(&self) {
        assert_eq!(self.server.compare_mirrors(&chat()), Ok(1));
        let content = self.server.engine(self.owner()).content(&chat());
        let mut newest: Vec<(SessionId, u64)> = content
            .expect("the owner has it")
            .rows
            .iter()
            .map(|(session, row)| (*session, row.newest.as_ref().map_or(0, |p| p.counter.0)))
            .collect();
        newest.sort_unstable();
        assert_eq!(self.viewer.rows(), newest);
    }
}

#[test]
fn a_mirror_that_retention_overtakes_heals_at_once() {
    for seed in 0..SEEDS {
        let mut scene = Scene::new(seed);
        scene.connect();
        scene.run();
        scene.check();
        assert_eq!(scene.images(), 1, "seed {seed}");
        scene.upload();
        scene.leave_behind();
        // Nothing changes any more.
        scene.run();
        assert_eq!(scene.images(), 2, "seed {seed}");
        scene.check();
        scene.upload();
        scene.run();
        assert_eq!(scene.images(), 2, "seed {seed}: it follows again");
        scene.check();
    }
}

#[test]
fn an_image_whose_stretch_retention_overtakes_is_asked_for_again() {
    for seed in 0..SEEDS {
        let mut scene = Scene::new(seed);
        let (owner, mirror) = (scene.owner(), scene.mirror());
        scene.upload();
        scene.connect();
        while scene.server.engine(owner).stats().image_rows_copied == 0 {
            scene.step(&[mirror]);
            scene.step(&[owner]);
        }
        assert_eq!(scene.images(), 0, "seed {seed}: slices are on their way");
        scene.leave_behind();
        scene.run();
        assert_eq!(scene.images(), 2, "seed {seed}");
        scene.check();
        scene.upload();
        scene.run();
        assert_eq!(scene.images(), 2, "seed {seed}: it follows again");
        scene.check();
    }
}
