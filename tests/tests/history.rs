//! The history of a real server: exactly once over `kill -9`, erased for good, read by operators only.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skein_tests::cores::Cores;
use skein_tests::fleet::{now_ms, point_at, position_at};
use skein_tests::http::{Request, Response};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, live};
use skein_tests::process;
use skein_tests::server::{Options, Server};
use skein_tests::skip;
use skein_tests::wait::{self, PATIENCE};
use skein_wire::ids::SessionId;

on_one_and_two_shards!(
    every_record_counts_exactly_once_whenever_the_process_dies,
    an_erase_is_for_good,
    only_operators_read_it,
);

/// Chats, so that both shards have some.
const CHATS: [&str; 3] = ["hike", "regatta", "night train"];

/// Kills of a usual run; `SKEIN_FULL` makes it [`KILLS_FULL`], `SKEIN_KILLS` any number.
const KILLS: u64 = 12;

/// Kills of a full run.
const KILLS_FULL: u64 = 100;

/// Longest time under load before a kill: longer than a round of the history.
const LOAD_MS_MAX: u64 = 1_600;

/// One row of a session per so many milliseconds.
const EVERY_MS: u64 = 1_000;

fn start(cores: Cores) -> Server {
    Server::start_with(Options {
        arguments: vec!["--history".to_owned()],
        configuration: "[history]\nevery = \"1s\"\nretain = \"1d\"\n".to_owned(),
        ..Options::new(cores)
    })
}

fn path(chat: &str) -> String {
    format!("/v1/chats/{}/history", chat.replace(' ', "%20"))
}

/// All rows of a chat, page by page.
fn rows(server: &Server, chat: &str, limit: usize) -> Vec<Value> {
    let (mut rows, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("{}?limit={limit}{after}", path(chat));
        let answer = Request::new("GET", &path).send(server.ready.control);
        let page = answer.expect_success("history").json();
        assert_eq!(page["gaps"], Value::Null, "nothing was dropped");
        rows.extend(page["points"].as_array().expect("points").iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return rows,
        }
    }
}

/// Waits until the history has read everything.
fn settle(server: &Server) {
    wait::until("the history has read all", PATIENCE, || {
        thread::sleep(Duration::from_millis(100));
        server.metrics().sum("skein_history_lag_records") == 0.0
    });
}

/// A session that goes on over many deaths of its server.
struct Sharer {
    chat: &'static str,
    token: String,
    index: usize,
    session: SessionId,
    counter: u64,
}

impl Sharer {
    fn start(server: &Server, chat: &'static str, index: usize) -> Self {
        let user = format!("walker-{index}");
        server
            .put_member(&chat.replace(' ', "%20"), &user, &["share", "watch"])
            .expect_success("a member");
        let token = server.quick_token(&user);
        let mut peer = Peer::connect(server.ready.http, &token);
        let session = peer.share(chat, 3_600, "one").session;
        Self {
            chat,
            token,
            index,
            session,
            counter: 0,
        }
    }

    /// A backlog of the last seconds, by HTTP.
    fn backlog(&mut self, server: &Server) {
        let points: Vec<Value> = (1..=5)
            .map(|back| {
                self.counter += 1;
                let position = position_at(self.index, self.counter);
                json!({
                    "counter": self.counter,
                    "captured_at": now_ms() - back * 700,
                    "lat": position.lat(),
                    "lon": position.lon(),
                })
            })
            .collect();
        let body = json!({
            "chat": self.chat,
            "session": self.session.to_string(),
            "historical": true,
            "points": points,
        });
        Request::new("POST", "/v1/points")
            .token(&self.token)
            .json(&body)
            .send(server.ready.http)
            .expect_success("a backlog");
    }
}

