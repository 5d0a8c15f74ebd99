//! How long a restart takes: makes a data directory of 10 GiB of log and 100 k sessions with the
//! server's own code, then starts the real `skein` on it after a clean stop and after `kill -9`.
//!
//! `cargo build --release -p skein-server -p skein-bench --bins && target/release/restart`; about
//! two minutes, 12 GB of disk beside the executable. `restart GIB SESSIONS` for other sizes. Exit
//! code 1 when a median misses its bar.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use skein_bench::folders;
use skein_bench::server::now_ms;
use skein_engine::command::{Command, RIGHT_SHARE};
use skein_engine::ids::{PartitionId, ProposalId, RequestId, ShardId};
use skein_engine::journal::Entry;
use skein_engine::limits::Limits;
use skein_engine::placement::{owner_of, partition_of};
use skein_engine::record::OwnedRecord;
use skein_engine::request::{Actor, ChatRequest, PointsRequest};
use skein_engine::shard::ShardConfig;
use skein_engine::time::Timestamp;
use skein_log::{DiskStorage, JanitorThread, Log, Options, Reader, Record, Writer};
use skein_server::control::core::{Acknowledge, ControlCore, Proposal};
use skein_server::shard::core::Core;
use skein_server::shard::log_writer::CHECKPOINT_EVERY_BYTES;
use skein_server::shard::recovery::{ShardParts, recover};
use skein_server::shard::silent_ports::SilentPorts;
use skein_wire::ids::{ChatHandle, ChatName, Counter, SessionId};
use skein_wire::point::{Fix, Payload, Point, Position};

/// Partitions and shards: what the server has by default on two cores.
const PARTITIONS: u16 = 64;
const SHARDS: u16 = 2;

/// Sessions of a chat.
const CHAT_SESSIONS: u64 = 50;

/// How long the sessions last (ms): longer than this program runs.
const SESSION_MS: u64 = 12 * 60 * 60 * 1_000;

/// Records of a batch that is written directly, and points of one request.
const BATCH_RECORDS: u64 = 64;
const REQUEST_POINTS: u64 = 8;

/// Requests of that size per session after the bulk: beyond one checkpoint of every partition and
/// most of the way to the next one, which is the longest replay.
const ROUNDS: u64 = 24;

/// Starts of each kind; the median counts.
const STARTS: usize = 3;

/// Longest start that is waited for.
const START_MAX: Duration = Duration::from_secs(120);

