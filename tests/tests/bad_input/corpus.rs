//! The corpus of malformed input (`tests/corpus`) by every lane: each is answered as documented, nobody
//! else notices, and the memory that it took is given back.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;
use std::time::Duration;

use skein_tests::cores::Cores;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{self, Closed, Peer, Received, encoded};
use skein_tests::procfs;
use skein_tests::quic_peer::QuicPeer;
use skein_tests::server::Server;
use skein_tests::wait::{self, PATIENCE};
use skein_tests::websocket::{Options, WebSocket};
use skein_wire::error::Code;
use skein_wire::request::Request;
use skein_wire::update::Update;

use crate::Bystanders;

on_one_and_two_shards!(each_case_of_the_corpus_is_answered_as_documented);

/// Rounds after the first one, which fills caches and pools, and in which memory must not grow.
const ROUNDS: usize = 1;

/// Bytes by which it may differ all the same: allocators keep some. A leak of a buffer of 4 KiB in each
/// case of each round would be twice as much.
const GROWTH_BYTES_MAX: u64 = 256 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Raw,
    Message,
    Control,
    Beside,
    Datagram,
}

impl Lane {
    /// Whether it lies within a session of WebTransport: those of QUIC are there as such, too.
    fn carriers(self) -> &'static [bool] {
        match self {
            Self::Raw | Self::Message => &[false],
            Self::Control | Self::Beside | Self::Datagram => &[false, true],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Closes(Code),
    Refused(Code),
    GoesOn,
    Any,
}

#[derive(Debug)]
struct Case {
    file: String,
    after_hello: bool,
    bytes: Vec<u8>,
    outcomes: BTreeMap<Lane, Outcome>,
}

impl Case {
    fn parse(file: String, text: &str) -> Self {
        let mut case = Self {
            file,
            after_hello: true,
            bytes: Vec::new(),
            outcomes: BTreeMap::new(),
        };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "first" => case.after_hello = false,
                "send" => case.bytes = bytes(rest),
                lane => drop(case.outcomes.insert(self::lane(lane), outcome(rest))),
            }
        }
        assert!(!case.outcomes.is_empty(), "{}: no lane", case.file);
        case
    }
}

fn lane(text: &str) -> Lane {
    match text {
        "raw" => Lane::Raw,
        "message" => Lane::Message,
        "control" => Lane::Control,
        "beside" => Lane::Beside,
        "datagram" => Lane::Datagram,
        other => panic!("no lane {other}"),
    }
}

fn outcome(text: &str) -> Outcome {
    let code = |name: &str| {
        let codes = (0..=u16::from(u8::MAX)).filter_map(Code::from_u16);
        let mut named = codes.filter(|code| code.name() == name);
        named.next().unwrap_or_else(|| panic!("no code {name}"))
    };
    match text.split_once(' ') {
        Some(("closes", name)) => Outcome::Closes(code(name)),
        Some(("refused", name)) => Outcome::Refused(code(name)),
        None if text == "goes_on" => Outcome::GoesOn,
        None if text == "any" => Outcome::Any,
        _ => panic!("no outcome {text}"),
    }
}

fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        let (digits, count) = word.split_once('*').unwrap_or((word, "1"));
        let count = count.parse().expect("a number of times");
        for _ in 0..count {
            for pair in digits.as_bytes().chunks(2) {
                let pair = str::from_utf8(pair).expect("digits");
                bytes.push(u8::from_str_radix(pair, 16).expect("two hexadecimal digits"));
            }
        }
    }
    bytes
}

fn corpus() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|end| end == "case") {
            let file = path.file_name().expect("a name").display().to_string();
            cases.push(Case::parse(
                file,
                &fs::read_to_string(&path).expect("a text"),
            ));
        }
    }
    cases.sort_by(|a, b| a.file.cmp(&b.file));
    assert!(cases.len() > 60, "{} cases", cases.len());
    cases
}

/// A client by one lane.
enum Client {
    WebSocket(Box<Peer>),
    /// Without a hello.
    Bare(WebSocket, VecDeque<Update>),
    Quic(Box<QuicPeer>),
}

impl Client {
    fn open(server: &Server, lane: Lane, is_web: bool, token: Option<&str>) -> Self {
        let is_websocket = matches!(lane, Lane::Raw | Lane::Message);
        match (is_websocket, token) {
            (true, Some(token)) => {
                Self::WebSocket(Box::new(Peer::connect(server.ready.http, token)))
            }
            (true, None) => {
                let socket = WebSocket::connect(server.ready.http, &Options::default());
                Self::Bare(socket.expect("an upgrade"), VecDeque::new())
            }
            (false, Some(token)) => {
                let connect = match is_web {
                    true => QuicPeer::try_connect_web,
                    false => QuicPeer::try_connect,
                };
                let peer = connect(server.ready.quic, token);
                Self::Quic(Box::new(peer.expect("a welcome")))
            }
            (false, None) => {
                let connect = match is_web {
                    true => QuicPeer::silent_web,
                    false => QuicPeer::silent,
                };
                let peer = connect(server.ready.quic);
                Self::Quic(Box::new(peer.expect("a connection")))
            }
        }
    }

