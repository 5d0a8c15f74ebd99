//! Data directories that are in use, not ours, or damaged.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use skein_engine::placement::partition_of;
use skein_server::app::bad_inputs::BAD_DIRECTORIES;
use skein_tests::binary;
use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, name};
use skein_tests::process::{self, Process};
use skein_tests::server::{Ready, Server};
use skein_tests::table::Table;
use skein_tests::wait::{self, PATIENCE};
use skein_wire::request::Delivery;

on_one_and_two_shards!(
    a_corrupt_segment_harms_its_own_chat_only,
    a_segment_that_was_damaged_after_a_clean_stop_is_put_aside_too,
);

/// Bytes from the check sum of a batch's header to the session of its first record, which stands in
/// the record's prefix (`docs/LOG_FORMAT.md`).
const HEADER_CRC_TO_SESSION: u64 = 44;

/// Partitions of a data directory by default.
const PARTITIONS: u16 = 64;

/// A server that keeps a history.
fn serve(place: &Path) -> Process {
    serve_with_partitions(place, PARTITIONS)
}

fn serve_with_partitions(place: &Path, partitions: u16) -> Process {
    let mut command = Command::new(binary::skein());
    command.args(["serve", "--dev", "--cores", "0", "--data-dir"]);
    command.arg(place);
    for flag in ["--quic", "--http", "--control"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    command.env("SKEIN_HISTORY__ENABLED", "true");
    command.env("SKEIN_SHARDS__PARTITIONS", partitions.to_string());
    Process::start("skein serve", command)
}

/// A directory that a server has left in good order, with something in every part of it.
fn used(folder: &Path) -> PathBuf {
    let place = folder.join("data");
    let mut server = serve(&place);
    let line = server.stdout.wait(PATIENCE, |lines| lines.first().cloned());
    let ready = Ready::parse(&line.expect("the ready line"));
    let control = ready.control.to_string();
    process::run([
        "member",
        "add",
        "--chat",
        "hike",
        "--user",
        "ana",
        "--control",
        &control,
    ])
    .expect_success("a member");
    server.terminate(PATIENCE).expect_success("skein serve");
    place
}

/// Nonsense instead of some bytes.
fn damage(path: &Path, at: u64) {
    let file = fs::File::options().write(true).open(path);
    let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.write_all_at(&[0xa5; 16], at).expect("damaged");
}

/// Nothing but somebody else's file.
fn make_foreign(folder: &Path) {
    fs::remove_dir_all(folder).expect("removed");
    fs::create_dir(folder).expect("made");
    fs::write(folder.join(LETTER.0), LETTER.1).expect("written");
}

/// Somebody else's file.
const LETTER: (&str, &str) = ("letter.txt", "dear diary");

/// Bytes of a segment before its first batch (`docs/LOG_FORMAT.md`).
const HEADER_PAGE: u64 = 4096;

/// What a line of [`BAD_DIRECTORIES`] says is the matter. `None`: it takes more than files; a test of
/// its own does it, and looks for the line's text.
fn bring_about(what: &str, place: &Path) -> Option<()> {
    match what {
        "foreign" => make_foreign(place),
        "foreign log" => make_foreign(&place.join("log")),
        // The start is told of other partitions than these.
        "other partitions" => {}
        "damaged identity" => damage(&place.join("log").join("skein-log"), 8),
        "damaged token key" => damage(&place.join("keys").join("token.pem"), 40),
        "damaged QUIC key" => {
            fs::write(place.join("keys").join("quic-id.key"), "short").expect("written")
        }
        "damaged control log" => {
            let mut found = Vec::new();
            files_below(&place.join("control"), &mut found);
            let segment = found
                .iter()
                .find(|path| path.display().to_string().contains("p00000-"));
            damage(segment.expect("a segment"), HEADER_PAGE + 64);
        }
        "damaged history" => damage(&place.join("history").join("history.db"), 0),
        "in use" | "damaged segment" => return None,
        other => panic!("the list has a directory that this test cannot make: {other}"),
    }
    Some(())
}

/// The text that the list promises for this directory.
fn promised(what: &str) -> &'static str {
    let found = BAD_DIRECTORIES.iter().find(|bad| bad.input == what);
    found
        .unwrap_or_else(|| panic!("`{what}` is not in the list"))
        .text
}

#[test]
fn a_directory_in_use_is_refused() {
    let server = Server::start(Cores::One);
    let ended = serve(&server.data_dir()).wait(PATIENCE);
    assert_eq!(ended.code(), Some(1), "{}", ended.stderr);
    let said = &ended.stderr;
    assert!(said.contains(promised("in use")), "{said}");
    assert_eq!(ended.stdout, "");
    // The first one goes on.
    server.add_member("hike", "ana");
}

