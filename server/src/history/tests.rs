//! The history's thread, round by round, over a log in memory and a database in a folder.

mod rewriting;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use skein_engine::command::Command;
use skein_engine::control_state::ControlState;
use skein_engine::journal::{Entry, Started, kind};
use skein_engine::record::OwnedRecord;
use skein_log::{Log, MemoryStorage, Options, PartitionId, Record, Writer};
use skein_wire::ids::{ChatHandle, Counter, SessionId, Slot, UserName};
use skein_wire::point::{Fix, Payload, Point, Position};
use skein_wire::update::SessionState;

use crate::clock::Clock;
use crate::history::erase::EraseWhat;
use crate::history::idle;
use crate::history::limits::{
    SCRUB_INLINE_BYTES_MAX, SHRINK_BYTES_PER_ROUND, SHRINK_FREE_BYTES_MIN,
};
use crate::history::message::Message;
use crate::history::query::{HistoryQuery, Page, PageReader};
use crate::history::row::StoredPoint;
use crate::history::sampler::SessionKey;
use crate::history::schema;
use crate::history::stats::HISTORY_METRICS;
use crate::history::store::Store;
use crate::history::thread::{Worker, WorkerStart};
use crate::metrics::{MetricRow, MetricsBoard};

const CHAT: u32 = 1;
const EVERY_MS: u64 = 10_000;
const DAY_MS: u64 = 86_400_000;
/// A coordinate that can be looked for in a file.
const LAT_E6: i32 = 45_281_237;

struct Rig {
    dir: tempfile::TempDir,
    storage: Arc<MemoryStorage>,
    log: Option<Log>,
    writer: Option<Writer>,
    worker: Option<Worker>,
    /// What the control log says of sessions.
    state: ControlState,
    commands: u64,
    metrics: Arc<MetricRow>,
    now_ms: u64,
    counter: u64,
}

fn options() -> Options {
    Options {
        partitions: 1,
        ..Options::default()
    }
}

fn ana() -> UserName {
    UserName::new("ana").unwrap()
}

impl Rig {
    fn new() -> Self {
        let mut board = MetricsBoard::default();
        let mut rig = Self {
            dir: tempfile::tempdir().unwrap(),
            storage: MemoryStorage::new(),
            log: None,
            writer: None,
            worker: None,
            state: ControlState::default(),
            commands: 0,
            metrics: board.once(HISTORY_METRICS),
            // The begin of a window, an hour ago.
            now_ms: (Clock::start().now_ms() - 3_600_000) / EVERY_MS * EVERY_MS,
            counter: 0,
        };
        rig.open();
        rig
    }

    fn open(&mut self) {
        let (mut log, _) = Log::open(self.storage.clone(), options(), self.now_ms, 7).unwrap();
        self.writer = log.take_writer(PartitionId(0));
        self.log = Some(log);
        self.open_worker();
    }

    fn folder(&self) -> &Path {
        self.dir.path()
    }

    fn open_worker(&mut self) {
        self.worker = None;
        let log = self.log.as_ref().unwrap();
        let start = WorkerStart {
            store: Store::open(self.folder(), "log").unwrap(),
            readers: vec![log.reader(PartitionId(0))],
            consumer: log.consumer("history").unwrap(),
            every_ms: EVERY_MS,
            retain_ms: DAY_MS,
            clock: Clock::start(),
            metrics: self.metrics.clone(),
        };
        self.worker = Some(Worker::new(start, &self.state).unwrap());
    }

    fn append(&mut self, entry: &Entry) {
        let record = entry.encode(ChatHandle(CHAT));
        self.append_record(&record);
    }

    fn append_record(&mut self, record: &OwnedRecord) {
        let record = Record {
            kind: record.kind,
            flags: record.flags,
            key: record.key,
            extension: record.extension,
            payload: record.payload.as_slice(),
        };
        let writer = self.writer.as_mut().unwrap();
        writer.append(self.now_ms, &[record]).unwrap();
    }

    fn command(&mut self, command: &Command) {
        self.commands += 1;
        self.state.apply(self.commands, command);
    }

