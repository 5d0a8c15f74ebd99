//! A shard that owns one chat with as many sharers as a bench wants: what it appends it follows, what it
//! proposes is promised at once. Points go all the way that they go in a server, sockets and log apart.

use skein_engine::control_state::ControlState;
use skein_engine::geofence::record::{GeofenceWish, Shape};
use skein_engine::identity::Identity;
use skein_engine::ids::{ConnectionId, PartitionId, RequestId, ShardId};
use skein_engine::limits::Limits;
use skein_engine::output::Output;
use skein_engine::record::OwnedRecord;
use skein_engine::request::{Actor, ChatRequest, ChatResult};
use skein_engine::shard::{Shard, ShardConfig};
use skein_engine::time::Timestamp;
use skein_wire::ids::{ChatName, ShareNumber, UserName};
use skein_wire::request::{Request, SharePoint};
use skein_wire::update::Update;

use crate::chat_table::{START_MS, point};
use crate::protocol;
use crate::thread_time;

/// The chat.
const CHAT: &str = "town";

/// Rights to share and to watch.
const RIGHTS: u8 = 3;

/// Milliseconds between two requests of a connection: beyond its rate.
const REQUEST_MS: u64 = 25;

/// Milliseconds between two points of a session.
const POINT_MS: u64 = 1_000;

/// Everybody shares on this one.
const CONNECTION: ConnectionId = ConnectionId(1);

/// The chat's partition, and its only epoch.
const PARTITION: PartitionId = PartitionId(0);
const EPOCH: u32 = 1;

/// The shard and what stands around it.
pub struct OwnerShard {
    shard: Shard,
    control: ControlState,
    now: Timestamp,
    /// Offset of the last record.
    offset: u64,
    requests: u64,
    appended: Vec<OwnedRecord>,
    shares: Vec<ShareNumber>,
    counter: u64,
}

impl OwnerShard {
    /// A chat in which so many sessions are live, each with a point.
    ///
    /// # Panics
    /// If the shard refuses one.
    pub fn new(sessions: usize) -> Self {
        let now = Timestamp(START_MS);
        let config = ShardConfig {
            shard: ShardId(0),
            shards: 1,
            partitions: 1,
            log_id: 1,
            limits: Limits {
                sessions_per_user_max: sessions,
                shares_per_connection_max: sessions,
                ..Limits::default()
            },
            seed: 1,
            relay: None,
        };
        let mut shard = Shard::new(config, now);
        shard.open_partition(PARTITION, &[(EPOCH, 1)], 1);
        shard.finish_recovery(now);
        let mut owner = Self {
            shard,
            control: ControlState::default(),
            now,
            offset: 0,
            requests: 0,
            appended: Vec::new(),
            shares: Vec::new(),
            counter: 0,
        };
        owner.put_member("sender");
        let identity = Identity {
            person: user("sender").into(),
            expires_at_ms: now.0 + 365 * 24 * 3_600_000,
        };
        owner.shard.handle_connected(now, CONNECTION, identity);
        for number in 0..sessions {
            owner.now = owner.now.plus_ms(REQUEST_MS);
            let share = protocol::share(CHAT, number);
            owner.shard.handle_frame(owner.now, CONNECTION, share);
            owner.settle();
        }
        assert_eq!(owner.shares.len(), sessions);
        owner.nanos();
        owner
    }

    /// Encloses something: for the chat, or as an alert of a member.
    ///
    /// # Panics
    /// If the shard refuses it.
    pub fn enclose(&mut self, name: &str, owner: Option<&str>, shape: Shape) {
        if let Some(name) = owner {
            self.put_member(name);
        }
        let wish = GeofenceWish {
            chat: chat(),
            name: name.parse().expect("a name"),
            owner: owner.map(user),
            shape,
            user: None,
            session: None,
            dwell_s: 0,
            once: false,
            duration_s: owner.map(|_| 3_600),
        };
        let actor = Actor::Control;
        self.ask(ChatRequest::PutGeofence { actor, wish });
    }

    /// Gives every session a newer point; nanoseconds of each, from its frame to the table.
    pub fn nanos(&mut self) -> f64 {
        self.now = self.now.plus_ms(POINT_MS);
        self.shard.handle_timeout(self.now);
        self.settle();
        self.counter += 1;
        let counter = self.counter;
        let frames = self.shares.iter().enumerate().map(|(index, share)| {
            Request::Point(SharePoint {
                share: *share,
                durable: false,
                point: point(index, counter),
            })
        });
        let frames: Vec<Request> = frames.collect();
        let before = self.offset;
        let began = thread_time::now();
        for frame in frames {
            self.shard.handle_frame(self.now, CONNECTION, frame);
        }
        self.settle();
        let took = thread_time::since(began);
        let points = self.shares.len();
        assert!(self.offset - before >= points as u64, "a point was refused");
        took.as_secs_f64() * 1e9 / points as f64
    }

    fn put_member(&mut self, name: &str) {
        self.ask(ChatRequest::PutMember {
            chat: chat(),
            user: user(name),
            rights: RIGHTS,
            expected: None,
        });
    }

    fn ask(&mut self, request: ChatRequest) {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.shard.handle_request(self.now, id, request);
        let reply = self.settle();
        assert!(matches!(reply, Some(Ok(_))), "{reply:?}");
    }

    /// Does what the shard asks for until it asks for nothing; its last reply.
    fn settle(&mut self) -> Option<ChatResult> {
        let mut last = None;
        while let Some(output) = self.poll() {
            match output {
                Output::Append { record, .. } => self.appended.push(record),
                Output::Propose { proposal, command } => {
                    let index = self.control.applied_index() + 1;
                    let handle = self.control.apply(index, &command).handle;
                    let proposal = Some(proposal);
                    self.shard
                        .handle_committed(self.now, index, proposal, &command, handle);
                }
                Output::Frame {
                    update: Update::Shared(shared),
                    ..
                } => self.shares.push(shared.share),
                Output::Reply { reply, .. } => last = Some(reply),
                Output::Close { code, .. } => panic!("closed: {code:?}"),
                _ => {}
            }
        }
        last
    }

    /// The next output; where there is none, what was appended is followed first.
    fn poll(&mut self) -> Option<Output> {
        if let Some(output) = self.shard.poll_output() {
            return Some(output);
        }
        for record in std::mem::take(&mut self.appended) {
            self.offset += 1;
            let (offset, time_ms) = (self.offset, self.now.0);
            self.shard
                .follow(self.now, PARTITION, EPOCH, offset, time_ms, record.as_raw());
        }
        self.shard.poll_output()
    }
}

fn chat() -> ChatName {
    ChatName::new(CHAT).expect("a chat's name")
}

fn user(name: &str) -> UserName {
    UserName::new(name).expect("a user's name")
}