/// The bars of `docs/BENCHMARKS.md`.
const CLEAN_BAR: Duration = Duration::from_secs(1);
const UNCLEAN_BAR: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let mut number = |default| {
        let word = arguments.next();
        word.map_or(default, |word| word.parse().expect("a number"))
    };
    let (gib, sessions): (u64, u64) = (number(10), number(100_000));
    let kept = arguments.next().map(PathBuf::from);
    // Removed at the end.
    let scratch = kept.is_none().then(folders::scratch);
    let folder = kept.or_else(|| scratch.as_ref().map(|it| it.path().to_owned()));
    let data = folder.expect("one of the two").join("data");
    if !data.exists() {
        let began = Instant::now();
        make(&data, gib << 30, sessions);
        println!(
            "made {gib} GiB of log and {sessions} sessions in {:.0} s",
            began.elapsed().as_secs_f64()
        );
    }
    // First, as a stop in good order writes checkpoints and leaves nothing to replay.
    let unclean = median("kill -9", UNCLEAN_BAR, &data, Signal::KILL);
    let clean = median("a clean stop", CLEAN_BAR, &data, Signal::TERM);
    match clean && unclean {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Starts the server some times, each after it was ended by `signal`. Whether the bar was kept.
fn median(how: &str, bar: Duration, data: &Path, signal: Signal) -> bool {
    end(start(data), signal);
    let mut times: Vec<Duration> = (0..STARTS)
        .map(|_| {
            let server = start(data);
            let time = server.time;
            end(server, signal);
            time
        })
        .collect();
    times.sort();
    let (median, worst) = (times[STARTS / 2], times[STARTS - 1]);
    let verdict = if median < bar { "kept" } else { "MISSED" };
    println!(
        "after {how}: start to ready {:.3} s (median of {STARTS}, worst {:.3} s), bar {:.0} s: {verdict}",
        median.as_secs_f64(),
        worst.as_secs_f64(),
        bar.as_secs_f64()
    );
    median < bar
}

/// A server that is ready.
struct Server {
    process: Child,
    /// From its start to its ready line.
    time: Duration,
    control: SocketAddr,
}

fn start(data: &Path) -> Server {
    let began = Instant::now();
    let mut process = Process::new(skein())
        .args(["serve", "--dev", "--data-dir"])
        .arg(data)
        .args(["--quic", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .args(["--control", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("skein beside this executable; build it with -p skein-server");
    let mut line = String::new();
    let stdout = process.stdout.as_mut().expect("piped");
    let read = BufReader::new(stdout).read_line(&mut line);
    let time = began.elapsed();
    assert!(
        read.is_ok() && line.contains("\"ready\":true"),
        "no start: {line}"
    );
    assert!(time < START_MAX, "a start took {time:?}");
    let ready: Value = serde_json::from_str(&line).expect("JSON");
    let control = ready["control"].as_str().expect("an address");
    let control = control.parse().expect("an address");
    Server {
        process,
        time,
        control,
    }
}

fn end(mut server: Server, signal: Signal) {
    write_everywhere(server.control);
    let pid = Pid::from_child(&server.process);
    kill_process(pid, signal).expect("a server that runs");
    let status = server.process.wait().expect("it was started here");
    assert!(
        signal == Signal::KILL || status.success(),
        "it stopped with {status}"
    );
}

/// Has something appended to nearly every partition, so that a kill leaves none of them clean.
fn write_everywhere(control: SocketAddr) {
    for chat in 0..4 * PARTITIONS {
        let body = r#"{"rights":["watch"]}"#;
        let mut stream = TcpStream::connect(control).expect("the control API");
        let request = format!(
            "PUT /v1/chats/chat-{chat}/members/guest HTTP/1.1\r\nhost: localhost\r\n\
             connection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
}

/// The executable that was built beside this one.
fn skein() -> PathBuf {
    let this = env::current_exe().expect("an executable");
    this.with_file_name("skein")
}

/// One session: where it is, and how many points it has sent.
struct Session {
    chat: ChatName,
    handle: ChatHandle,
    id: SessionId,
    points: u64,
}

impl Session {
    fn point(&mut self) -> Point {
        self.points += 1;
        let step = self.points as f64 * 1e-5;
        Point {
            counter: Counter(self.points),
            captured_at_ms: 1_700_000_000_000 + self.points as i64 * 1_000,
            payload: Payload::Fix(Fix {
                position: Position::from_degrees(48.0 + step, 11.0 + step).expect("on earth"),
                heading: None,
                speed: None,
                accuracy: None,
                battery: None,
            }),
        }
    }
}

fn make(data: &Path, bytes: u64, sessions: u64) {
    let (control, mut sessions) = promise(data, sessions);
    fill(data, bytes, &mut sessions);
    move_on(data, &control, &mut sessions);
    control.close().expect("a clean control log");
}

/// The sessions in the control log, by partition.
fn promise(data: &Path, count: u64) -> (ControlCore, Vec<Vec<Session>>) {
    let storage = DiskStorage::new(data.join("control")).expect("a new directory");
    let now = now_ms();
    let (mut control, _) =
        ControlCore::open(storage, Acknowledge::AfterSync, now, 1).expect("a new control log");
    let mut sessions: Vec<Vec<Session>> = (0..PARTITIONS).map(|_| Vec::new()).collect();
    for number in 0..count {
        let (chat, user) = (
            format!("chat-{}", number / CHAT_SESSIONS),
            format!("user-{number}"),
        );
        let member = Command::PutMember {
            chat: chat.clone(),
            user: user.clone(),
            rights: RIGHT_SHARE,
        };
        let begin = Command::StartSession {
            chat,
            session: number + 1,
            user,
            started_at_ms: now,
            expires_at_ms: now + SESSION_MS,
            duration_s: (SESSION_MS / 1_000) as u32,
            idempotency_key: String::new(),
            sealed: false,
        };
        for command in [member, begin] {
            let proposal = Proposal {
                shard: ShardId(0),
                proposal: ProposalId(number),
                command,
            };
            control.propose(proposal).expect("room, as it is flushed");
        }
        if control.waiting() >= 512 || number + 1 == count {
            commit(&mut control, now, &mut sessions);
        }
    }
    (control, sessions)
}

fn commit(control: &mut ControlCore, now: u64, sessions: &mut [Vec<Session>]) {
    while control.waiting() > 0 {
        let flushed = control.flush(now);
        assert!(flushed.rejected.is_empty(), "{:?}", flushed.failure);
        for done in flushed.committed {
            if let Command::StartSession { chat, session, .. } = done.command {
                let chat = ChatName::new(&chat).expect("a plain name");
                let partition = partition_of(&chat, PARTITIONS);
                sessions[usize::from(partition.0)].push(Session {
                    chat,
                    handle: done.handle,
                    id: SessionId(session),
                    points: 0,
                });
            }
        }
    }
    control.maintain(now);
}

fn open(data: &Path) -> (Log, JanitorThread) {
    let options = Options {
        partitions: PARTITIONS,
        ..Options::default()
    };
    let (mut log, _) = Log::open_dir(data.join("log"), options, now_ms(), 2).expect("a log");
    let janitor = log.take_janitor().expect("taken once");
    let janitor = JanitorThread::spawn(janitor, now_ms, |report| {
        assert!(report.failures.is_empty(), "{:?}", report.failures);
    });
    (log, janitor.expect("a thread"))
}

/// Writes points directly, as the engine would have had them written, then a checkpoint without a
/// row, so that what follows is real but begins here.
fn fill(data: &Path, bytes: u64, sessions: &mut [Vec<Session>]) {
    let (mut log, janitor) = open(data);
    for (number, sessions) in sessions.iter_mut().enumerate() {
        let partition = skein_log::PartitionId(number as u16);
        let mut writer = log.take_writer(partition).expect("taken once");
        let (mut written, mut next) = (0, 0);
        while written < bytes / u64::from(PARTITIONS) && !sessions.is_empty() {
            let session = next % sessions.len();
            let session = &mut sessions[session];
            next += 1;
            let (handle, id) = (session.handle, session.id);
            let entries = (0..BATCH_RECORDS).map(|_| Entry::Point {
                session: id,
                point: session.point(),
            });
            let records: Vec<_> = entries.map(|entry| entry.encode(handle)).collect();
            append(&mut writer, &records);
            let sizes = records.iter().map(|it| it.payload.as_slice().len());
            written += sizes.map(Writer::record_bytes).sum::<usize>() as u64;
        }
        let no_chat = ChatHandle(0);
        let number = 1;
        let marks = [
            Entry::CheckpointBegin { number },
            Entry::CheckpointEnd { number },
        ];
        let begin = writer.next_offset();
        append(&mut writer, &marks.map(|entry| entry.encode(no_chat)));
        writer.sync_now().expect("durable");
        writer.set_checkpoint(begin, begin + 1);
        writer.sync_now().expect("durable");
    }
    drop(janitor.stop());
    log.close().expect("a clean log");
}

fn append(writer: &mut Writer, records: &[OwnedRecord]) {
    let records: Vec<_> = records
        .iter()
        .map(|record| Record {
            kind: record.kind,
            flags: record.flags,
            key: record.key,
            extension: record.extension,
            payload: record.payload.as_slice(),
        })
        .collect();
    writer.append(now_ms(), &records).expect("a disk with room");
}

/// Real shards take points of every session, long enough for checkpoints and a tail behind them.
fn move_on(data: &Path, control: &ControlCore, sessions: &mut [Vec<Session>]) {
    let (mut log, janitor) = open(data);
    let mut of_shards: Vec<Vec<&mut Vec<Session>>> = (0..SHARDS).map(|_| Vec::new()).collect();
    for (partition, sessions) in sessions.iter_mut().enumerate() {
        let owner = owner_of(PartitionId(partition as u16), SHARDS);
        of_shards[usize::from(owner.0)].push(sessions);
    }
    let cores: Vec<Core> = (0..SHARDS)
        .map(|shard| core(&mut log, control, ShardId(shard)))
        .collect();
    std::thread::scope(|scope| {
        for (core, sessions) in cores.into_iter().zip(of_shards) {
            scope.spawn(move || feed(core, sessions));
        }
    });
    drop(janitor.stop());
    log.close().expect("a clean log");
}

fn core(log: &mut Log, control: &ControlCore, shard: ShardId) -> Core {
    let readers: Vec<Reader> = (0..PARTITIONS)
        .map(|partition| log.reader(skein_log::PartitionId(partition)))
        .collect();
    let owned = (0..PARTITIONS)
        .map(PartitionId)
        .filter(|&partition| owner_of(partition, SHARDS) == shard);
    let mut take = |partition: PartitionId| {
        let writer = log.take_writer(skein_log::PartitionId(partition.0));
        (partition, writer.expect("taken once"))
    };
    let parts = ShardParts {
        config: ShardConfig {
            shard,
            shards: SHARDS,
            partitions: PARTITIONS,
            log_id: 1,
            limits: Limits::default(),
            seed: 3,
            relay: None,
        },
        writers: owned.map(&mut take).collect(),
        readers,
        checkpoint_every_bytes: CHECKPOINT_EVERY_BYTES,
        checkpoint_age_ms: None,
        may_wait: true,
    };
    let (core, _) = recover(parts, control.state(), Timestamp(now_ms())).expect("readable");
    core
}

fn feed(mut core: Core, mut sessions: Vec<&mut Vec<Session>>) {
    let mut now = Timestamp(now_ms());
    let mut ports = SilentPorts::default();
    core.pass(now, &mut ports);
    for _ in 0..ROUNDS {
        now = Timestamp(now.0 + 1_000);
        for partition in &mut sessions {
            for session in partition.iter_mut() {
                let points = (0..REQUEST_POINTS).map(|_| session.point()).collect();
                let request = ChatRequest::Points(PointsRequest {
                    chat: session.chat.clone(),
                    session: session.id,
                    actor: Actor::Control,
                    historical: false,
                    durable: false,
                    points,
                });
                core.engine().handle_request(now, RequestId(1), request);
            }
            core.pass(now, &mut ports);
        }
    }
    while core.pass(now, &mut ports).more {}
}
