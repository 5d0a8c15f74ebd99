//! Waiting for something to become true, with a deadline and a word about what was awaited.

use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for anything that should be quick. Generous: a loaded machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two looks; short against anything that is asserted about time.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until there is an answer.
///
/// # Panics
/// With `what` when there is none within `limit`.
pub fn until_some<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain: {what}");
        thread::sleep(PAUSE);
    }
}

/// Asks until the answer is yes.
///
/// # Panics
/// With `what` when it is not yes within `limit`.
pub fn until(what: &str, limit: Duration, mut ask: impl FnMut() -> bool) {
    until_some(what, limit, || ask().then_some(()));
}
