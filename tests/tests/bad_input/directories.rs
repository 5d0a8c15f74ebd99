//! Data directories that are in use, not ours, or damaged.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use skein_engine::placement::partition_of;
use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, name};
use skein_tests::process::{self, Process};
use skein_tests::server::Server;
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

fn serve(place: &Path) -> Process {
    let place = place.display().to_string();
    let mut arguments = vec!["serve", "--dev", "--data-dir", &place, "--cores", "0"];
    for flag in ["--quic", "--http", "--control"] {
        arguments.extend([flag, "127.0.0.1:0"]);
    }
    Process::skein("a second skein serve", arguments)
}

#[test]
fn a_directory_in_use_is_refused() {
    let server = Server::start(Cores::One);
    let ended = serve(&server.data_dir()).wait(PATIENCE);
    assert_eq!(ended.code(), Some(1), "{}", ended.stderr);
    let said = ended.stderr.to_lowercase();
    assert!(
        said.contains("lock") || said.contains("in use"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stdout, "");
    // The first one goes on.
    server.add_member("hike", "ana");
}

#[test]
fn a_directory_that_is_not_ours_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let theirs = folder.path().join("letter.txt");
    fs::write(&theirs, "dear diary").expect("written");
    let ended = serve(folder.path()).wait(PATIENCE);
    assert_eq!(ended.code(), Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains(&folder.path().display().to_string()),
        "{}",
        ended.stderr
    );
    let left: Vec<_> = fs::read_dir(folder.path())
        .expect("readable")
        .flatten()
        .collect();
    assert_eq!(left.len(), 1, "nothing was put beside it: {left:?}");
    assert_eq!(
        fs::read_to_string(&theirs).expect("still there"),
        "dear diary"
    );
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
}
