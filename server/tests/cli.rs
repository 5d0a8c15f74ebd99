//! The built binary on the command line: bad input, help, and the operator's commands against a
//! control listener and a real data directory.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use skein_engine::command::Command as ControlCommand;
use skein_engine::ids::{ProposalId, ShardId};
use skein_engine::journal::Entry;
use skein_engine::request::{ChatReply, ChatRequest, ChatResult, MembersPage, SessionInfo};
use skein_log::{DiskStorage, Log, MemoryStorage, Options, PartitionId, Record};
use skein_server::access::Access;
use skein_server::access::control_token::ControlTokens;
use skein_server::access::key_set::TOKEN_KEY_FILE;
use skein_server::access::signer::TokenSigner;
use skein_server::cli::bad_inputs::BAD_COMMANDS;
use skein_server::clock::Clock;
use skein_server::control::core::{Acknowledge, ControlCore, Proposal};
use skein_server::control::feed::EventFeed;
use skein_server::health::Health;
use skein_server::http::control;
use skein_server::http::events::EventsState;
use skein_server::http::gateway::ShardGateway;
use skein_server::http::guests::GuestsState;
use skein_server::http::history::HistoryState;
use skein_server::http::listener::{self, CONTROL_LISTENER_METRICS, ControlListener};
use skein_server::http::state::{ApiState, Callers};
use skein_server::http::viewers::ViewersState;
use skein_server::metrics::MetricsBoard;
use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, Counter, SessionId, UserName};
use skein_wire::point::{Fix, Payload, Point, Position};
use skein_wire::update::SessionState;
use tokio::sync::{oneshot, watch};

fn skein(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SKEIN_") {
            command.env_remove(name);
        }
    }
    command.args(args).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn ok(args: &[&str]) -> String {
    let output = skein(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// An address where nobody listens: bound, then given back.
fn closed_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
}

#[test]
fn every_bad_command_line_says_what_to_do() {
    let closed = closed_address().to_string();
    for bad in BAD_COMMANDS {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dir = dir.path().to_str().expect("UTF-8");
        let line = bad.input.replace("DIR", dir).replace("CLOSED", &closed);
        let args: Vec<&str> = line.split_whitespace().collect();
        let output = skein(&args);
        let stderr = text(&output.stderr);
        let code = output.status.code().map(|code| code.to_string());
        assert_eq!(code.as_deref(), Some(bad.code), "{}: {stderr}", bad.what);
        assert!(stderr.contains(bad.text), "{}: {stderr}", bad.what);
        assert!(
            output.stdout.is_empty(),
            "{}: {}",
            bad.what,
            text(&output.stdout)
        );
    }
}

#[test]
fn every_command_has_help_with_examples() {
    assert!(ok(&["--version"]).starts_with("skein "));
    for command in [
        "demo", "serve", "share", "watch", "token", "member", "session", "log",
    ] {
        let help = ok(&[command, "--help"]);
        assert!(help.contains("Examples:"), "{command}: {help}");
        assert!(
            help.contains(&format!("skein {command}")),
            "{command}: {help}"
        );
    }
}

#[test]
fn limits_are_printed_without_a_data_directory() {
    let limits = ok(&["serve", "--print-limits"]);
    assert!(
        limits.contains("limits.memory_bytes_max") && limits.contains("together"),
        "{limits}"
    );
}

#[test]
fn a_token_from_the_command_line_is_verified() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let keys = dir.path().join("keys");
    let access = Access::open(&keys, true).expect("keys");
    let data_dir = dir.path().to_str().expect("UTF-8");
    let token = ok(&[
        "token",
        "--user",
        "ana",
        "--ttl",
        "15m",
        "--data-dir",
        data_dir,
    ]);
    let identity = access
        .verify(token.trim(), Clock::start().now_ms())
        .expect("valid");
    assert_eq!(identity.person.user.as_str(), "ana");

    let other = dir.path().join("other.pem");
    TokenSigner::open_or_create(&other).expect("key");
    let token = ok(&[
        "token",
        "--user",
        "ana",
        "--key",
        other.to_str().expect("UTF-8"),
    ]);
    assert!(
        access
            .verify(token.trim(), Clock::start().now_ms())
            .is_err(),
        "a foreign key"
    );
    assert!(keys.join(TOKEN_KEY_FILE).exists());
}

/// Knows one chat, `hike`, with one member and one session.
struct OneChat;

