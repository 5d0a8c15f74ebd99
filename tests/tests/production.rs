//! A server as operators run it, which no other test's is: without `--dev`, as a user of its own, with
//! certificate, keys and control token of files. Nobody may look into its memory, nobody comes in without a
//! token, and it serves.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use skein_server::access::signer::TokenSigner;
use skein_tests::binary;
use skein_tests::cores::Cores;
use skein_tests::fleet::{now_ms, point_at};
use skein_tests::http::{Request, Response};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, Received};
use skein_tests::port::Port;
use skein_tests::process::Process;
use skein_tests::quic_peer::QuicPeer;
use skein_tests::server::{Ready, await_ready};
use skein_tests::skip;
use skein_tests::wait::{self, PATIENCE};
use skein_tests::websocket;
use skein_wire::ids::{RequestNumber, UserName};
use skein_wire::request::Delivery;
use skein_wire::update::Update;
use tempfile::TempDir;

on_one_and_two_shards!(a_server_in_production_serves_and_shows_nothing);

/// Nobody, on every system.
const USER: u32 = 65_534;

const CONTROL_TOKEN: &str = "control-token-of-production";

/// What a server in production finds.
struct Place {
    folder: TempDir,
    ports: [Port; 4],
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let certificate = certificate.expect("a certificate");
        let place = Self {
            folder,
            ports: std::array::from_fn(|_| Port::claim()),
        };
        fs::create_dir(place.path("keys")).expect("a directory");
        let [quic, http, https, control] = place.ports.each_ref().map(Port::address);
        let configuration = format!(
            "data_dir = {:?}\n[listen]\nquic = \"{quic}\"\nhttp = \"{http}\"\nhttps = \"{https}\"\n\
             control = \"{control}\"\n[access]\nkeys = {:?}\ncontrol_token = {:?}\n\
             origins = [\"https://map.example\"]\n[tls]\ncert = {:?}\nkey = {:?}\n",
            place.path("data"),
            place.path("keys"),
            place.path("control.token"),
            place.path("cert.pem"),
            place.path("key.pem"),
        );
        for (name, text) in [
            ("cert.pem", certificate.cert.pem()),
            ("key.pem", certificate.signing_key.serialize_pem()),
            ("control.token", CONTROL_TOKEN.to_owned()),
            ("skein.toml", configuration),
        ] {
            fs::write(place.path(name), text).expect("written");
            let secret = fs::Permissions::from_mode(0o600);
            fs::set_permissions(place.path(name), secret).expect("set");
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn signer(&self) -> TokenSigner {
        TokenSigner::open_or_create(&self.path("keys/token.pem")).expect("a key")
    }

    /// Gives all of it to the server's user; how to run a program as that user.
    fn hand_over(&self) -> Vec<String> {
        if !rustix::process::getuid().is_root() {
            return Vec::new();
        }
        give(self.folder.path());
        let user = USER.to_string();
        [
            "setpriv",
            "--clear-groups",
            "--reuid",
            &user,
            "--regid",
            &user,
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

fn give(path: &Path) {
    chown(path, Some(USER), Some(USER)).expect("given");
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a directory") {
            give(&entry.expect("an entry").path());
        }
    }
}

/// Runs a program, as somebody else where `by` says so.
fn start(by: &[String], name: &str, program: &Path, arguments: &[&str]) -> Process {
    let mut all = by.to_vec();
    all.push(program.display().to_string());
    let mut command = Command::new(&all[0]);
    command.args(&all[1..]).args(arguments);
    Process::start(name, command)
}

/// Who may look into a process: the kernel gives what shows its memory to root where nobody else may.
fn owner(process: &Process) -> u32 {
    let environ = format!("/proc/{}/environ", process.id());
    fs::metadata(environ).expect("a running process").uid()
}

fn a_server_in_production_serves_and_shows_nothing(cores: Cores) {
    let place = Place::new();
    let signer = place.signer();
    let by = place.hand_over();
    if !by.is_empty() && Command::new("setpriv").arg("--version").output().is_err() {
        skip::say(
            "a server in production",
            "it needs setpriv to be run as root",
        );
        return;
    }
    // Where the build lies, its user may have no way to.
    let program = place.path("skein");
    fs::copy(binary::skein(), &program).expect("copied");
    let configuration = place.path("skein.toml").display().to_string();
    let arguments = ["serve", "--config", &configuration, "--cores", cores.flag()];
    let mut server = start(&by, "skein serve", &program, &arguments);
    let ready = await_ready(&mut server);

    // A program that does nothing against it is its user's to look at.
    let other = start(&by, "sleep", Path::new("sleep"), &["60"]);
    let user = if by.is_empty() {
        rustix::process::getuid().as_raw()
    } else {
        USER
    };
    wait::until("another program runs", PATIENCE, || owner(&other) == user);
    assert_eq!(owner(&server), 0, "nobody may look into its memory");
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).expect("limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core.expect("a limit").split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "no core file");

    nobody_is_let_in_without_a_token(&ready);
    let mint = |user: &str| {
        let user = UserName::new(user).expect("a name");
        signer.mint(&user, 600, now_ms()).expect("a token")
    };
    who_has_one_is_served(&ready, &mint("ana"), &mint("ben"));
    pages_of_the_list_alone_are_let_in(&ready, &mint("ben"));
    server.terminate(PATIENCE).expect_success("skein serve");
    drop(other);
}

fn control(ready: &Ready, token: Option<&str>, method: &str, path: &str, body: &Value) -> Response {
    let request = Request::new(method, path).json(body);
    let request = match token {
        Some(token) => request.token(token),
        None => request,
    };
    request.send(ready.control)
}

fn nobody_is_let_in_without_a_token(ready: &Ready) {
    let member = json!({ "rights": ["share", "watch"] });
    let guessed = CONTROL_TOKEN.replace('o', "0");
    for token in [None, Some(guessed.as_str())] {
        for (method, path) in [
            ("GET", "/v1/chats/hike/members"),
            ("PUT", "/v1/chats/hike/members/ana"),
            ("GET", "/v1/events"),
        ] {
            let answer = control(ready, token, method, path, &member);
            assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
        }
    }
    let answer = Request::new("GET", "/v1/chats/hike/positions").send(ready.http);
    assert_eq!(answer.status, 401, "{answer:?}");
}

fn who_has_one_is_served(ready: &Ready, ana: &str, ben: &str) {
    let rights = json!({ "rights": ["share", "watch"] });
    for user in ["ana", "ben"] {
        let path = format!("/v1/chats/hike/members/{user}");
        control(ready, Some(CONTROL_TOKEN), "PUT", &path, &rights).expect_success("a member");
    }
    let mut sender = Peer::connect(ready.http, ana);
    let shared = sender.share("hike", 600, "walk");
    sender.durable_point(shared.share, point_at(1, 1));
    let over_tls = websocket::Options {
        tls: true,
        ..websocket::Options::default()
    };
    let https = ready.https.expect("it listens there");
    let mut viewer = Peer::connect_with(https, ben, &over_tls);
    viewer.watch("hike", None, Delivery::Latest);
    assert_eq!(viewer.batch(PATIENCE).expect("a batch").entries.len(), 1);
    let by: [fn(SocketAddr, &str) -> Result<QuicPeer, _>; 2] =
        [QuicPeer::try_connect, QuicPeer::try_connect_web];
    for connect in by {
        let mut viewer = connect(ready.quic, ben).expect("a welcome");
        let watch = skein_tests::peer::watch(RequestNumber(1), "hike", None, Delivery::Latest);
        viewer.send(&[watch]);
        wait::until("a batch", PATIENCE, || {
            let received = viewer.receive(PATIENCE);
            matches!(received, Some(Received::Update(Update::Batch(_))))
        });
    }
}

fn pages_of_the_list_alone_are_let_in(ready: &Ready, token: &str) {
    let from = |origin: &str| {
        let options = websocket::Options {
            origin: Some(origin.to_owned()),
            ..websocket::Options::default()
        };
        Peer::try_connect(ready.http, token, &options).is_ok()
    };
    assert!(from("https://map.example"));
    assert!(!from("https://evil.example"));
}
