//! An erase over a log in memory: what goes, what stays, and what a cut-off one leaves to the next.

use std::sync::Arc;

use skein_engine::command::Command;
use skein_engine::control_state::ControlState;
use skein_engine::ids::PartitionId as EnginePartition;
use skein_engine::journal::{Crossed, Entry, Started, kind};
use skein_engine::shard::forgetting::Forgotten;
use skein_log::{
    Janitor, Log, MemoryStorage, Operation, Options, PartitionId, Reader, Record, Writer,
};
use skein_wire::ids::{ChatHandle, ChatName, Counter, GeofenceName, SessionId, Slot, UserName};
use skein_wire::point::{Fix, Payload, Point, Position};
use skein_wire::update::CrossingKind;

use crate::chat_names::ChatNames;
use crate::erase_scope::EraseScope;
use crate::log_erase::{Erase, Erased, Means, Others, Owner, erase};

const PARTITION: PartitionId = PartitionId(0);
const CHAT: ChatHandle = ChatHandle(1);
const ANA: SessionId = SessionId(10);
const BEN: SessionId = SessionId(20);

fn user(name: &str) -> UserName {
    UserName::new(name).expect("a name")
}

/// A log in memory with its writer, and the owner of its chat in the plainest way.
struct Stage {
    storage: Arc<MemoryStorage>,
    _log: Log,
    writer: Writer,
    janitor: Janitor,
    reader: Reader,
    means: Means,
    live: Vec<SessionId>,
    checkpoints: u64,
    /// Chats that name somebody though the log does not.
    naming: Vec<ChatName>,
    /// The disk refuses a call as soon as records are taken out.
    failing: Option<(Operation, u64)>,
    /// How often it is asked before all shards have followed.
    late: u32,
}

impl Stage {
    fn new() -> Self {
        let storage = MemoryStorage::new();
        let options = Options {
            partitions: 1,
            ..Options::default()
        };
        let (mut log, _) = Log::open(storage.clone(), options, 0, 1).expect("a log");
        let writer = log.take_writer(PARTITION).expect("taken once");
        let janitor = log.take_janitor().expect("taken once");
        let mut control = ControlState::default();
        let chat = "hike".to_owned();
        control.apply(1, &Command::NameChat { chat });
        let means = Means {
            readers: vec![log.reader(PARTITION)],
            rewriter: log.rewriter(),
            names: Arc::new(ChatNames::of(&control)),
            others: Others {
                history: Box::new(|_| Ok(None)),
                views: Box::new(|_| Ok(None)),
                control: Box::new(|_| Ok(None)),
                dead_letters: Box::new(|_| Ok(None)),
            },
        };
        Self {
            storage,
            reader: log.reader(PARTITION),
            _log: log,
            writer,
            janitor,
            means,
            live: Vec::new(),
            checkpoints: 0,
            naming: Vec::new(),
            failing: None,
            late: 0,
        }
    }

    fn append(&mut self, entry: &Entry) {
        let chat = match entry {
            Entry::CheckpointBegin { .. } | Entry::CheckpointEnd { .. } => ChatHandle(0),
            _ => CHAT,
        };
        let record = entry.encode(chat);
        let record = Record {
            kind: record.kind,
            flags: record.flags,
            key: record.key,
            extension: record.extension,
            payload: record.payload.as_slice(),
        };
        self.writer.append(0, &[record]).expect("appended");
    }

    fn start(&mut self, session: SessionId, name: &str) {
        let started = Started {
            slot: Slot(session.0 as u32),
            user: user(name),
            started_at_ms: 1,
            expires_at_ms: 9,
            sealed: false,
        };
        self.append(&Entry::Started { session, started });
    }

    fn point(&mut self, session: SessionId) {
        let point = Point {
            counter: Counter(1),
            captured_at_ms: 5,
            payload: Payload::Fix(Fix {
                position: Position {
                    lat_e6: 1,
                    lon_e6: 2,
                },
                ..Fix::default()
            }),
        };
        self.append(&Entry::Point { session, point });
    }

    /// A crossing of Ben's session, seen by somebody's alert.
    fn alert(&mut self, owner: &str) {
        let crossed = Box::new(Crossed {
            kind: CrossingKind::Enter,
            at_ms: 6,
            name: GeofenceName::new("gate").expect("a name"),
            user: user("ben"),
            other: None,
            owner: Some(user(owner)),
        });
        let session = BEN;
        self.append(&Entry::Crossed { session, crossed });
    }

    fn close(&mut self) {
        self.writer.close_segment();
        self.writer.sync_now().expect("synced");
        self.janitor.work(0);
    }

    /// Two segments: Ana's name is in the first one, points of hers in both.
    fn filled() -> Self {
        let mut stage = Self::new();
        for (session, name) in [(ANA, "ana"), (BEN, "ben")] {
            let (user, rights) = (user(name), 3);
            stage.append(&Entry::MemberPut { user, rights });
            stage.start(session, name);
            stage.point(session);
        }
        stage.close();
        stage.point(ANA);
        stage.point(BEN);
        stage.alert("ana");
        stage.alert("ben");
        let user = user("ana");
        stage.append(&Entry::MemberRemoved { user });
        stage
    }

    fn erase(&mut self, name: &str) -> anyhow::Result<Option<Erased>> {
        let scope = EraseScope {
            chat: None,
            user: Some(user(name)),
        };
        let means = Means {
            readers: self.means.readers.clone(),
            rewriter: self.means.rewriter.clone(),
            names: Arc::clone(&self.means.names),
            others: Others {
                history: Box::new(|_| Ok(None)),
                views: Box::new(|_| Ok(None)),
                control: Box::new(|_| Ok(None)),
                dead_letters: Box::new(|_| Ok(None)),
            },
        };
        erase(&scope, self, &means)
    }

