//! Tests that measure, one after the other.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::skip;

/// Makes the tests of one program take turns where the long versions were asked for: they measure, and take
/// most of what the machine has.
pub fn alone_if_full() -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    skip::full().then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner))
}
