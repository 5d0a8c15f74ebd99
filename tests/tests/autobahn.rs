//! The cases of the Autobahn WebSocket test suite, against an echo server made of the server's own
//! WebSocket code: framing, pings, reserved bits, opcodes, fragmentation, UTF-8, closing, and
//! large messages in many pieces.
//!
//! The runner is a program of its own that `SKEIN_AUTOBAHN` names; it and the suite's packages come
//! from outside of the repository.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use skein_tests::process::Process;
use skein_tests::python::{self, Environment};
use skein_tests::skip;
use skein_tests::websocket_echo::WebSocketEcho;

/// The suite, in the version that the runner knows.
const SUITE: &str = "autobahntestsuite==25.10.1";

/// All groups but 9 (throughput), 12 and 13 (compression, which nobody offers here).
const CASES: &str = "1.*,2.*,3.*,4.*,5.*,6.*,7.*,10.*";

/// How many cases these are.
const CASES_COUNT: usize = 247;

/// Longest run; a quiet machine takes a quarter of a minute.
const LIMIT: Duration = Duration::from_secs(240);

/// Outcomes of a case and of its close that are as the suite wants them.
const GOOD: [&str; 3] = ["OK", "NON-STRICT", "INFORMATIONAL"];

#[test]
fn every_case_of_the_autobahn_suite_passes() {
    let what = "the Autobahn cases";
    let Some(runner) = std::env::var_os("SKEIN_AUTOBAHN").map(PathBuf::from) else {
        skip::say(what, "SKEIN_AUTOBAHN does not name their runner");
        return;
    };
    let Some(environment) = Environment::find("autobahn", what) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary directory");
    if let Err(error) = prepare(&environment, &runner, folder.path()) {
        skip::say(what, &format!("they cannot be had: {error}"));
        return;
    }
    let echo = WebSocketEcho::start(folder.path());
    let results = run(&environment, &runner, &echo, folder.path());
    let bad: Vec<_> = results
        .iter()
        .filter(|(_, result)| !is_good(result))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!(results.len(), CASES_COUNT);
}

/// Downloads the suite and lets the runner convert its cases.
fn prepare(environment: &Environment, runner: &Path, folder: &Path) -> std::io::Result<()> {
    environment.download_source(SUITE, folder)?;
    let archive = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|end| end == "gz"));
    let archive = archive.ok_or_else(|| std::io::Error::other("no archive was downloaded"))?;
    let mut command = environment.python();
    command.arg(runner).arg("prepare").arg(archive).arg(folder);
    let mut converting = Process::start("autobahn prepare", command);
    converting.wait(LIMIT).expect_success("the conversion");
    Ok(())
}

/// Runs all cases; what each one says, by its number.
fn run(
    environment: &Environment,
    runner: &Path,
    echo: &WebSocketEcho,
    folder: &Path,
) -> serde_json::Map<String, Value> {
    let report = folder.join("report.json");
    let mut command = environment.python();
    command.arg(python::file("autobahn_run.py")).arg(runner);
    command.arg("run").arg(folder).arg(echo.url());
    command.arg(CASES).arg(&report);
    let mut running = Process::start("autobahn run", command);
    running.wait(LIMIT).expect_success("the runner");
    let text = std::fs::read_to_string(report).expect("a report");
    let results: Value = serde_json::from_str(&text).expect("a report in JSON");
    results.as_object().expect("an object").clone()
}

fn is_good(result: &Value) -> bool {
    let is = |key: &str| GOOD.contains(&result[key].as_str().unwrap_or_default());
    is("behavior") && is("close")
}