impl ShardGateway for OneChat {
    fn request(&self, request: ChatRequest) -> oneshot::Receiver<ChatResult> {
        let (sender, receiver) = oneshot::channel();
        let _ = sender.send(one_chat(&request));
        receiver
    }
}

fn one_chat(request: &ChatRequest) -> ChatResult {
    if request.chat().as_str() != "hike" {
        return Err(WireError::of(Code::NotFound));
    }
    let user = UserName::new("ana").expect("a name");
    let session = SessionInfo {
        session: SessionId(0xa1),
        user: user.clone(),
        state: SessionState::Stale,
        started_at_ms: 1,
        expires_at_ms: 900_001,
        sealed: false,
        counter_last: Counter(0),
    };
    Ok(match request {
        ChatRequest::Start(_) | ChatRequest::Extend { .. } => ChatReply::Session(session),
        ChatRequest::Sessions { .. } => ChatReply::Sessions(vec![session]),
        ChatRequest::Members { .. } => ChatReply::Members(MembersPage {
            members: vec![(user, 2)],
            version: 1,
            more: false,
        }),
        ChatRequest::PutMember { .. } | ChatRequest::RemoveMember { .. } => ChatReply::Changed {
            durable: true,
            version: 2,
            was_member: true,
        },
        ChatRequest::Stop { .. } => ChatReply::Done { durable: false },
        _ => ChatReply::Done { durable: true },
    })
}

/// Runs `test` beside a control listener that asks for the token in `DIR/token`.
fn with_control(test: impl FnOnce(&str, &Path)) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let token = dir.path().join("token");
    std::fs::write(&token, "0123456789abcdef0123456789abcdef\n").expect("write");
    let callers = Callers::Operators(Arc::new(ControlTokens::read(&token).expect("token")));
    let clock = Clock::start();
    let state = ApiState::new(
        Arc::new(OneChat),
        callers,
        clock,
        Arc::new(Health::default()),
    );
    let (mut core, _) =
        ControlCore::open(MemoryStorage::new(), Acknowledge::AfterSync, 0, 1).expect("control log");
    let command = ControlCommand::PutMember {
        chat: "hike".into(),
        user: "ana".into(),
        rights: 2,
    };
    let proposal = Proposal {
        shard: ShardId(0),
        proposal: ProposalId(1),
        command,
    };
    core.propose(proposal).expect("room");
    let index = core.flush(5).committed[0].index;
    let (_publisher, feed) = EventFeed::new(core.log_id(), core.reader(), index, core.voids());
    let (stop, stopped) = watch::channel(false);
    let events = EventsState::new(state.clone(), feed, stopped.clone());
    let history = HistoryState::new(state.clone(), None);
    let keys = tempfile::tempdir().expect("a directory");
    let access = Arc::new(Access::open(keys.path(), true).expect("keys"));
    let guests = GuestsState::new(state.clone(), access);
    let board = Arc::new(MetricsBoard::default());
    let viewers = ViewersState::new(state.clone(), None);
    let router = control::router(state, events, history, guests, viewers, board);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let listening = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("bind");
    let address = listening.local_addr().expect("address").to_string();
    let listening = ControlListener {
        socket: listening,
        tls: None,
        metrics: MetricsBoard::default().once(CONTROL_LISTENER_METRICS),
    };
    let serving = runtime.spawn(listener::serve(listening, router, stopped));
    test(&address, &token);
    stop.send(true).expect("the listener runs");
    runtime.block_on(serving).expect("the listener ends");
}

