//! The lines that a child process writes, kept and awaited.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Default)]
struct State {
    lines: Vec<String>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Lines of one pipe. A thread reads it, so that the child never waits for the test.
#[derive(Clone, Default)]
pub struct Lines(Arc<Shared>);

impl Lines {
    /// Reads `pipe` until it ends.
    pub fn read(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let shared = Arc::clone(&lines.0);
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                shared.state.lock().expect(POISONED).lines.push(line);
                shared.changed.notify_all();
            }
            shared.state.lock().expect(POISONED).closed = true;
            shared.changed.notify_all();
        });
        lines
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.state().lines.len()
    }

    /// Those from number `from` (0 = the first).
    pub fn since(&self, from: usize) -> Vec<String> {
        self.state().lines.get(from..).unwrap_or_default().to_vec()
    }

    /// All of them as one text.
    pub fn text(&self) -> String {
        self.state().lines.join("\n")
    }

    /// The first answer that `ask` gives for all the lines so far, asked again after each new one.
    /// `None` when the time is over or the pipe has ended without one.
    pub fn wait<T>(
        &self,
        limit: Duration,
        mut ask: impl FnMut(&[String]) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + limit;
        let mut state = self.state();
        loop {
            if let Some(answer) = ask(&state.lines) {
                return Some(answer);
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return None;
            }
            state = self.0.changed.wait_timeout(state, left).expect(POISONED).0;
        }
    }

    /// Waits until the pipe has ended.
    pub fn wait_end(&self, limit: Duration) -> bool {
        let state = self.state();
        let waited = self
            .0
            .changed
            .wait_timeout_while(state, limit, |s| !s.closed);
        waited.expect(POISONED).0.closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect(POISONED)
    }
}

const POISONED: &str = "no thread panics while it holds the lines";