    fn start(&mut self, session: u64, user: &str) {
        self.command(&Command::PutMember {
            chat: "c".to_owned(),
            user: user.to_owned(),
            rights: 3,
        });
        self.command(&Command::StartSession {
            chat: "c".to_owned(),
            session,
            user: user.to_owned(),
            started_at_ms: self.now_ms,
            expires_at_ms: self.now_ms + DAY_MS,
            duration_s: 86_400,
            idempotency_key: session.to_string(),
            sealed: false,
        });
        let started = Started {
            slot: Slot(0),
            user: UserName::new(user).unwrap(),
            started_at_ms: self.now_ms,
            expires_at_ms: self.now_ms + DAY_MS,
            sealed: false,
        };
        let session = SessionId(session);
        self.append(&Entry::Started { session, started });
    }

    fn end(&mut self, session: u64) {
        self.command(&Command::EndSession {
            chat: "c".to_owned(),
            session,
            state: SessionState::Stopped as u8,
            at_ms: self.now_ms,
            user: String::new(),
        });
        self.append(&Entry::Ended {
            session: SessionId(session),
            state: SessionState::Stopped,
            at_ms: self.now_ms,
        });
    }

    fn next_point(&mut self) -> Point {
        self.counter += 1;
        Point {
            counter: Counter(self.counter),
            captured_at_ms: self.now_ms as i64,
            payload: Payload::Fix(Fix {
                position: Position {
                    lat_e6: LAT_E6,
                    lon_e6: 13_713_000 + self.counter as i32,
                },
                ..Fix::default()
            }),
        }
    }

    /// A live point of the session, some time later.
    fn point(&mut self, session: u64, later_ms: u64) {
        self.now_ms += later_ms;
        let point = self.next_point();
        let session = SessionId(session);
        self.append(&Entry::Point { session, point });
    }

    fn sync(&mut self) {
        self.writer.as_mut().unwrap().sync_now().unwrap();
    }

    fn round(&mut self) {
        self.sync();
        let _ = self.worker.as_mut().unwrap().round();
    }

    fn erase(&mut self, what: EraseWhat) -> crate::history::erase::EraseReport {
        // The way that requests take; the thread ends when nobody is left to ask.
        let (sender, inbox) = mpsc::channel();
        let (answer, receiver) = tokio::sync::oneshot::channel();
        sender.send(Message::Erase(what, answer)).unwrap();
        drop(sender);
        self.worker.take().unwrap().run(&inbox);
        self.open_worker();
        receiver.blocking_recv().unwrap().unwrap()
    }

    fn page(&self, change: impl FnOnce(&mut HistoryQuery)) -> Page {
        let mut query = HistoryQuery {
            chat: CHAT,
            partition: 0,
            from_ms: 0,
            to_ms: u64::MAX,
            user: None,
            session: None,
            after: None,
            limit: 10_000,
        };
        change(&mut query);
        PageReader::new(self.folder()).page(&query).unwrap()
    }

    fn counters(&self) -> Vec<u64> {
        let page = self.page(|_| {});
        page.rows.iter().map(|row| row.point.counter.0).collect()
    }

    fn metric(&self, name: &str) -> u64 {
        let index = HISTORY_METRICS
            .iter()
            .position(|metric| metric.name == name)
            .expect(name);
        self.metrics.get(index)
    }
}

#[test]
fn a_death_between_any_two_rounds_loses_and_doubles_nothing() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    let mut expected = Vec::new();
    for step in 0..60 {
        rig.point(1, 3_700);
        let at_ms = rig.now_ms;
        if expected
            .last()
            .is_none_or(|(window, _)| *window != at_ms / EVERY_MS)
        {
            expected.push((at_ms / EVERY_MS, rig.counter));
        }
        if step % 3 == 0 {
            rig.round();
        }
        if step % 4 == 0 {
            // Nothing of the thread but its database is left.
            rig.open_worker();
        }
    }
    rig.round();
    let expected: Vec<u64> = expected.iter().map(|(_, counter)| *counter).collect();
    assert_eq!(rig.counters(), expected);
    assert!(expected.len() > 15, "{expected:?}");
}

#[test]
fn what_is_not_durable_is_not_kept() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    rig.point(1, 0);
    rig.round();
    rig.point(1, EVERY_MS);
    let _ = rig.worker.as_mut().unwrap().round();
    assert_eq!(rig.counters(), [1], "the second may be lost yet");
    assert_eq!(rig.metric("history_lag_records"), 1);
    rig.round();
    assert_eq!(rig.counters(), [1, 2]);
    assert_eq!(rig.metric("history_lag_records"), 0);
}

