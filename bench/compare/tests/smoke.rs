//! The peers that are part of the build run to the end, every delivery of theirs is right, and no
//! process or folder is left behind.

use std::path::Path;
use std::process::{Command, Output};

use skein_compare::figure::Measure;
use skein_compare::results::Results;

/// Measures of a peer that fans out over TCP.
const FAN_OUT: &[Measure] = &[
    Measure::FirstViewerP50,
    Measure::LastViewerP50,
    Measure::LastViewerP99,
    Measure::MemoryPerViewer,
    Measure::Delivered,
    Measure::DeliveredPerCpu,
    Measure::DeliveredMany,
];

fn compare(arguments: &[&str], peers: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compare"));
    command.args(arguments).env("SKEIN_PEERS", peers);
    command.output().expect("compare starts")
}

#[test]
fn the_peers_of_the_build_run_to_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("results.json");
    let file_text = file.display().to_string();
    let names = "skein,tungstenite,tokio-websockets";
    let arguments = ["--smoke", "--only", names, "--json", &file_text];
    let output = compare(&arguments, folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let results = Results::read(&file).expect("results");
    for name in ["skein", "tungstenite", "tokio-websockets"] {
        for measure in FAN_OUT {
            let figure = results.figure(name, *measure);
            let figure = figure.unwrap_or_else(|| panic!("{name} has no {measure:?}: {said}"));
            assert!(figure.command.contains(name), "{figure:?}");
        }
    }
    for (name, measure) in [
        ("skein-quic", Measure::LastViewerP50),
        ("skein-server", Measure::AppendEachSecond),
        ("skein-server", Measure::Restart),
    ] {
        assert!(results.figure(name, measure).is_some(), "{name}: {said}");
    }
    assert_eq!(children_left(), 0, "servers are left behind");
}

#[test]
fn a_ratio_that_does_not_repeat_is_an_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |name: &str, ratio: f64| {
        let path = folder.path().join(name);
        let entry = format!(r#""unit": "us", "ratio": {ratio}, "spread": [1.4, 1.6]"#);
        let text = format!(r#"{{"a": {{"ours": 1, {entry}}}}}"#);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let (first, near, far) = (run("1", 1.5), run("2", 1.6), run("3", 1.7));
    for (second, code) in [(&near, 0), (&far, 1), (&"absent.json".to_owned(), 1)] {
        let output = compare(&["repeats", &first, second], folder.path());
        assert_eq!(output.status.code(), Some(code), "{second}: {output:?}");
    }
}

#[test]
fn who_is_not_installed_is_skipped_with_the_line_that_installs_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("results.json");
    let file_text = file.display().to_string();
    let arguments = ["--smoke", "--only", "log-fjall", "--json", &file_text];
    let output = compare(&arguments, folder.path());
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("bench/compare/install.sh logs"), "{said}");
    let results = Results::read(&file).expect("results");
    assert!(results.figures.is_empty());
    assert!(
        results.peers[0].trouble.starts_with("skipped"),
        "{results:?}"
    );
}

#[test]
fn an_unknown_peer_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = compare(&["--only", "rediss"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("rediss") && said.contains("--list"), "{said}");
}

/// Processes in a role of this build that are no longer anybody's.
fn children_left() -> usize {
    let processes = std::fs::read_dir("/proc").expect("procfs").flatten();
    let executable = Path::new(env!("CARGO_BIN_EXE_compare"));
    let runs_it = |entry: &std::fs::DirEntry| {
        std::fs::read_link(entry.path().join("exe")).is_ok_and(|path| path == executable)
    };
    let orphans = processes.filter(runs_it).filter(|entry| {
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line == "PPid:\t1")
    });
    orphans.count()
}
