//! How a token with an unknown key asks for the keys to be fetched again, at a bounded rate.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::access::limits::JWKS_REFETCH_MS_MIN;

/// Between those who verify tokens and the thread that fetches keys.
#[derive(Debug, Default)]
pub struct RefreshSignal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// A fetch is asked for or going on.
    pending: bool,
    stopped: bool,
    /// When the last fetch ended, milliseconds of the server's clock.
    done_ms: Option<u64>,
}

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody asked.
    Asked,
    /// The time is over.
    Time,
    /// The server stops.
    Stopped,
}

impl RefreshSignal {
    /// Asks for a fetch. True if one is on its way, so that the token may be good after it.
    pub fn ask(&self, now_ms: u64) -> bool {
        let mut state = self.lock();
        let is_due = |done_ms: u64| done_ms.saturating_add(JWKS_REFETCH_MS_MIN) <= now_ms;
        if !state.pending && state.done_ms.is_none_or(is_due) {
            state.pending = true;
            self.changed.notify_all();
        }
        state.pending
    }

    /// Waits until somebody asks, the server stops or the time is over.
    pub fn wait(&self, longest: Duration) -> Wake {
        let state = self.lock();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, longest, |state| !state.pending && !state.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State { stopped: true, .. } => Wake::Stopped,
            State { pending: true, .. } => Wake::Asked,
            _ => Wake::Time,
        }
    }

    /// A fetch has ended, whatever came of it.
    pub fn done(&self, now_ms: u64) {
        let mut state = self.lock();
        state.pending = false;
        state.done_ms = Some(now_ms);
    }

    /// Ends the wait for good.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing in here can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::access::limits::JWKS_REFETCH_MS_MIN;
    use crate::access::refresh_signal::{RefreshSignal, Wake};

    #[test]
    fn strangers_do_not_drive_the_issuer() {
        let signal = RefreshSignal::default();
        assert_eq!(signal.wait(Duration::ZERO), Wake::Time);
        assert!(signal.ask(0), "the first one asks");
        assert!(signal.ask(1), "others wait for the same fetch");
        assert_eq!(signal.wait(Duration::ZERO), Wake::Asked);
        signal.done(100);
        assert!(!signal.ask(100), "the key is still not known");
        assert!(!signal.ask(99 + JWKS_REFETCH_MS_MIN));
        assert_eq!(signal.wait(Duration::ZERO), Wake::Time);
        assert!(signal.ask(100 + JWKS_REFETCH_MS_MIN));
        signal.stop();
        assert_eq!(signal.wait(Duration::from_secs(60)), Wake::Stopped);
    }
}