/// Sends points of all sessions until the end; breaks off where the server does.
fn load(server: &Server, sharers: &mut [Sharer], until: Instant) {
    let mut peers: Vec<(Peer, skein_wire::ids::ShareNumber)> = sharers
        .iter_mut()
        .map(|sharer| {
            let mut peer = Peer::connect(server.ready.http, &sharer.token);
            let resumed = peer.try_resume(sharer.chat, sharer.session).expect("live");
            // A backlog leaves holes below; the next point must be above everything sent.
            sharer.counter = sharer.counter.max(resumed.counter_last.0);
            (peer, resumed.share)
        })
        .collect();
    while Instant::now() < until {
        for (sharer, (peer, share)) in sharers.iter_mut().zip(&mut peers) {
            sharer.counter += 1;
            let point = point_at(sharer.index, sharer.counter);
            peer.try_send(&[live(*share, point, false)]);
        }
        thread::sleep(Duration::from_millis(15));
    }
}

/// What the rule keeps of the records in the log: session and time to counter.
fn expected(server: &Server) -> BTreeMap<(String, u64), u64> {
    let place = server.data_dir().display().to_string();
    let export = process::run(["log", "export", "--data-dir", &place]);
    let text = export.expect_success("log export").stdout;
    let mut records: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    records.sort_by_key(|record| (record["partition"].as_u64(), record["offset"].as_u64()));
    let mut started = BTreeMap::new();
    let mut windows = BTreeMap::new();
    let mut kept = BTreeMap::new();
    for record in records {
        let number = |key: &str| record[key].as_u64().unwrap_or(0);
        let session = record["session"].as_str().unwrap_or_default().to_owned();
        let at_ms = match record["kind"].as_str().unwrap_or_default() {
            "started" => {
                started.insert(session, number("started_at"));
                continue;
            }
            "point" => number("time_ms"),
            "historical_point" => number("captured_at")
                .max(started[&session])
                .min(number("time_ms")),
            _ => continue,
        };
        let window = (session.clone(), at_ms / EVERY_MS);
        if windows.insert(window, ()).is_none() {
            kept.insert((session, at_ms), number("counter"));
        }
    }
    kept
}

fn every_record_counts_exactly_once_whenever_the_process_dies(cores: Cores) {
    let default = if skip::full() { KILLS_FULL } else { KILLS };
    let kills = skip::number("SKEIN_KILLS", default);
    let mut random = skip::number("SKEIN_SEED", now_ms()) | 1;
    eprintln!("---- {kills} kills with SKEIN_SEED={random}");
    let mut server = start(cores);
    let mut sharers: Vec<Sharer> = CHATS
        .iter()
        .enumerate()
        .map(|(index, chat)| Sharer::start(&server, chat, index))
        .collect();
    for _ in 0..kills {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let end = Instant::now() + Duration::from_millis(random % LOAD_MS_MAX);
        load(&server, &mut sharers, end);
        server.crash_and_restart();
        let number = random as usize % sharers.len();
        sharers[number].backlog(&server);
    }
    settle(&server);
    let expected = expected(&server);
    let mut found = BTreeMap::new();
    for chat in CHATS {
        for row in rows(&server, chat, 7) {
            let session = row["session"].as_str().expect("a session").to_owned();
            let at_ms = row["at"].as_u64().expect("a time");
            let counter = row["point"]["counter"].as_u64().expect("a counter");
            let sharer = sharers
                .iter()
                .find(|sharer| sharer.session.to_string() == session)
                .expect("a session of ours");
            assert_eq!(sharer.chat, chat);
            assert_eq!(row["user"], format!("walker-{}", sharer.index));
            let sent = position_at(sharer.index, counter);
            assert_eq!(row["point"]["lat"].as_f64(), Some(sent.lat()));
            let twice = found.insert((session, at_ms), counter);
            assert_eq!(twice, None, "{row}");
        }
    }
    assert!(found.len() >= kills as usize, "{} rows", found.len());
    assert_eq!(found, expected);
}

