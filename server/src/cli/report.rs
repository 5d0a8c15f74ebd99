//! What became of each point of a session: one JSON line each, in the order of the counters.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use skein_client::sender_state::PointVerdict;
use skein_wire::ids::SessionId;
use skein_wire::point::Position;

use crate::cli::private_file;

/// One line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    session: &'a str,
    counter: u64,
    lat: f64,
    lon: f64,
    /// Milliseconds since 1970.
    captured_at: i64,
    verdict: &'static str,
}

/// A report that is being written. Lines wait until those before them are known.
pub struct Report {
    out: BufWriter<File>,
    session: String,
    sent: BTreeMap<u64, (Position, i64, Option<PointVerdict>)>,
}

impl Report {
    /// Begins a report, over what was there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = private_file::create(path)
            .with_context(|| format!("cannot write the report {}", path.display()))?;
        Ok(Self {
            out: BufWriter::new(file),
            session: String::new(),
            sent: BTreeMap::new(),
        })
    }

    /// Whose points they are: known when the session has started.
    pub fn begin(&mut self, session: SessionId) {
        self.session = session.to_string();
    }

    /// A point was handed over.
    pub fn sent(&mut self, counter: u64, position: Position, captured_at_ms: i64) {
        self.sent.insert(counter, (position, captured_at_ms, None));
    }

    /// A point has its verdict.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn settled(&mut self, counter: u64, verdict: PointVerdict) -> anyhow::Result<()> {
        if let Some((_, _, known)) = self.sent.get_mut(&counter) {
            *known = Some(verdict);
        }
        self.write(false)
    }

    /// Writes the lines that still wait.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.write(true)
    }

    fn write(&mut self, all: bool) -> anyhow::Result<()> {
        while let Some(first) = self.sent.first_entry() {
            let (position, captured_at, verdict) = *first.get();
            let verdict = match verdict {
                Some(verdict) => verdict,
                None if all => PointVerdict::Unknown,
                None => break,
            };
            let line = Line {
                session: &self.session,
                counter: *first.key(),
                lat: position.lat(),
                lon: position.lon(),
                captured_at,
                verdict: name(verdict),
            };
            first.remove();
            serde_json::to_writer(&mut self.out, &line).context("cannot write the report")?;
            self.out
                .write_all(b"\n")
                .context("cannot write the report")?;
        }
        self.out.flush().context("cannot write the report")
    }
}

/// The word for a verdict: `accepted`, `superseded`, `unknown`, or the code of the refusal.
fn name(verdict: PointVerdict) -> &'static str {
    match verdict {
        PointVerdict::Accepted => "accepted",
        PointVerdict::Superseded => "superseded",
        PointVerdict::Unknown => "unknown",
        PointVerdict::Refused(code) => code.name(),
    }
}

#[cfg(test)]
mod tests {
    use skein_client::sender_state::PointVerdict;
    use skein_wire::error::Code;
    use skein_wire::ids::SessionId;
    use skein_wire::point::Position;

    use crate::cli::report::Report;

    #[test]
    fn lines_come_in_order_whatever_the_order_of_verdicts() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.jsonl");
        let mut report = Report::create(&path).expect("a report");
        report.begin(SessionId(7));
        for counter in 1..=3 {
            let position = Position {
                lat_e6: 1_500_000,
                lon_e6: -250_001,
            };
            report.sent(counter, position, -5);
        }
        let verdict = PointVerdict::Refused(Code::RateLimited);
        report.settled(2, verdict).expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "");
        report.settled(1, PointVerdict::Accepted).expect("written");
        report.finish().expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        assert_eq!(
            text,
            r#"{"session":"0000000000000007","counter":1,"lat":1.5,"lon":-0.250001,"captured_at":-5,"verdict":"accepted"}
{"session":"0000000000000007","counter":2,"lat":1.5,"lon":-0.250001,"captured_at":-5,"verdict":"rate_limited"}
{"session":"0000000000000007","counter":3,"lat":1.5,"lon":-0.250001,"captured_at":-5,"verdict":"unknown"}
"#
        );
    }
}
