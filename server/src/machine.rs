//! What the system lets this process use.

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity};

/// The cores that this process may run on, ascending. Empty where the system does not tell.
pub fn allowed_cores() -> Vec<u16> {
    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    let numbers = 0..CpuSet::MAX_CPU as u16;
    numbers.filter(|&core| set.is_set(core.into())).collect()
}

/// Connections are descriptors: takes as many as the system lets this process have.
pub fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the descriptor limit stays as it is");
    }
}
