//! One thread that runs the tasks of peers, and lets a bench step in between.

use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

/// A runtime of this thread.
pub struct StageRuntime {
    runtime: Runtime,
    tasks: LocalSet,
}

impl StageRuntime {
    /// One without any task.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        Self {
            runtime: runtime.expect("a runtime"),
            tasks: LocalSet::new(),
        }
    }

    /// Runs this and all tasks until this is done.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.tasks.block_on(&self.runtime, work)
    }
}

impl Default for StageRuntime {
    fn default() -> Self {
        Self::new()
    }
}