#[test]
fn rows_of_records_that_the_log_lost_go_with_them() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    rig.point(1, 0);
    rig.point(1, EVERY_MS);
    rig.round();
    assert_eq!(rig.counters(), [1, 2]);
    let now_ms = rig.now_ms;
    let writer = rig.writer.as_mut().unwrap();
    writer.truncate_after(now_ms, 2).unwrap();
    rig.point(1, EVERY_MS);
    rig.open_worker();
    rig.round();
    assert_eq!(rig.counters(), [1, 3]);
}

#[test]
fn what_retention_took_before_it_was_read_is_told() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    rig.point(1, 0);
    rig.round();
    for _ in 0..5 {
        rig.point(1, EVERY_MS);
    }
    rig.sync();
    rig.writer.as_mut().unwrap().purge_before(6).unwrap();
    rig.round();
    assert_eq!(rig.counters(), [1, 5, 6]);
    let gaps = rig.page(|_| {}).gaps;
    assert_eq!((gaps.len(), gaps[0].first, gaps[0].last), (1, 3, 5));
    assert_eq!(rig.metric("history_gaps"), 1);
}

#[test]
fn a_history_begins_when_it_is_turned_on() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    rig.point(1, 0);
    rig.round();
    rig.worker = None;
    idle::pause(rig.folder(), "log").unwrap();
    rig.point(1, EVERY_MS);
    rig.sync();
    rig.open_worker();
    rig.point(1, EVERY_MS);
    rig.round();
    assert_eq!(rig.counters(), [1, 3], "what came while it was off");
}

#[test]
fn a_backlog_is_kept_by_the_time_at_which_it_was() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    rig.point(1, 0);
    let begin_ms = rig.now_ms;
    rig.point(1, 10 * EVERY_MS);
    for index in 0..30 {
        let mut point = rig.next_point();
        point.captured_at_ms = (begin_ms + index * EVERY_MS / 3) as i64;
        rig.append(&Entry::HistoricalPoint {
            session: SessionId(1),
            point,
        });
    }
    rig.round();
    let page = rig.page(|_| {});
    let times: Vec<u64> = page
        .rows
        .iter()
        .map(|row| (row.at_ms - begin_ms) / EVERY_MS)
        .collect();
    assert_eq!(times, (0..=10).collect::<Vec<u64>>());
    assert!(page.rows[1].historical && !page.rows[10].historical);
}

#[test]
fn a_locked_database_is_waited_for_and_nothing_is_missing() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    rig.point(1, 0);
    rig.round();
    let other = rusqlite::Connection::open(schema::file(rig.folder())).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    rig.point(1, EVERY_MS);
    rig.round();
    assert_eq!(rig.metric("history_failures"), 1);
    assert_eq!(rig.metric("history_lag_records"), 1);
    other.execute_batch("ROLLBACK").unwrap();
    rig.point(1, EVERY_MS);
    rig.round();
    assert_eq!(rig.counters(), [1, 2, 3]);
}

#[test]
fn a_full_disk_is_waited_for_and_nothing_is_missing() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    rig.round();
    let full = |rig: &mut Rig, full| rig.worker.as_mut().unwrap().store_for_test().set_full(full);
    full(&mut rig, true);
    for _ in 0..2_000 {
        rig.point(1, EVERY_MS);
    }
    rig.round();
    assert_eq!(rig.metric("history_failures"), 1);
    assert_eq!(rig.counters(), Vec::<u64>::new());
    full(&mut rig, false);
    rig.round();
    assert_eq!(rig.counters().len(), 2_000);
}

#[test]
fn rows_too_old_go_and_their_sessions_with_them() {
    let mut rig = Rig::new();
    rig.now_ms -= DAY_MS - 1_800_000;
    rig.start(1, "ana");
    rig.start(2, "ben");
    rig.point(1, 0);
    rig.point(2, 0);
    rig.end(1);
    let old = rig.now_ms;
    rig.now_ms = Clock::start().now_ms() / EVERY_MS * EVERY_MS;
    rig.point(2, 0);
    rig.round();
    // Half an hour beyond a day old: gone in the round that brought it.
    assert!(old < Clock::start().now_ms() - DAY_MS);
    assert_eq!(rig.counters(), [3]);
    assert_eq!(rig.metric("history_rows_expired"), 2);
    let connection = schema::open_reader(rig.folder()).unwrap();
    let sessions: i64 = connection
        .query_row("SELECT count(*) FROM session", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sessions, 1, "the live one stays");
}