#[test]
fn every_bad_directory_says_what_to_do() {
    for bad in BAD_DIRECTORIES {
        let folder = tempfile::tempdir().expect("a folder");
        let place = used(folder.path());
        if bring_about(bad.input, &place).is_none() {
            continue;
        }
        let before = content(&place);
        let partitions = match bad.input {
            "other partitions" => PARTITIONS / 2,
            _ => PARTITIONS,
        };
        let mut server = serve_with_partitions(&place, partitions);
        if bad.code == "serves" {
            let line = server.stdout.wait(PATIENCE, |lines| lines.first().cloned());
            line.unwrap_or_else(|| panic!("{}: it does not serve", bad.what));
            let ended = server.terminate(PATIENCE);
            assert!(
                ended.stderr.contains(bad.text),
                "{}: {}",
                bad.what,
                ended.stderr
            );
            continue;
        }
        let ended = server.wait(PATIENCE);
        let code = ended.code().map(|code| code.to_string());
        assert_eq!(
            code.as_deref(),
            Some(bad.code),
            "{}: {}",
            bad.what,
            ended.stderr
        );
        assert!(
            ended.stderr.contains(bad.text),
            "{}: {}",
            bad.what,
            ended.stderr
        );
        assert!(
            !ended.stderr.contains("panicked"),
            "{}: {}",
            bad.what,
            ended.stderr
        );
        assert_eq!(
            ended.stdout, "",
            "{}: stdout is for the ready line",
            bad.what
        );
        if bad.input == "foreign" {
            let left = fs::read_dir(&place).expect("readable").count();
            assert_eq!(left, 1, "{}: nothing was put beside it", bad.what);
        }
        for (path, bytes) in before {
            assert_eq!(
                fs::read(&path).ok(),
                Some(bytes),
                "{}: {}",
                bad.what,
                path.display()
            );
        }
    }
}

/// What people would miss: logs, keys, databases and what is not ours. Marks and locks come and go.
fn content(place: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    files_below(place, &mut found);
    let kept = |path: &PathBuf| {
        let extension = path.extension().and_then(OsStr::to_str);
        matches!(extension, Some("pem" | "key" | "seg" | "db" | "txt"))
    };
    let read = |path: PathBuf| fs::read(&path).map(|bytes| (path, bytes)).ok();
    found.into_iter().filter(kept).filter_map(read).collect()
}

/// Files below a folder, largest content first.
fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Where the name of a chat's session stands in the log: damage there hits that chat.
fn find_in(path: &Path, what: &[u8]) -> Option<u64> {
    let bytes = fs::read(path).ok()?;
    let at = bytes
        .windows(what.len())
        .position(|window| window == what)?;
    Some(at as u64)
}

fn a_corrupt_segment_harms_its_own_chat_only(cores: Cores) {
    a_damaged_batch_harms_its_own_chat_only(cores, End::Killed, Damage::Body);
}

fn a_segment_that_was_damaged_after_a_clean_stop_is_put_aside_too(cores: Cores) {
    for damage in [Damage::Header, Damage::Body] {
        a_damaged_batch_harms_its_own_chat_only(cores, End::Stopped, damage);
    }
}

/// How the server came to its end before the damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Stopped,
}

/// Which part of a batch is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Header,
    Body,
}

fn a_damaged_batch_harms_its_own_chat_only(cores: Cores, end: End, damage: Damage) {
    let partition = |chat| partition_of(&name(chat), PARTITIONS);
    assert_ne!(
        partition("hurt"),
        partition("sound"),
        "two chats with files of their own"
    );
    let mut server = Server::start(cores);
    let mut hurt = Fleet::start(&server, "hurt", 2);
    let mut sound = Fleet::start(&server, "sound", 2);
    for _ in 0..200 {
        hurt.publish();
        sound.publish();
    }
    hurt.settle();
    sound.settle();
    // Long enough for the log to have synced, and the next batch says so: what is damaged before
    // it is damage, not a torn tail.
    std::thread::sleep(Duration::from_millis(2_500));
    hurt.publish();
    sound.publish();
    hurt.settle();
    sound.settle();
    match end {
        End::Killed => server.process.kill(),
        End::Stopped => {
            let stopped = server.stop();
            stopped.expect_success("skein serve after SIGTERM");
        }
    }

    let session = hurt.members().next().expect("a session").session;
    let mut segments = Vec::new();
    files_below(&server.data_dir().join("log"), &mut segments);
    let needle = session.0.to_le_bytes();
    let (path, at) = segments
        .iter()
        .find_map(|path| find_in(path, &needle).map(|at| (path.clone(), at)))
        .expect("the session's first record");
    let file = fs::File::options()
        .write(true)
        .open(&path)
        .expect("writable");
    let at = match damage {
        Damage::Body => at,
        Damage::Header => at - HEADER_CRC_TO_SESSION,
    };
    file.write_all_at(&[0xa5; 4], at).expect("damaged");
    drop(file);

    let place = server.data_dir().display().to_string();
    let verify = process::run(["log", "verify", "--data-dir", &place]);
    assert_eq!(
        verify.code(),
        Some(1),
        "the damage is found: {}",
        verify.stdout
    );
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let said = verify.stdout + &verify.stderr;
    assert!(said.contains(&name), "the file is named: {said}");

    server.restart();
    server
        .put_member("sound", "viewer", &["watch"])
        .expect_success("a viewer");
    let mut viewer = Peer::connect(server.ready.http, &server.token("viewer"));
    viewer.watch("sound", None, Delivery::Latest);
    let mut table = Table::default();
    wait::until("the other chat is whole", PATIENCE, || {
        if let Some(batch) = viewer.batch(Duration::from_millis(50)) {
            table.apply(batch);
        }
        sound.members().all(|member| {
            table
                .session(member.session)
                .is_some_and(|row| row.counter == member.counter)
        })
    });
    let report = server.process.stderr.text();
    assert!(
        report.contains(&name),
        "the start says which file is damaged:\n{report}"
    );
    assert!(report.contains(promised("damaged segment")), "{report}");
}
