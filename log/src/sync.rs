//! What threads hand things over with: the standard library's, or the model checker's
//! (`--cfg loom`), which then runs the code of a partition itself in every order there is.

use std::time::Duration;

#[cfg(loom)]
pub(crate) use loom::sync::Mutex;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::thread::{Thread, current as current_thread};

#[cfg(not(loom))]
pub(crate) use std::sync::Mutex;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::thread::{Thread, current as current_thread};

/// Waits to be unparked, at most for `timeout`.
#[cfg(not(loom))]
pub(crate) fn park_timeout(timeout: Duration) {
    std::thread::park_timeout(timeout);
}

/// Waits to be unparked: no time passes in a model, so that whoever is not woken waits for ever, which
/// the model checker calls a deadlock.
#[cfg(loom)]
pub(crate) fn park_timeout(_timeout: Duration) {
    loom::thread::park();
}
