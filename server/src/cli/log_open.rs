//! The two logs of a data directory, to look at: what every verb of `skein log` begins with.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use skein_log::Inspector;

/// Time between two lines about how far a long work has come.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Both logs by name.
///
/// # Errors
/// It is no data directory of skein.
pub fn both(data_dir: &Path) -> anyhow::Result<[(&'static str, Inspector); 2]> {
    Ok([
        ("log", one(data_dir, false)?),
        ("control", one(data_dir, true)?),
    ])
}

/// The event log, or the control log.
///
/// # Errors
/// It is no data directory of skein.
pub fn one(data_dir: &Path, control: bool) -> anyhow::Result<Inspector> {
    let path = data_dir.join(if control { "control" } else { "log" });
    Inspector::open(&path).with_context(|| {
        format!(
            "{} is not a skein data directory; name the one of `skein serve`",
            data_dir.display()
        )
    })
}

/// Says on stderr how far a long work is; one that is quick says nothing.
#[derive(Debug)]
pub struct Progress {
    said: Instant,
}

impl Progress {
    /// A work begins.
    pub fn begin() -> Self {
        Self {
            said: Instant::now(),
        }
    }

    /// Says `text` if the last word is long enough ago.
    pub fn say(&mut self, text: impl FnOnce() -> String) {
        if self.said.elapsed() >= PROGRESS_INTERVAL {
            self.said = Instant::now();
            // Nobody there to read it is no reason to stop.
            let _ = io::Write::write_all(&mut io::stderr(), format!("{}\n", text()).as_bytes());
        }
    }
}
