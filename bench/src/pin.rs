//! Keeps a thread on one core, so that both sides of a ratio run on the same one.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this process may use.
pub fn cores() -> Vec<usize> {
    match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU)
            .filter(|core| set.is_set(*core))
            .collect(),
        Err(_) => Vec::new(),
    }
}

/// Keeps this thread, and those it starts from now on, on one core. Without the right to do so
/// the figures are noisier and nothing else.
pub fn to(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    if let Err(error) = sched_setaffinity(None, &set) {
        eprintln!("cannot stay on core {core}: {error}; expect noise");
    }
}

/// Keeps this thread on the last core: the first one has most interrupts.
pub fn to_last() {
    if let Some(core) = cores().last() {
        to(*core);
    }
}