#[test]
fn a_session_whose_end_lies_in_a_gap_is_not_known_for_ever() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    rig.start(2, "ben");
    rig.point(1, 0);
    rig.round();
    // Its end is gone before anybody has read it; the control log knows which session goes on.
    rig.end(1);
    let next = rig.writer.as_ref().unwrap().next_offset();
    rig.writer.as_mut().unwrap().purge_before(next).unwrap();
    rig.round();
    let later_ms = 2 * Clock::start().now_ms();
    let known = |rig: &Rig| {
        let mut store = Store::open(rig.folder(), "log").unwrap();
        let change = store.begin().unwrap();
        change.expire(later_ms).unwrap();
        let of = |session| {
            change.session(SessionKey {
                chat: CHAT,
                session,
            })
        };
        [1, 2].map(|session| of(session).unwrap().is_some())
    };
    rig.worker = None;
    assert_eq!(known(&rig), [true, true], "as long as nobody tells");
    rig.open_worker();
    rig.worker = None;
    assert_eq!(known(&rig), [false, true]);
}

#[test]
fn rows_too_old_leave_nothing_in_the_files() {
    let mut rig = Rig::new();
    rig.now_ms = Clock::start().now_ms() - 3 * DAY_MS;
    rig.start(1, "ana");
    let begin_ms = rig.now_ms;
    rig.now_ms += DAY_MS;
    for index in 0..8_000_u64 {
        let mut point = rig.next_point();
        point.captured_at_ms = (begin_ms + index * 7_919 % 8_000 * EVERY_MS) as i64;
        let session = SessionId(1);
        rig.append(&Entry::HistoricalPoint { session, point });
    }
    rig.round();
    assert!(rig.metric("history_rows_expired") >= 8_000);
    for form in forms() {
        assert!(!found(rig.folder(), &form), "{form:?}");
    }
}

#[test]
fn a_large_file_shrinks_step_by_step_when_its_rows_are_too_old() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    rig.round();
    rig.worker = None;
    let mut store = Store::open(rig.folder(), "log").unwrap();
    let change = store.begin().unwrap();
    let (old_ms, payload) = (rig.now_ms - 3 * DAY_MS, [7; 8_192]);
    for index in 0..9_000 {
        let kept = change.put_point(&StoredPoint {
            chat: CHAT,
            session: 1,
            at_ms: old_ms + index,
            window_ms: old_ms + index,
            offset: index + 2,
            kind: kind::POINT,
            flags: 0,
            payload: &payload,
        });
        assert!(kept.unwrap());
    }
    change.commit().unwrap();
    store.truncate_journal().unwrap();
    drop(store);
    let path = schema::file(rig.folder());
    let file = || std::fs::metadata(&path).unwrap().len();
    let before = file();
    assert!(before > SCRUB_INLINE_BYTES_MAX, "too large to be rewritten");
    rig.open_worker();
    let mut worker = rig.worker.take().unwrap();
    let mut last = before;
    for _ in 0..before / SHRINK_BYTES_PER_ROUND + 1 {
        worker.round();
        worker.store_for_test().truncate_journal().unwrap();
        // The pages of SQLite's own map of pages go along with those that they describe.
        assert!(
            last - file() <= SHRINK_BYTES_PER_ROUND + 16 * 4_096,
            "{last} to {}",
            file()
        );
        last = file();
    }
    assert_eq!(rig.metric("history_rows_expired"), 9_000);
    assert!(last < 2 * SHRINK_FREE_BYTES_MIN, "{last} of {before} left");
}

