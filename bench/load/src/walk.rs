//! Where a sender is: on a recorded track, or on a simulated walk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use skein_server::cli::gpx;
use skein_server::demo::walker::Walker;
use skein_wire::point::Fix;

use crate::fault::Fault;

/// Seed of the simulated walks: two runs show the same ones.
const SEED: u64 = 7;

/// Tracks for all senders of a process.
#[derive(Clone, Debug, Default)]
pub struct Tracks(Vec<Arc<Vec<Fix>>>);

impl Tracks {
    /// Reads every GPX file of a folder.
    ///
    /// # Errors
    /// When there is none, or one cannot be read.
    pub fn read(folder: &Path) -> Result<Self, Fault> {
        let entries = std::fs::read_dir(folder)
            .map_err(|error| Fault::Plan(format!("cannot read {}: {error}", folder.display())))?;
        let is_gpx = |path: &PathBuf| path.extension().is_some_and(|end| end == "gpx");
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(is_gpx);
        paths.sort();
        if paths.is_empty() {
            let text = format!(
                "{} has no GPX files; give another --tracks, or none for simulated walks",
                folder.display()
            );
            return Err(Fault::Plan(text));
        }
        let track = |path: &PathBuf| {
            let points = gpx::read(path).map_err(|error| Fault::Plan(format!("{error:#}")))?;
            Ok(Arc::new(points.iter().map(|point| point.fix).collect()))
        };
        Ok(Self(paths.iter().map(track).collect::<Result<_, Fault>>()?))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none: then walks are simulated.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The walk of a sender.
    pub fn walk(&self, sender: u32) -> Walk {
        let number = sender as usize;
        match self.0.get(number.checked_rem(self.0.len()).unwrap_or(0)) {
            Some(track) => Walk::Track {
                // Those on the same track do not go side by side.
                at: number.wrapping_mul(97) % track.len(),
                track: Arc::clone(track),
            },
            None => Walk::Simulated(Box::new(Walker::new(number, SEED))),
        }
    }
}

/// One sender's way.
#[derive(Clone, Debug)]
pub enum Walk {
    /// A recorded one, from its beginning again at its end.
    Track {
        /// All of it.
        track: Arc<Vec<Fix>>,
        /// Where the sender is.
        at: usize,
    },
    /// A simulated one.
    Simulated(Box<Walker>),
}

impl Walk {
    /// The next fix, so many seconds after the last one.
    pub fn step(&mut self, seconds: f64) -> Fix {
        match self {
            Self::Track { track, at } => {
                let fix = track[*at];
                *at = (*at + 1) % track.len();
                fix
            }
            Self::Simulated(walker) => walker.step(seconds),
        }
    }
}