    fn send(&mut self, lane: Lane, bytes: &[u8]) {
        match (self, lane) {
            (Self::WebSocket(peer), Lane::Raw) => drop(peer.socket.send_raw(bytes)),
            (Self::WebSocket(peer), _) => drop(peer.socket.send(bytes)),
            (Self::Bare(socket, _), _) => drop(socket.send(bytes)),
            (Self::Quic(peer), Lane::Beside) => peer.send_beside(bytes),
            (Self::Quic(peer), Lane::Datagram) => peer.send_datagram_bytes(bytes),
            (Self::Quic(peer), _) => peer.send_bytes(bytes),
        }
    }

    fn request(&mut self, request: Request) {
        match self {
            Self::WebSocket(peer) => drop(peer.try_send(&[request])),
            Self::Bare(socket, _) => drop(socket.send(&encoded(&[request]))),
            Self::Quic(peer) => peer.send(&[request]),
        }
    }

    fn receive(&mut self) -> Option<Received> {
        match self {
            Self::WebSocket(peer) => peer.receive(PATIENCE),
            Self::Bare(socket, inbox) => peer::receive(socket, inbox, PATIENCE),
            Self::Quic(peer) => peer.receive(PATIENCE),
        }
    }

    /// What is said until the connection ends or a ping, which is sent behind the bytes, is answered.
    /// A refusal may come from another core, and so behind the answer.
    fn outcome(&mut self, case: &Case, expected: Outcome) -> Outcome {
        let awaited = matches!(expected, Outcome::Refused(_));
        if case.after_hello {
            self.request(Request::Ping(77));
        }
        let mut said = Outcome::GoesOn;
        loop {
            match self.receive() {
                Some(Received::Update(Update::Goodbye(goodbye))) => {
                    said = Outcome::Closes(goodbye.code);
                }
                Some(Received::Update(Update::Refused(refused))) => {
                    said = Outcome::Refused(refused.code);
                    self.request(Request::Ping(77));
                }
                // Bytes beside the control stream and the ping overtake each other: twice.
                Some(Received::Update(Update::Pong(pong))) if pong.number == 77 => {
                    self.request(Request::Ping(78));
                }
                Some(Received::Update(Update::Pong(pong))) if pong.number == 78 => {
                    if said != Outcome::GoesOn || !awaited {
                        return said;
                    }
                }
                Some(Received::Update(_)) => {}
                Some(Received::Closed(closed)) => return of_close(said, &closed, case),
                None => panic!("{}: neither an answer nor an end", case.file),
            }
        }
    }
}

fn of_close(said: Outcome, closed: &Closed, case: &Case) -> Outcome {
    let code = closed.protocol_code();
    let code = code.unwrap_or_else(|| panic!("{}: cut off: {closed:?}", case.file));
    if let Outcome::Closes(before) = said {
        assert_eq!(
            before, code,
            "{}: the goodbye and the close differ",
            case.file
        );
    }
    Outcome::Closes(code)
}

/// The codes with which noise may end a connection: those of the peer's bytes.
fn blames_the_bytes(code: Code) -> bool {
    let number = code as u16;
    (16..=22).contains(&number) || (48..=55).contains(&number) || code == Code::BadToken
}

fn replay(server: &Server, cases: &[Case], token: &str) -> usize {
    let mut replayed = 0;
    for case in cases {
        for (&lane, &expected) in &case.outcomes {
            for is_web in lane.carriers() {
                let token = case.after_hello.then_some(token);
                let mut client = Client::open(server, lane, *is_web, token);
                client.send(lane, &case.bytes);
                let got = client.outcome(case, expected);
                let fits = match (expected, got) {
                    (Outcome::Any, Outcome::Closes(code)) => blames_the_bytes(code),
                    (Outcome::Any, _) => true,
                    (expected, got) => expected == got,
                };
                assert!(
                    fits,
                    "{} by {lane:?} (web: {is_web}): {got:?}, not {expected:?}",
                    case.file
                );
                replayed += 1;
            }
        }
    }
    replayed
}

fn each_case_of_the_corpus_is_answered_as_documented(cores: Cores) {
    let server = Server::start(cores);
    let mut bystanders = Bystanders::start(&server);
    let cases = corpus();
    let token = server.token("mallory");
    let pid = server.process.id();
    let connections = || {
        let metrics = server.metrics();
        ["websocket", "quic", "webtransport"]
            .map(|it| metrics.sum(&format!("skein_{it}_connections")))
            .iter()
            .sum::<f64>()
    };
    // Metrics are published once a second at most.
    std::thread::sleep(Duration::from_secs(2));
    let before = connections();
    replay(&server, &cases, &token);
    bystanders.assert_unharmed("the corpus");
    wait::until("all connections are gone", PATIENCE, || {
        connections() <= before
    });
    let held = procfs::anonymous_bytes(pid);
    for _ in 0..ROUNDS {
        let replayed = replay(&server, &cases, &token);
        assert!(replayed > 200, "{replayed} were replayed");
    }
    bystanders.assert_unharmed("the corpus again");
    wait::until("all connections are gone", PATIENCE, || {
        connections() <= before
    });
    let now = procfs::anonymous_bytes(pid);
    assert!(
        now <= held + GROWTH_BYTES_MAX,
        "{held} bytes after the first round, {now} after {ROUNDS} more"
    );
}
