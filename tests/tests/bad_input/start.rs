//! What keeps a server from starting, and commands that cannot work: exit code and a way out.

use std::net::{TcpListener, UdpSocket};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use skein_server::app::bad_inputs::BAD_STARTS;
use skein_tests::binary;
use skein_tests::cores::Cores;
use skein_tests::process::{self, Ended, Process};
use skein_tests::server::{Options, Server};
use skein_tests::wait::PATIENCE;

/// Ends with this code and says all of these words on stderr, and nothing on stdout.
fn assert_fails(ended: Ended, code: i32, words: &[&str], what: &str) {
    assert_eq!(ended.code(), Some(code), "{what}: {}", ended.stderr);
    let said = ended.stderr.to_lowercase();
    for word in words {
        assert!(
            said.contains(&word.to_lowercase()),
            "{what}: no `{word}` in:\n{}",
            ended.stderr
        );
    }
    assert!(!said.contains("panicked"), "{what}: {}", ended.stderr);
    assert_eq!(ended.stdout, "", "{what}: stdout is for the ready line");
}

fn serve(folder: &std::path::Path, extra: &[&str]) -> Ended {
    let place = folder.join("data").display().to_string();
    let mut arguments = vec!["serve", "--dev", "--data-dir", &place];
    let any = "127.0.0.1:0";
    for (flag, value) in [
        ("--quic", any),
        ("--http", any),
        ("--control", any),
        ("--cores", "0"),
    ] {
        if !extra.contains(&flag) {
            arguments.extend([flag, value]);
        }
    }
    arguments.extend_from_slice(extra);
    Process::skein("skein serve", arguments).wait(PATIENCE)
}

#[test]
fn an_unknown_key_is_named_with_the_one_that_was_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("skein.toml");
    std::fs::write(&path, "[listen]\nqiuc = \"127.0.0.1:0\"\n").expect("written");
    let file = path.display().to_string();
    let ended = serve(folder.path(), &["--config", &file]);
    assert_fails(
        ended,
        1,
        &["listen.qiuc", "did you mean", "listen.quic"],
        "a misspelt key",
    );
}

#[test]
fn a_variable_that_is_nearly_one_of_a_key_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = |variable: &str, value: &str| {
        let mut command = Command::new(binary::skein());
        command
            .args(["serve", "--dev", "--print-limits", "--data-dir"])
            .arg(folder.path().join("data"))
            .env(variable, value);
        Process::start("skein serve", command).wait(PATIENCE)
    };
    for (variable, meant) in [
        ("SKEIN_LISTEN_QUIC", "SKEIN_LISTEN__QUIC"),
        (
            "SKEIN_LIMITS_STALE_AFTER_MS",
            "SKEIN_LIMITS__STALE_AFTER_MS",
        ),
    ] {
        let ended = start(variable, "5000");
        assert_fails(ended, 1, &[variable, "did you mean", meant], variable);
    }
    // One of another program.
    start("SKEIN_TRACKS", "5000").expect_success("somebody else's variable");
    // Those of client commands.
    for variable in ["SKEIN_TOKEN", "SKEIN_CONTROL", "SKEIN_CONTROL_TOKEN"] {
        start(variable, "127.0.0.1:9").expect_success(variable);
    }
}

#[test]
fn configuration_that_cannot_be_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("skein.toml");
    let file = path.display().to_string();
    let cases = [
        (
            "[log]\nsync_interval_ms = \"often\"",
            &["sync_interval_ms"][..],
        ),
        ("[shards]\npartitions = 0", &["shards.partitions"][..]),
        ("not toml at all", &["toml"][..]),
    ];
    for (text, words) in cases {
        std::fs::write(&path, text).expect("written");
        assert_fails(serve(folder.path(), &["--config", &file]), 1, words, text);
    }
    let missing = folder.path().join("nowhere.toml").display().to_string();
    let ended = serve(folder.path(), &["--config", &missing]);
    assert_fails(ended, 1, &["nowhere.toml", "--config"], "a missing file");
    let ended = serve(folder.path(), &["--http", "0.0.0.0:0"]);
    assert_fails(ended, 1, &["loopback", "dev"], "dev mode for everybody");
}

/// Words of a line of [`BAD_STARTS`] as they are on this machine, and what they stand for.
struct Surroundings {
    folder: tempfile::TempDir,
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Surroundings {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("noise"), "fish and chips").expect("written");
        std::fs::write(folder.path().join("empty"), "").expect("written");
        std::fs::create_dir(folder.path().join("dir")).expect("made");
        Self {
            folder,
            tcp: TcpListener::bind("127.0.0.1:0").expect("a port"),
            udp: UdpSocket::bind("127.0.0.1:0").expect("a port"),
        }
    }

    fn fill_in(&self, line: &str) -> String {
        let place = |name| self.folder.path().join(name).display().to_string();
        line.replace("DIR", &place("dir"))
            .replace("NOISE", &place("noise"))
            .replace("EMPTY", &place("empty"))
            .replace("TCP", &self.tcp.local_addr().expect("bound").to_string())
            .replace("UDP", &self.udp.local_addr().expect("bound").to_string())
    }

    /// Any port and one core, where the line does not say which.
    fn run(&self, line: &str) -> Ended {
        let line = self.fill_in(line);
        let mut command = Command::new(binary::skein());
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((variable, value)) => command.env(variable, value),
                None => command.arg(word),
            };
        }
        for (flag, value) in [
            ("--quic", "127.0.0.1:0"),
            ("--http", "127.0.0.1:0"),
            ("--control", "127.0.0.1:0"),
            ("--cores", "0"),
        ] {
            if !line.split_whitespace().any(|word| word == flag) {
                command.args([flag, value]);
            }
        }
        Process::start("skein serve", command).wait(PATIENCE)
    }
}