/// Whether the bytes occur in any file of the folder.
fn found(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let content = std::fs::read(entry.unwrap().path()).unwrap();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

/// Every form in which the latitude could stand in a file.
fn forms() -> Vec<Vec<u8>> {
    let degrees = f64::from(LAT_E6) / 1e6;
    vec![
        LAT_E6.to_le_bytes().to_vec(),
        LAT_E6.to_be_bytes().to_vec(),
        degrees.to_le_bytes().to_vec(),
        degrees.to_be_bytes().to_vec(),
        (degrees as f32).to_le_bytes().to_vec(),
        (degrees as f32).to_be_bytes().to_vec(),
        degrees.to_string().into_bytes(),
        LAT_E6.to_string().into_bytes(),
    ]
}

#[test]
fn an_erase_leaves_nothing_in_the_files() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    // Enough for pages to split many times.
    for _ in 0..5_000 {
        rig.point(1, EVERY_MS / 2);
    }
    rig.round();
    assert!(found(rig.folder(), &LAT_E6.to_le_bytes()), "it was there");
    let report = rig.erase(EraseWhat::Chat(CHAT));
    assert_eq!((report.sessions, report.scrubbed), (1, true));
    assert!(report.rows >= 2_500, "{report:?}");
    assert!(report.from.unwrap() < report.to.unwrap());
    for form in forms() {
        assert!(!found(rig.folder(), &form), "{form:?}");
    }
    assert_eq!(rig.metric("history_scrub_due"), 0);
    assert_eq!(rig.counters(), Vec::<u64>::new());
}

#[test]
fn an_erase_leaves_no_copy_that_a_split_page_left_behind() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    rig.start(2, "ben");
    let begin_ms = rig.now_ms;
    rig.now_ms += 10_000 * EVERY_MS;
    // A backlog in an order that splits pages in their middle, rows of both side by side.
    for index in 0..8_000_u64 {
        let mut point = rig.next_point();
        point.captured_at_ms = (begin_ms + index * 7_919 % 8_000 * EVERY_MS) as i64;
        let session = SessionId(1 + index % 5 / 4);
        if let (2, Payload::Fix(fix)) = (session.0, &mut point.payload) {
            fix.position.lat_e6 = 1;
        }
        rig.append(&Entry::HistoricalPoint { session, point });
    }
    rig.round();
    let report = rig.erase(EraseWhat::User(ana()));
    assert_eq!((report.rows, report.scrubbed), (6_400, true));
    assert_eq!(rig.counters().len(), 1_600);
    for form in forms() {
        assert!(!found(rig.folder(), &form), "{form:?}");
    }
}

#[test]
fn an_erase_of_a_user_leaves_the_others() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    rig.start(2, "ben");
    rig.point(1, 0);
    rig.point(2, 0);
    rig.round();
    let report = rig.erase(EraseWhat::User(ana()));
    assert_eq!((report.rows, report.sessions), (1, 1));
    assert_eq!(rig.counters(), [2]);
    assert_eq!(rig.erase(EraseWhat::User(ana())).rows, 0, "once is enough");
}

#[test]
fn an_erase_of_a_member_leaves_others_and_other_chats() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    rig.start(2, "ben");
    rig.point(1, 0);
    rig.point(2, 0);
    rig.round();
    let elsewhere = rig.erase(EraseWhat::Member(CHAT + 1, ana()));
    assert_eq!((elsewhere.rows, elsewhere.sessions), (0, 0));
    // Not read yet: covered as well.
    rig.point(1, EVERY_MS);
    rig.point(2, EVERY_MS);
    let report = rig.erase(EraseWhat::Member(CHAT, ana()));
    assert_eq!((report.rows, report.sessions), (1, 1));
    rig.open_worker();
    rig.round();
    assert_eq!(rig.counters(), [2, 4]);
    rig.point(1, EVERY_MS);
    rig.round();
    assert_eq!(rig.counters(), [2, 4, 5], "what comes later is new");
}

#[test]
fn an_erase_of_a_history_that_is_off_leaves_nothing_in_the_file() {
    let mut rig = Rig::new();
    let nothing = tempfile::tempdir().unwrap();
    let erase = |folder: &Path| idle::erase(folder, "log", &EraseWhat::Member(CHAT, ana()));
    assert_eq!(erase(nothing.path()).unwrap(), None);
    rig.start(1, "ana");
    rig.point(1, 0);
    rig.round();
    rig.worker = None;
    assert!(found(rig.folder(), &LAT_E6.to_le_bytes()), "it was there");
    let report = erase(rig.folder()).unwrap().unwrap();
    assert_eq!((report.rows, report.scrubbed), (1, true));
    for form in forms() {
        assert!(!found(rig.folder(), &form), "{form:?}");
    }
}

