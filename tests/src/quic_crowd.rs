//! Many QUIC viewers in a process of their own, so that a test can freeze them all at once.
//!
//! The program is `quic_viewers`; this is how a test starts it and asks it questions. The two
//! talk in lines: a question on its stdin, one JSON object as the answer on its stdout.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::process::Process;
use crate::server::Server;
use crate::wait::PATIENCE;

/// What all viewers of a crowd know, summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Viewers whose connection is there.
    pub viewers: u64,
    /// Smallest cursor.
    pub cursor_min: u64,
    /// Largest cursor.
    pub cursor_max: u64,
    /// Fewest sessions that one of them sees live.
    pub live_min: u64,
    /// Smallest counter that one of them has of any live session.
    pub counter_min: u64,
    /// Most batches that one of them has applied since the last report.
    pub batches_max: u64,
}

/// A running crowd.
pub struct Crowd {
    /// The process.
    pub process: Process,
    answers: usize,
}

impl Crowd {
    /// Starts `count` viewers of `chat` and waits until all of them watch.
    ///
    /// # Panics
    /// If one of them cannot.
    pub fn start(server: &Server, program: &str, chat: &str, token: &str, count: usize) -> Self {
        let mut command = Command::new(program);
        command.args([
            &server.ready.quic.to_string(),
            chat,
            token,
            &count.to_string(),
        ]);
        let process = Process::start_talking("quic_viewers", command);
        let ready = process
            .stdout
            .wait(PATIENCE * 2, |lines| lines.first().cloned());
        assert_eq!(ready.as_deref(), Some("ready"), "{}", process.stderr.text());
        Self {
            process,
            answers: 1,
        }
    }

    /// Asks what they know.
    ///
    /// # Panics
    /// If there is no answer, or one of the viewers has lost its connection.
    pub fn report(&mut self) -> Report {
        self.process.say("report");
        let number = self.answers;
        self.answers += 1;
        let line = self
            .process
            .stdout
            .wait(PATIENCE, |lines| lines.get(number).cloned());
        let line = line.unwrap_or_else(|| panic!("no report: {}", self.process.stderr.text()));
        let json: Value = serde_json::from_str(&line).expect("a JSON object");
        let whole = |key: &str| json[key].as_u64().expect("a whole number");
        Report {
            viewers: whole("viewers"),
            cursor_min: whole("cursor_min"),
            cursor_max: whole("cursor_max"),
            live_min: whole("live_min"),
            counter_min: whole("counter_min"),
            batches_max: whole("batches_max"),
        }
    }

    /// Asks until all of them have `counter` of each of `sessions` live sessions.
    ///
    /// # Panics
    /// If that is not so within `limit`.
    pub fn wait_for(&mut self, sessions: u64, counter: u64, limit: Duration) -> Report {
        let end = std::time::Instant::now() + limit;
        let mut batches_max = 0;
        loop {
            let report = self.report();
            batches_max = batches_max.max(report.batches_max);
            if report.live_min == sessions && report.counter_min == counter {
                return Report {
                    batches_max,
                    ..report
                };
            }
            assert!(
                std::time::Instant::now() < end,
                "still {report:?} after {limit:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