#[test]
fn members_and_sessions_are_managed_over_the_control_api() {
    with_control(|address, token| {
        let token = token.to_str().expect("UTF-8");
        let run = |line: &str| {
            let line = format!("{line} --control {address} --control-token {token}");
            skein(&line.split_whitespace().collect::<Vec<_>>())
        };
        for (line, expect) in [
            (
                "member add --chat hike --user ben --rights watch",
                "ben is a member of hike: watch",
            ),
            (
                "member remove --chat hike --user ben",
                "ben is no longer a member of hike",
            ),
            ("member list --chat hike", "ana\twatch"),
            (
                "session start --chat hike --user ana --duration 15m",
                "00000000000000a1",
            ),
            (
                "session list --chat hike",
                "00000000000000a1\tana\tstale\t1970-01-01T00:15:00.001Z",
            ),
            ("session list --chat hike --user ben", ""),
            (
                "session extend --chat hike --session 00000000000000a1 --duration 1h",
                "00000000000000a1 ends at 1970-01-01T00:15:00.001Z",
            ),
            (
                "session stop --chat hike --session 00000000000000a1",
                "00000000000000a1 is stopped, not yet durable; the server goes on trying",
            ),
        ] {
            let output = run(line);
            assert!(output.status.success(), "{line}: {}", text(&output.stderr));
            assert_eq!(text(&output.stdout).trim_end(), expect, "{line}");
        }
        for (line, expect) in [
            ("member list --chat elsewhere", "error: not_found: "),
            (
                "member list --chat hike --user ben",
                "error: ben is not a member of hike",
            ),
        ] {
            let output = run(line);
            assert_eq!(output.status.code(), Some(1), "{line}");
            assert!(
                text(&output.stderr).starts_with(expect),
                "{line}: {}",
                text(&output.stderr)
            );
        }
        let output = skein(&["member", "list", "--chat", "hike", "--control", address]);
        assert!(
            text(&output.stderr).starts_with("error: bad_token: "),
            "without a token"
        );
    });
}

#[test]
fn events_stream_over_the_listener_and_end_with_it() {
    use std::io::{BufRead, BufReader, Write};
    let mut rest = None;
    with_control(|address, token| {
        let token = std::fs::read_to_string(token).expect("token");
        let mut stream = std::net::TcpStream::connect(address).expect("connect");
        let token = token.trim();
        write!(
            stream,
            "GET /v1/events?after=0 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
        )
        .expect("send");
        let mut lines = BufReader::new(stream)
            .lines()
            .map(|line| line.expect("a line"));
        assert_eq!(lines.next().as_deref(), Some("HTTP/1.1 200 OK"));
        let found: Vec<String> = lines
            .by_ref()
            .skip_while(|line| !line.starts_with("id:"))
            .take(3)
            .collect();
        assert!(found[0].ends_with("-1"), "{found:?}");
        assert_eq!(found[1], "event: member_put");
        let data: serde_json::Value =
            serde_json::from_str(&found[2]["data: ".len()..]).expect("JSON");
        assert_eq!(
            (&data["chat"], &data["user"]),
            (&"hike".into(), &"ana".into())
        );
        rest = Some(lines);
    });
    // The listener has stopped, so the stream has ended; a hang here fails the test run.
    assert!(rest.expect("a stream").all(|line| !line.starts_with("id:")));
}

#[test]
fn logs_are_inspected_while_they_are_open() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = Options {
        partitions: 2,
        ..Options::default()
    };
    let storage = DiskStorage::new(dir.path().join("log")).expect("storage");
    let (mut log, _) = Log::open(storage, options, 0, 1).expect("log");
    let mut writer = log.take_writer(PartitionId(1)).expect("writer");
    let strange = Record {
        kind: 200,
        key: 9,
        payload: b"x",
        ..Record::default()
    };
    writer.append(7, &[strange]).expect("append");
    let storage = DiskStorage::new(dir.path().join("control")).expect("storage");
    let (mut core, _) =
        ControlCore::open(storage, Acknowledge::AfterSync, 0, 1).expect("control log");
    let command = ControlCommand::PutMember {
        chat: "hike".into(),
        user: "ana".into(),
        rights: 2,
    };
    core.propose(Proposal {
        shard: ShardId(0),
        proposal: ProposalId(1),
        command,
    })
    .expect("room");
    assert_eq!(core.flush(8).committed.len(), 1);

    let data_dir = dir.path().to_str().expect("UTF-8");
    let stat = ok(&["log", "stat", "--data-dir", data_dir]);
    assert!(stat.contains("partition 1: offsets 1 to 1"), "{stat}");
    assert!(stat.contains("control "), "{stat}");
    let verify = ok(&["log", "verify", "--data-dir", data_dir]);
    assert!(
        verify.contains("log: 1 records") && verify.contains("no problems"),
        "{verify}"
    );
    let dump = ok(&["log", "dump", "--data-dir", data_dir]);
    assert!(
        dump.contains(r#""kind":"unknown""#) && dump.contains(r#""offset":1"#),
        "{dump}"
    );
    let control = ok(&["log", "dump", "--control", "--data-dir", data_dir]);
    assert!(
        control.contains("PutMember") && control.contains("hike"),
        "{control}"
    );
    let scrub = ok(&["log", "scrub", "--data-dir", data_dir, "--rate-mib", "0"]);
    assert!(
        scrub.contains("log: 1 records") && scrub.contains("no problems"),
        "{scrub}"
    );
    let output = skein(&["log", "dump", "--partition", "9", "--data-dir", data_dir]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("does not exist"),
        "{}",
        text(&output.stderr)
    );
}

