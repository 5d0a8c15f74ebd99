//! Keeps a thread on one core, so that both sides of a ratio run on the same one.

use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores of the process when it was first asked, before anybody was kept on one.
static ALL: OnceLock<Vec<usize>> = OnceLock::new();

/// The cores that this process may use.
pub fn cores() -> &'static [usize] {
    ALL.get_or_init(|| match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU)
            .filter(|core| set.is_set(*core))
            .collect(),
        Err(_) => Vec::new(),
    })
}

/// Keeps this thread, and those it starts from now on, on one core. Without the right to do so
/// the figures are noisier and nothing else.
pub fn to(core: usize) {
    to_some(&[core]);
}

/// Lets this thread, and those it starts from now on, run on all cores again.
pub fn to_all() {
    to_some(cores());
}

/// Keeps this thread on the last core: the first one has most interrupts.
pub fn to_last() {
    if let Some(core) = cores().last() {
        to(*core);
    }
}

fn to_some(cores: &[usize]) {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    if let Err(error) = sched_setaffinity(None, &set) {
        eprintln!("cannot stay on {cores:?}: {error}; expect noise");
    }
}