    /// Kinds and sessions of what is there, without checkpoints, in order.
    fn left(&self) -> Vec<(u8, u64)> {
        let mut reader = self.reader.clone();
        reader.seek(1);
        let mut left = Vec::new();
        while let Ok(Some(batch)) = reader.next_batch() {
            let records = batch.records();
            let records = records.filter(|(_, record)| record.kind < kind::CHECKPOINT_BEGIN);
            left.extend(records.map(|(_, record)| (record.kind, record.extension)));
        }
        left
    }
}

impl Owner for Stage {
    fn chats_naming(&mut self, _user: &UserName) -> anyhow::Result<Vec<ChatName>> {
        Ok(self.naming.clone())
    }

    fn forget(&mut self, erase: &Erase) -> anyhow::Result<Option<Forgotten>> {
        assert_eq!(erase.chat, ChatName::new("hike").expect("a name"));
        Ok(Some(Forgotten {
            partition: EnginePartition(0),
            chat: CHAT,
            live: self.live.clone(),
            alerts: 0,
        }))
    }

    fn is_past(&mut self, _chat: &ChatName, offset: u64) -> anyhow::Result<bool> {
        assert_eq!(Some(offset), self.reader.checkpoint());
        let is_late = self.late > 0;
        self.late = self.late.saturating_sub(1);
        if is_late {
            assert!(self.left().contains(&(kind::STARTED, ANA.0)));
        } else if let Some((operation, after)) = self.failing.take() {
            self.storage.fail_call(operation, after);
        }
        Ok(!is_late)
    }

    fn begin_checkpoint(&mut self, _partition: PartitionId) -> anyhow::Result<()> {
        self.checkpoints += 1;
        let number = self.checkpoints;
        let begin = self.writer.next_offset();
        self.append(&Entry::CheckpointBegin { number });
        self.append(&Entry::CheckpointEnd { number });
        let end = self.writer.next_offset() - 1;
        self.writer.set_checkpoint(begin, end);
        self.writer.sync_now().expect("synced");
        self.janitor.work(0);
        Ok(())
    }

    fn close_segment(&mut self, _partition: PartitionId) {
        self.close();
    }
}

/// What stays of the stage when nothing of Ana is there.
const OF_BEN: [(u8, u64); 5] = [
    (kind::MEMBER_PUT, 0),
    (kind::STARTED, BEN.0),
    (kind::POINT, BEN.0),
    (kind::POINT, BEN.0),
    (kind::CROSSED, BEN.0),
];

#[test]
fn points_and_names_go_and_what_is_of_others_stays() {
    let mut stage = Stage::filled();
    stage.late = 1;
    let erased = stage.erase("ana").expect("erased").expect("a chat");
    assert_eq!(stage.left(), OF_BEN);
    assert_eq!((erased.records_removed, erased.records_left), (6, 0));
    let again = stage.erase("ana").expect("erased");
    assert_eq!(again, Some(Erased::default()), "no chat knows her");
}

#[test]
fn the_start_of_a_session_that_goes_on_stays_until_it_is_over() {
    let mut stage = Stage::filled();
    stage.live = vec![ANA];
    let erased = stage.erase("ana").expect("erased").expect("a chat");
    assert_eq!(erased.sessions_live, 1);
    assert!(stage.left().contains(&(kind::STARTED, ANA.0)));
    assert!(!stage.left().contains(&(kind::POINT, ANA.0)));
    stage.live.clear();
    stage.erase("ana").expect("erased");
    assert_eq!(stage.left(), OF_BEN);
}

/// Whatever call of taking out the disk refuses: the next erase finds what this one has left.
#[test]
fn an_erase_that_was_cut_short_can_be_repeated() {
    // Two files for the points, two for the names.
    for after in 0..4 {
        let mut stage = Stage::filled();
        stage.close();
        stage.failing = Some((Operation::Create, after));
        let cut_short = stage.erase("ana");
        assert!(cut_short.is_err(), "{after}: {cut_short:?}");
        stage.erase("ana").expect("erased");
        assert_eq!(stage.left(), OF_BEN, "{after}");
    }
}

#[test]
fn a_damaged_file_is_named_the_others_are_erased_and_names_stay() {
    let mut stage = Stage::filled();
    stage.close();
    let damaged = "p00000-00000000000000000001.seg";
    // In the payload of its first record, a membership.
    stage.storage.flip_bit(damaged, 4_096 + 40 + 16, 1);
    let erased = stage.erase("ana").expect("erased").expect("a chat");
    assert_eq!(erased.damaged, [damaged]);
    assert!(erased.leaves_something());
    let left = stage.left();
    assert!(
        left.contains(&(kind::MEMBER_REMOVED, 0)),
        "in a good file: {left:?}"
    );
    let points = left.iter().filter(|it| **it == (kind::POINT, ANA.0));
    assert_eq!(points.count(), 1, "the one in the damaged file");
}

#[test]
fn a_chat_that_names_somebody_elsewhere_is_looked_into() {
    let mut stage = Stage::filled();
    stage.naming = vec![ChatName::new("hike").expect("a name")];
    let erased = stage.erase("eve").expect("erased").expect("a report");
    assert_eq!((erased.chats, erased.records_removed), (1, 0));
}