#[test]
fn every_bad_start_says_what_to_do() {
    for bad in BAD_STARTS {
        let around = Surroundings::new();
        let ended = around.run(bad.input);
        let code = bad.code.parse().expect("an exit code");
        assert_fails(ended, code, &[bad.text], bad.what);
        let left = std::fs::read(around.folder.path().join("noise")).expect("still there");
        assert_eq!(left, b"fish and chips", "{}", bad.what);
    }
}

#[test]
fn a_start_that_fails_leaves_the_logs_as_they_were() {
    let mut server = Server::start(Cores::One);
    server.stop().expect_success("skein serve after SIGTERM");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let ended = serve(server.scratch(), &["--http", &address]);
    assert_fails(ended, 1, &[&address, "in use"], "a busy port");
    server.restart();
    let said = server.process.stderr.since(0).join("\n");
    assert!(said.contains("clean=true"), "{said}");
}

#[test]
fn usage_errors_have_their_own_exit_code() {
    for arguments in [
        &["serve", "--no-such-flag"][..],
        &["fly"][..],
        &["watch"][..],
        &["token", "--user", "ana", "--ttl", "soon"][..],
    ] {
        let ended = process::run(arguments);
        assert_eq!(ended.code(), Some(2), "{arguments:?}: {}", ended.stderr);
    }
    for command in [
        "demo", "serve", "relay", "token", "member", "session", "share", "watch", "log",
    ] {
        let ended = process::run([command, "--help"]).expect_success(command);
        assert!(
            ended.stdout.len() > 200,
            "{command}: help is more than this:\n{}",
            ended.stdout
        );
    }
}

#[test]
fn clients_say_what_they_need() {
    let server = Server::start(Cores::One);
    server.add_member("hike", "ana");
    let token = server.token("ana");
    let gpx = server.scratch().join("none.gpx").display().to_string();
    let ws = server.ws_url();
    let share = |gpx: &str| {
        process::run([
            "share",
            "--chat",
            "hike",
            "--token",
            &token,
            "--server",
            &server.quic_url(),
            "--insecure",
            "--gpx",
            gpx,
        ])
    };
    assert_fails(share(&gpx), 1, &["none.gpx"], "a missing track");
    let noise = server.scratch().join("noise.gpx");
    std::fs::write(&noise, "this is no XML <").expect("written");
    assert_fails(
        share(&noise.display().to_string()),
        1,
        &["noise.gpx"],
        "a track that is none",
    );
    let watch = |chat: &str, token: &str, url: &str| {
        process::run([
            "watch", "--chat", chat, "--token", token, "--server", url, "--for", "5",
        ])
    };
    assert_fails(
        watch("nowhere", &token, &ws),
        1,
        &["no such chat"],
        "a chat that is not there",
    );
    assert_fails(watch("hike", "garbage", &ws), 1, &["token"], "a bad token");
    let ended = watch("hike", &token, "gopher://127.0.0.1:1");
    assert!(matches!(ended.code(), Some(1 | 2)), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("quic://"),
        "which schemes there are: {}",
        ended.stderr
    );
}

#[test]
fn a_second_server_on_a_directory_is_told_so_before_anything_of_a_port() {
    let server = Server::start(Cores::One);
    let (place, http) = (server.data_dir().display().to_string(), server.ready.http);
    let ended = process::run([
        "serve",
        "--dev",
        "--data-dir",
        &place,
        "--cores",
        "0",
        "--http",
        &http.to_string(),
    ]);
    let held = format!("in use by process {}", server.process.id());
    assert_fails(ended, 1, &[&held], "the same server twice");
}

#[test]
fn a_start_that_fails_at_a_file_or_a_port_touches_no_log_and_makes_no_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("its address").to_string();
    let ended = serve(folder.path(), &["--control", &taken]);
    assert_fails(ended, 1, &["is in use"], "a busy port");
    let configuration = folder.path().join("skein.toml");
    let text = "[webhook]\nurls = [\"http://127.0.0.1:1/\"]\nsecret = \"/nonexistent/secret\"\n";
    std::fs::write(&configuration, text).expect("written");
    let configuration = configuration.display().to_string();
    let ended = serve(folder.path(), &["--config", &configuration]);
    assert_fails(ended, 1, &["/nonexistent/secret"], "no secret");
    let names: Vec<_> = std::fs::read_dir(folder.path().join("data"))
        .expect("the directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["lock"]);
}

#[test]
fn a_certificate_of_an_authority_is_warned_of_and_refused_in_plain_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).expect("names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pair = KeyPair::generate().expect("a key");
    let made = params.self_signed(&pair).expect("a certificate");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    std::fs::write(&certificate, made.pem()).expect("written");
    std::fs::write(&key, pair.serialize_pem()).expect("written");
    let mut options = Options::new(Cores::One);
    options.https = true;
    options.configuration = format!("[tls]\ncert = {certificate:?}\nkey = {key:?}\n");
    let server = Server::start_with(options);
    let said = server.process.stderr.text();
    assert!(said.contains("one of an authority (CA:TRUE)"), "{said}");
    for url in [server.quic_url(), server.wss_url()] {
        let ended = process::run([
            "watch",
            "--chat",
            "hike",
            "--token",
            &server.token("ana"),
            "--server",
            &url,
            "--ca",
            &certificate,
        ]);
        let words = ["one of an authority", "basicConstraints=critical,CA:FALSE"];
        assert_fails(ended, 1, &words, &url);
    }
}