#[test]
fn an_erase_is_not_undone_by_points_still_to_be_sampled() {
    for what in [EraseWhat::Chat(CHAT), EraseWhat::User(ana())] {
        let mut rig = Rig::new();
        rig.start(1, "ana");
        rig.point(1, 0);
        rig.round();
        // In the log, not durable, not read: and a new session among them.
        rig.point(1, EVERY_MS);
        rig.start(2, "ana");
        rig.point(2, EVERY_MS);
        let report = rig.erase(what.clone());
        assert_eq!(report.rows, 1);
        // A death in between does not bring them back either.
        rig.open_worker();
        rig.round();
        assert_eq!(rig.counters(), Vec::<u64>::new(), "{what:?}");
        // What comes after it is new, in the same window too.
        rig.point(1, 1);
        rig.point(2, 0);
        rig.round();
        assert_eq!(rig.counters(), [4, 5], "{what:?}");
    }
}

#[test]
fn an_erase_does_not_cover_what_takes_the_place_of_lost_records() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    rig.point(1, 0);
    rig.round();
    for _ in 0..5 {
        rig.point(1, EVERY_MS);
    }
    // Erased up to record 7, of which a power failure takes all but the first two.
    rig.worker.take();
    let mut store = Store::open(rig.folder(), "log").unwrap();
    let change = store.begin().unwrap();
    let what = EraseWhat::Chat(CHAT);
    change.erase(&what).unwrap();
    let erasure = crate::history::erase::Erasure {
        what,
        partition: 0,
        last_offset: 7,
    };
    change.put_erasure(&erasure).unwrap();
    change.commit().unwrap();
    drop(store);
    let now_ms = rig.now_ms;
    let writer = rig.writer.as_mut().unwrap();
    writer.truncate_after(now_ms, 2).unwrap();
    rig.open_worker();
    rig.point(1, EVERY_MS);
    rig.round();
    assert_eq!(rig.counters(), [7]);
}

#[test]
fn sealed_points_come_out_as_they_went_in() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    let blob = bytes::Bytes::from_static(b"sealed beyond reading");
    let point = Point {
        counter: Counter(1),
        captured_at_ms: 5,
        payload: Payload::Sealed(blob),
    };
    rig.append(&Entry::Point {
        session: SessionId(1),
        point: point.clone(),
    });
    rig.round();
    assert_eq!(rig.page(|_| {}).rows[0].point, point);
}

#[test]
fn pages_give_every_row_once_and_filters_hold() {
    let mut rig = Rig::new();
    for (session, user) in [(1, "ana"), (2, "ben"), (3, "ana")] {
        rig.start(session, user);
    }
    let begin_ms = rig.now_ms;
    for _ in 0..20 {
        // Three rows of the very same millisecond.
        rig.point(1, EVERY_MS);
        rig.point(2, 0);
        rig.point(3, 0);
    }
    rig.round();
    let all = rig.counters();
    assert_eq!(all, (1..=60).collect::<Vec<u64>>());
    for limit in [1, 2, 7, 59, 60, 61] {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = rig.page(|query| (query.limit, query.after) = (limit, after));
            assert!(page.rows.len() <= limit);
            seen.extend(page.rows.iter().map(|row| row.point.counter.0));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, all, "{limit}");
    }
    let count = |change: &dyn Fn(&mut HistoryQuery)| rig.page(change).rows.len();
    assert_eq!(count(&|query| query.user = Some("ana".to_owned())), 40);
    assert_eq!(count(&|query| query.session = Some(SessionId(2))), 20);
    assert_eq!(count(&|query| query.from_ms = begin_ms + 20 * EVERY_MS), 3);
    assert_eq!(count(&|query| query.to_ms = begin_ms + 2 * EVERY_MS), 3);
    assert_eq!(count(&|query| query.chat = 2), 0);
}

#[test]
fn points_of_nobody_known_are_counted_and_not_kept() {
    let mut rig = Rig::new();
    rig.point(9, 0);
    rig.round();
    assert_eq!(rig.counters(), Vec::<u64>::new());
    assert_eq!(rig.metric("history_points_unknown"), 1);
}