/// A data directory with one session of four points, of which the third comes late.
fn data_dir_with_a_track() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let storage = DiskStorage::new(dir.path().join("control")).expect("storage");
    ControlCore::open(storage, Acknowledge::AfterSync, 0, 1).expect("control log");
    let options = Options {
        partitions: 1,
        ..Options::default()
    };
    let storage = DiskStorage::new(dir.path().join("log")).expect("storage");
    let (mut log, _) = Log::open(storage, options, 0, 1).expect("log");
    let mut writer = log.take_writer(PartitionId(0)).expect("writer");
    for (time, counter) in [(1_000, 1), (2_000, 2), (3_000, 4), (4_000, 3)] {
        let position = Position::from_degrees(45.0 + counter as f64 / 1_000.0, 13.5);
        let point = Point {
            counter: Counter(counter),
            captured_at_ms: 1_608_272_150_000 + counter as i64 * 1_000,
            payload: Payload::Fix(Fix {
                position: position.expect("on earth"),
                ..Fix::default()
            }),
        };
        let session = SessionId(0xa1);
        let entry = match counter {
            3 => Entry::HistoricalPoint { session, point },
            _ => Entry::Point { session, point },
        };
        let encoded = entry.encode(ChatHandle(7));
        let record = Record {
            kind: encoded.kind,
            flags: encoded.flags,
            key: encoded.key,
            extension: encoded.extension,
            payload: encoded.as_raw().payload,
        };
        writer.append(time, &[record]).expect("append");
    }
    writer.sync_now().expect("sync");
    dir
}

#[test]
fn a_log_is_exported_as_json_lines_and_as_tracks() {
    let dir = data_dir_with_a_track();
    let data_dir = dir.path().to_str().expect("UTF-8");
    let export = |more: &[&str]| {
        let mut args = vec!["log", "export", "--data-dir", data_dir];
        args.extend(more);
        ok(&args)
    };
    let json = export(&[]);
    assert_eq!(json.lines().count(), 4);
    assert!(json.contains(r#""lat":45.001"#), "{json}");
    let json = export(&[
        "--since",
        "1970-01-01T00:00:02Z",
        "--until",
        "1970-01-01T00:00:04Z",
    ]);
    assert_eq!(json.lines().count(), 2, "{json}");
    assert_eq!(export(&["--session", "00000000000000a2"]), "");

    let file = dir.path().join("tracks.gpx");
    let path = file.to_str().expect("UTF-8");
    export(&["--format", "gpx", "--out", path]);
    let points = skein_server::cli::gpx::read(&file).expect("a track");
    let lats: Vec<f64> = points
        .iter()
        .map(|point| point.fix.position.lat())
        .collect();
    assert_eq!(
        lats,
        [45.001, 45.002, 45.003, 45.004],
        "in the order of the sender"
    );
    assert_eq!(points[0].time_ms, Some(1_608_272_151_000));
}

#[test]
fn damage_is_found_by_a_scrub_and_passed_by_an_export_and_a_dump() {
    let dir = data_dir_with_a_track();
    let data_dir = dir.path().to_str().expect("UTF-8");
    let segment = dir.path().join("log/p00000-00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).expect("read");
    bytes[4096 + 60] ^= 1;
    std::fs::write(&segment, bytes).expect("write");
    for (verb, expect) in [
        ("scrub", "1 problems"),
        ("export", "1 places are damaged"),
        ("dump", "1 places are damaged"),
    ] {
        let output = skein(&["log", verb, "--data-dir", data_dir]);
        assert_eq!(output.status.code(), Some(1), "{verb}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains(expect), "{verb}: {stderr}");
        if verb != "scrub" {
            assert_eq!(text(&output.stdout).lines().count(), 3, "the rest is there");
        }
    }
    let state = dir.path().join("log/p00000.state");
    std::fs::write(&state, b"nonsense").expect("write");
    let output = skein(&["log", "scrub", "--data-dir", data_dir]);
    let stdout = text(&output.stdout);
    assert!(stdout.contains("p00000.state is damaged"), "{stdout}");
}
