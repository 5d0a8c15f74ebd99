//! `skein share` and `skein watch` as child processes, and what they print, read.

use std::cell::{Ref, RefCell};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::process::{Ended, Process};
use crate::wait;

/// One object of `skein watch --format jsonl`.
#[derive(Clone, Debug)]
pub struct Change(pub Value);

impl Change {
    /// Its `type`.
    pub fn kind(&self) -> &str {
        self.0["type"].as_str().unwrap_or_default()
    }

    /// A text field; empty when it is missing.
    pub fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_default()
    }

    /// The session.
    pub fn session(&self) -> &str {
        self.text("session")
    }

    /// The point in it, if it is one.
    pub fn point(&self) -> Option<PointLine> {
        (self.kind() == "point").then(|| PointLine::read(&self.0))
    }
}

/// A point as a JSON line tells it. Degrees are kept in whole 1e-6: that is what is promised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PointLine {
    /// The sender's count.
    pub counter: u64,
    /// Latitude in 1e-6 degree.
    pub lat_e6: i64,
    /// Longitude in 1e-6 degree.
    pub lon_e6: i64,
    /// Device time, milliseconds since 1970.
    pub captured_at_ms: i64,
}

impl PointLine {
    fn read(json: &Value) -> Self {
        let number = |key: &str| {
            let value = json[key].as_f64();
            value.unwrap_or_else(|| panic!("no number `{key}` in {json}"))
        };
        let e6 = |key: &str| {
            let scaled = number(key) * 1e6;
            assert!(
                (scaled - scaled.round()).abs() < 0.01,
                "finer than 1e-6: {json}"
            );
            scaled.round() as i64
        };
        let whole = |key: &str| {
            let value = json[key].as_i64();
            value.unwrap_or_else(|| panic!("no whole number `{key}` in {json}"))
        };
        Self {
            counter: whole("counter") as u64,
            lat_e6: e6("lat"),
            lon_e6: e6("lon"),
            captured_at_ms: whole("captured_at"),
        }
    }
}

/// A running `skein watch --format jsonl`.
pub struct WatchRun {
    /// The process.
    pub process: Process,
    /// Lines that were read already: each is parsed once.
    read: RefCell<Vec<Change>>,
}

impl WatchRun {
    /// Starts to watch `chat` at `url`; `extra` are further arguments.
    pub fn start(url: &str, chat: &str, token: &str, extra: &[&str]) -> Self {
        let mut arguments = vec!["watch", "--chat", chat, "--token", token, "--server", url];
        arguments.extend(["--format", "jsonl"]);
        if !url.starts_with("ws://") {
            // The certificate of a development server is its own.
            arguments.push("--insecure");
        }
        arguments.extend_from_slice(extra);
        let scheme = url.split(':').next().unwrap_or("");
        Self {
            process: Process::skein(&format!("skein watch by {scheme}"), arguments),
            read: RefCell::default(),
        }
    }

    /// All changes so far.
    ///
    /// # Panics
    /// If a line is not a JSON object.
    pub fn changes(&self) -> Ref<'_, Vec<Change>> {
        // While somebody looks at what was read, nothing is added to it.
        if let Ok(mut read) = self.read.try_borrow_mut() {
            let new = self.process.stdout.since(read.len());
            read.extend(new.iter().map(|line| change(line)));
        }
        self.read.borrow()
    }

    /// Waits until the changes so far make `ask` answer.
    ///
    /// # Panics
    /// With `what` if they do not within `limit`.
    pub fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut ask: impl FnMut(&[Change]) -> Option<T>,
    ) -> T {
        let what = format!("the watch shows {what}");
        wait::until_some(&what, limit, || ask(&self.changes()))
    }

    /// Waits until a session of `user` has started, and says which.
    pub fn wait_session_of(&self, user: &str) -> String {
        self.wait(&format!("a session of {user}"), wait::PATIENCE, |changes| {
            let started =
                |change: &&Change| change.kind() == "started" && change.text("user") == user;
            changes
                .iter()
                .rfind(started)
                .map(|change| change.session().to_owned())
        })
    }

    /// Waits until a session has ended, and says why.
    pub fn wait_ended(&self, session: &str, limit: Duration) -> String {
        self.wait(&format!("the end of {session}"), limit, |changes| {
            let ended = |change: &&Change| change.kind() == "ended" && change.session() == session;
            changes
                .iter()
                .find(ended)
                .map(|change| change.text("why").to_owned())
        })
    }

    /// The points so far of one session, in the order they were printed.
    pub fn points_of(&self, session: &str) -> Vec<PointLine> {
        let all = self.changes();
        let own = all.iter().filter(|change| change.session() == session);
        own.filter_map(Change::point).collect()
    }
}

fn change(line: &str) -> Change {
    let json = serde_json::from_str(line);
    Change(json.unwrap_or_else(|e| panic!("not a JSON line: {line:?}: {e}")))
}

/// What a `skein share` is to do.
#[derive(Clone, Debug)]
pub struct ShareOptions {
    /// Name of the chat.
    pub chat: String,
    /// The sender's token.
    pub token: String,
    /// The track.
    pub gpx: PathBuf,
    /// How many times its own pace.
    pub speed: f64,
    /// Further arguments.
    pub extra: Vec<String>,
}

/// A running `skein share`.
pub struct ShareRun {
    /// The process.
    pub process: Process,
    report: PathBuf,
}

/// One line of `skein share --report`: a point and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The point.
    pub point: PointLine,
    /// `accepted`, `superseded`, or the code of a refusal.
    pub verdict: String,
}

impl ShareRun {
    /// Starts to share; the report goes into `folder`.
    pub fn start(url: &str, folder: &Path, options: &ShareOptions) -> Self {
        let stem = options
            .gpx
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy();
        let report = folder.join(format!("{}-{stem}.report.jsonl", options.chat));
        let mut arguments: Vec<String> = vec!["share".into()];
        let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        flag("--chat", options.chat.clone());
        flag("--token", options.token.clone());
        flag("--server", url.to_owned());
        flag("--gpx", options.gpx.display().to_string());
        flag("--speed", options.speed.to_string());
        flag("--report", report.display().to_string());
        arguments.push("--insecure".into());
        arguments.extend(options.extra.iter().cloned());
        Self {
            process: Process::skein(&format!("skein share {stem}"), arguments),
            report,
        }
    }

    /// Waits for the end of the track and reads the report.
    ///
    /// # Panics
    /// If it fails or takes longer than `limit`.
    pub fn finish(mut self, limit: Duration) -> (Ended, Vec<Verdict>) {
        let ended = self.process.wait(limit).expect_success("skein share");
        let text = std::fs::read_to_string(&self.report)
            .unwrap_or_else(|e| panic!("{}: {e}", self.report.display()));
        (ended, text.lines().map(verdict).collect())
    }

    /// The same without the rest of the track.
    ///
    /// # Panics
    /// As [`Self::finish`].
    pub fn finish_early(self, limit: Duration) -> (Ended, Vec<Verdict>) {
        self.process.signal(Signal::INT);
        self.finish(limit)
    }
}

fn verdict(line: &str) -> Verdict {
    let json: Value =
        serde_json::from_str(line).unwrap_or_else(|e| panic!("report line {line:?}: {e}"));
    Verdict {
        point: PointLine::read(&json),
        verdict: json["verdict"].as_str().expect("a verdict").to_owned(),
    }
}

/// The points of a report that were accepted, in its order.
pub fn accepted(report: &[Verdict]) -> Vec<PointLine> {
    let taken = report.iter().filter(|line| line.verdict == "accepted");
    taken.map(|line| line.point.clone()).collect()
}