/// Whether these bytes are in a file of the folder.
fn is_in(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).expect("a folder").any(|entry| {
        let content = std::fs::read(entry.expect("an entry").path()).expect("a file");
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

fn an_erase_is_for_good(cores: Cores) {
    let mut server = start(cores);
    let mut sharers = vec![
        Sharer::start(&server, "hike", 0),
        Sharer::start(&server, "hike", 1),
    ];
    load(
        &server,
        &mut sharers,
        Instant::now() + Duration::from_millis(2_500),
    );
    settle(&server);
    let history = server.data_dir().join("history");
    let first = position_at(0, sharers[0].counter.min(1))
        .lat_e6
        .to_le_bytes();
    // The first point opens a window, so it is kept.
    assert!(is_in(&history, &first));
    let chat_rows = rows(&server, "hike", 1_000).len();

    let address = server.ready.control.to_string();
    let erase = |what: &[&str]| {
        let mut arguments = vec!["history", "erase", "--control", &address];
        arguments.extend_from_slice(what);
        let ended = process::run(arguments).expect_success("skein history erase");
        serde_json::from_str::<Value>(&ended.stdout).expect("a report")
    };
    let report = erase(&["--user", "walker-0"]);
    assert_eq!(
        (&report["sessions"], &report["scrubbed"]),
        (&json!(1), &json!(true))
    );
    let removed = report["rows"].as_u64().expect("rows") as usize;
    assert!(
        removed >= 2 && removed < chat_rows,
        "{report} of {chat_rows}"
    );
    let left = rows(&server, "hike", 1_000);
    assert_eq!(left.len(), chat_rows - removed);
    assert!(left.iter().all(|row| row["user"] == "walker-1"));
    let degrees = position_at(0, 1).lat();
    for form in [
        first.to_vec(),
        degrees.to_le_bytes().to_vec(),
        degrees.to_be_bytes().to_vec(),
        degrees.to_string().into_bytes(),
    ] {
        assert!(!is_in(&history, &form), "{form:?}");
    }

    erase(&["--chat", "hike"]);
    server.crash_and_restart();
    settle(&server);
    assert_eq!(rows(&server, "hike", 1_000), Vec::<Value>::new());
    // The session is alive, and what comes now is new.
    load(
        &server,
        &mut sharers,
        Instant::now() + Duration::from_millis(500),
    );
    wait::until("a new row", PATIENCE, || {
        !rows(&server, "hike", 1_000).is_empty()
    });
}

fn only_operators_read_it(cores: Cores) {
    let mut server = start(cores);
    let mut sharers = vec![Sharer::start(&server, "hike", 0)];
    load(
        &server,
        &mut sharers,
        Instant::now() + Duration::from_millis(300),
    );
    wait::until("a row", PATIENCE, || !rows(&server, "hike", 10).is_empty());
    let token = sharers[0].token.clone();
    let asked = |method: &str, address| -> Response {
        Request::new(method, &path("hike"))
            .token(&token)
            .send(address)
    };
    for method in ["GET", "DELETE"] {
        assert_eq!(asked(method, server.ready.http).status, 404, "{method}");
    }
    // A web page may not ask in the operator's name.
    let by_page = Request::new("GET", &path("hike"))
        .header("origin", "https://evil.example")
        .send(server.ready.control);
    assert_eq!(by_page.status, 401);

    let address = server.ready.control.to_string();
    let query = ["history", "query", "--chat", "hike", "--control", &address];
    let lines = process::run(query).expect_success("query").stdout;
    assert!(lines.lines().count() >= 1, "{lines}");
    let gpx = process::run(query.iter().copied().chain(["--format", "gpx"]));
    let gpx = gpx.expect_success("query as GPX").stdout;
    assert!(gpx.contains("<trkpt lat=\"47."), "{gpx}");
    let stat = process::run([
        "log",
        "stat",
        "--data-dir",
        &server.data_dir().display().to_string(),
    ]);
    let stat = stat.expect_success("log stat").stdout;
    assert!(stat.contains("consumer history: "), "{stat}");

    // One that is damaged stops the start, and says what to do.
    assert_eq!(server.stop().code(), Some(0));
    let file = server.data_dir().join("history").join("history.db");
    let mut bytes = std::fs::read(&file).expect("the database");
    bytes[..100].fill(0x5a);
    std::fs::write(&file, bytes).expect("written");
    let place = server.data_dir().display().to_string();
    let mut arguments = vec!["serve", "--dev", "--history", "--data-dir", &place];
    for listener in ["--quic", "--http", "--control"] {
        arguments.extend([listener, "127.0.0.1:0"]);
    }
    let refused = process::run(arguments);
    assert_eq!(refused.code(), Some(1));
    assert!(
        refused.stderr.contains("move the folder"),
        "{}",
        refused.stderr
    );
}
