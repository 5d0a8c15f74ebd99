//! Many QUIC viewers in a process of their own, so that a test can freeze them all at once.
//!
//! The program is `quic_viewers`; this is how a test starts it and asks it questions. The two
//! talk in lines: a question on its stdin, one JSON object as the answer on its stdout.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::Process;
use crate::quic::KEEP_ALIVE;
use crate::server::Server;
use crate::wait::PATIENCE;

/// How long a hundred viewers, or what is left of them, may take to join.
const JOIN_100: Duration = PATIENCE;

/// What all viewers of a crowd know, summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Viewers, connected or not.
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
    /// Full batches that came to viewers who had brought a cursor, ever.
    pub snapshots: u64,
}

/// How long rows differed from the table, see [`crate::ages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Differed {
    /// Changes of rows, once for each viewer.
    pub changes: u64,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// None took longer.
    pub max: Duration,
}

/// How a crowd came, milliseconds since 1970: what several crowds say fits together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrivals {
    /// How many watch.
    pub watching: u64,
    /// When the first one knocked.
    pub asked_first_ms: u64,
    /// When the last one knocked.
    pub asked_last_ms: u64,
    /// When the first one watched.
    pub watching_first_ms: u64,
    /// When half of those who watch did.
    pub watching_p50_ms: u64,
    /// When the last one did.
    pub watching_last_ms: u64,
    /// Connections that failed, and were tried again.
    pub refused: u64,
}

impl Arrivals {
    /// Of two crowds together. That of the half of them is the later one.
    pub fn and(self, other: Self) -> Self {
        Self {
            watching: self.watching + other.watching,
            asked_first_ms: self.asked_first_ms.min(other.asked_first_ms),
            asked_last_ms: self.asked_last_ms.max(other.asked_last_ms),
            watching_first_ms: self.watching_first_ms.min(other.watching_first_ms),
            watching_p50_ms: self.watching_p50_ms.max(other.watching_p50_ms),
            watching_last_ms: self.watching_last_ms.max(other.watching_last_ms),
            refused: self.refused + other.refused,
        }
    }
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
        Self::start_at(server.ready.quic, program, chat, token, count, KEEP_ALIVE)
    }

    /// The same over a way of the test's own, with so much time between keep-alives.
    ///
    /// # Panics
    /// If one of them cannot.
    pub fn start_at(
        to: SocketAddr,
        program: &str,
        chat: &str,
        token: &str,
        count: usize,
        keep_alive: Duration,
    ) -> Self {
        let mut command = Command::new(program);
        command.args([
            &to.to_string(),
            chat,
            token,
            &count.to_string(),
            &keep_alive.as_millis().to_string(),
        ]);
        let process = Process::start_talking("quic_viewers", command);
        let patience = PATIENCE + JOIN_100 * count.div_ceil(100) as u32;
        let ready = process
            .stdout
            .wait(patience, |lines| lines.first().cloned());
        assert_eq!(ready.as_deref(), Some("ready"), "{}", process.stderr.text());
        Self {
            process,
            answers: 1,
        }
    }

    fn ask(&mut self, question: &str) -> Value {
        self.process.say(question);
        let number = self.answers;
        self.answers += 1;
        let line = self
            .process
            .stdout
            .wait(PATIENCE, |lines| lines.get(number).cloned());
        let line = line.unwrap_or_else(|| panic!("no answer: {}", self.process.stderr.text()));
        serde_json::from_str(&line).expect("a JSON object")
    }

    /// Asks what they know.
    ///
    /// # Panics
    /// If there is no answer, or one of the viewers has lost its connection.
    pub fn report(&mut self) -> Report {
        let json = self.ask("report");
        let whole = |key| whole(&json, key);
        Report {
            viewers: whole("viewers"),
            cursor_min: whole("cursor_min"),
            cursor_max: whole("cursor_max"),
            live_min: whole("live_min"),
            counter_min: whole("counter_min"),
            batches_max: whole("batches_max"),
            snapshots: whole("snapshots"),
        }
    }

    /// How many see `sessions` live sessions whose counters sum up to this: none of them is behind.
    ///
    /// # Panics
    /// As [`Self::report`].
    pub fn current(&mut self, sessions: u64, counter_sum: u64) -> u64 {
        let json = self.ask(&format!("current {sessions} {counter_sum}"));
        whole(&json, "current")
    }

    /// How long rows differed from the table since this was last asked, where senders measure each
    /// `period`.
    ///
    /// # Panics
    /// As [`Self::report`].
    pub fn differed(&mut self, period: Duration) -> Differed {
        let json = self.ask(&format!("ages {}", period.as_millis()));
        let time = |key| Duration::from_millis(whole(&json, key));
        Differed {
            changes: whole(&json, "changes"),
            p50: time("p50_ms"),
            p99: time("p99_ms"),
            max: time("max_ms"),
        }
    }

    /// All are gone without a word.
    ///
    /// # Panics
    /// As [`Self::report`].
    pub fn vanish(&mut self) {
        self.ask("vanish");
    }

    /// All come back at once, with their cursors. Does not wait until they are there.
    ///
    /// # Panics
    /// As [`Self::report`].
    pub fn come_back(&mut self) {
        self.ask("return");
    }

    /// How they came.
    ///
    /// # Panics
    /// As [`Self::report`].
    pub fn arrivals(&mut self) -> Arrivals {
        let json = self.ask("arrivals");
        let whole = |key| whole(&json, key);
        Arrivals {
            watching: whole("watching"),
            asked_first_ms: whole("asked_first_ms"),
            asked_last_ms: whole("asked_last_ms"),
            watching_first_ms: whole("watching_first_ms"),
            watching_p50_ms: whole("watching_p50_ms"),
            watching_last_ms: whole("watching_last_ms"),
            refused: whole("refused"),
        }
    }

    /// Asks until all of them have `counter` of each of `sessions` live sessions.
    ///
    /// # Panics
    /// If that is not so within `limit`.
    pub fn wait_for(&mut self, sessions: u64, counter: u64, limit: Duration) -> Report {
        let end = Instant::now() + limit;
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
            assert!(Instant::now() < end, "still {report:?} after {limit:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn whole(json: &Value, key: &str) -> u64 {
    json[key].as_u64().expect("a whole number")
}
