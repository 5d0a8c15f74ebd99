//! One chat that everybody watches over QUIC: all are let in, all know the last place of everybody soon after
//! it has become quiet, the server's memory has its bound, and a small chat on the same shard hardly notices.
//!
//! The viewers are those of the load generator, in processes of its own. It follows each viewer's sessions by
//! their counters, and tells after its patience which of the last ones are missing at whom.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use skein_tests::binary;
use skein_tests::cores::Cores;
use skein_tests::process::Process;
use skein_tests::procfs;
use skein_tests::server::{Options, Server};
use skein_tests::skip;
use skein_tests::small_chat::{SmallChat, p99};
use skein_tests::wait::PATIENCE;

/// Who shares, once a second each.
const SENDERS: u64 = 50;

/// How much is done, and what is asked of it.
struct Scale {
    /// Viewers of the large chat.
    viewers: u64,
    /// How long somebody shares, seconds.
    shared_s: u64,
    /// All of them watch within this time.
    join: Duration,
    /// Of a thousand last places at viewers so many may be missing, five seconds after the last point.
    missing_per_mille: u64,
    /// The server's own memory, bytes.
    memory: u64,
    /// From a point of the small chat until all of its viewers have it, for 99 of 100 points.
    arrives: Duration,
}

impl Scale {
    fn now() -> Self {
        if skip::full() {
            Self {
                viewers: skip::number("SKEIN_VIEWERS", 100_000),
                shared_s: 30,
                join: Duration::from_secs(120),
                missing_per_mille: 1,
                memory: 2_000_000_000,
                arrives: Duration::from_millis(250),
            }
        } else {
            // The machine may be anybody's: nothing is asked of its speed.
            Self {
                viewers: 1_000,
                shared_s: 10,
                join: PATIENCE,
                missing_per_mille: 1,
                memory: 100_000_000,
                arrives: Duration::from_secs(2),
            }
        }
    }
}

/// The crowd, which joins, watches and is judged.
struct Crowd {
    process: Process,
    report: std::path::PathBuf,
}

impl Crowd {
    fn start(server: &Server, scale: &Scale) -> Self {
        let report = server.scratch().join("crowd.json");
        let mut command = Command::new(binary::skein_load());
        let quic = format!("localhost:{}", server.ready.quic.port());
        let control = server.ready.control.to_string();
        let ws = server.ready.http.to_string();
        command.args(["--quic", &quic, "--ws", &ws, "--control", &control]);
        command.arg("--data-dir").arg(server.data_dir());
        command.args(["--senders", &SENDERS.to_string()]);
        command.args(["--viewers-quic", &scale.viewers.to_string()]);
        command.args([
            "--duration",
            &format!("{}s", scale.shared_s),
            "--patience",
            "5s",
        ]);
        command.arg("--json").arg(&report);
        // Not on the server's core, where there is another one.
        if thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
            command.args(["--worker-cores", "1"]);
        }
        let process = Process::start("skein-load", command);
        Self { process, report }
    }

    /// From the first one that knocks until all of them watch.
    fn join(&self, viewers: u64, limit: Duration) -> Duration {
        let said = |text: String, limit| {
            let found = self.process.stderr.wait(limit, |lines| {
                lines
                    .iter()
                    .any(|line| line.contains(&text))
                    .then(Instant::now)
            });
            found.unwrap_or_else(|| panic!("no {text:?} in:\n{}", self.process.stderr.text()))
        };
        let began = said(format!("connecting {viewers} viewers"), 4 * PATIENCE);
        // What has its bound is judged by the caller, who says by how much it was missed.
        said(format!(" {viewers} viewers, "), 3 * limit).duration_since(began)
    }

    fn judged(mut self, scale: &Scale) -> Value {
        let limit = Duration::from_secs(scale.shared_s) + 3 * PATIENCE;
        self.process.wait(limit);
        read(&self.report)
    }
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn everybody_watches_one_chat() {
    let scale = Scale::now();
    let server = Server::start_with(Options {
        // All of them come from one address, and may be as long in coming as a silent sender takes to be stale. A walk
        // over a hundred thousand takes longer than the usual ceiling of the pace.
        configuration: "[limits]\naddress_requests_per_second_max = 0\nstale_after_ms = 600_000\nfloor_interval_ms_max = 5_000\n"
            .to_owned(),
        ..Options::new(Cores::One)
    });
    let mut small = SmallChat::gather(&server, "few");

    let crowd = Crowd::start(&server, &scale);
    let joined = crowd.join(scale.viewers, scale.join);
    let memory = procfs::anonymous_bytes(server.process.id());
    let beside = p99(&small.points(100));
    let report = crowd.judged(&scale);

    let whole = |pointer: &str| {
        let found = report.pointer(pointer).and_then(Value::as_u64);
        found.unwrap_or_else(|| panic!("no whole number at {pointer} in {report:#}"))
    };
    let owed = scale.viewers * SENDERS;
    let missing = whole("/summary/missing");
    eprintln!(
        "---- {} viewers: joined in {joined:?}; {missing} of {owed} last places missing after 5 s; {} MB; beside \
         them a small chat's points take {beside:?} for 99 of 100",
        scale.viewers,
        memory / 1_000_000
    );
    assert_eq!(whole("/summary/viewers"), scale.viewers);
    assert_eq!(report["summary"]["lost"], serde_json::json!({}));
    assert_eq!(whole("/summary/totals/out_of_order"), 0);
    assert!(
        missing * 1_000 <= owed * scale.missing_per_mille,
        "{missing}"
    );
    assert!(joined <= scale.join, "{joined:?}");
    assert!(memory <= scale.memory, "{memory} bytes");
    assert!(beside <= scale.arrives, "{beside:?}");
}
