//! A wait that ends: when it has lasted too long, or when nobody is left to wait for.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process::Process;
use crate::stage::Stage;

/// Time between two looks whether the servers are still there.
const LOOK: Duration = Duration::from_millis(250);

/// A wait for something that the servers owe.
pub struct Patience {
    began: Instant,
    looked: Instant,
    at_most: Duration,
}

impl Patience {
    /// It begins now and lasts so long at most.
    pub fn of(at_most: Duration) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            looked: now,
            at_most,
        }
    }

    /// Goes on waiting.
    ///
    /// # Errors
    /// If a server has ended, with what it said last; or if it has been too long, with `what`.
    pub fn wait(&mut self, stage: &dyn Stage, what: impl FnOnce() -> String) -> Result<()> {
        let now = Instant::now();
        if now - self.looked < LOOK {
            return Ok(());
        }
        self.looked = now;
        stage
            .processes()
            .iter()
            .try_for_each(Process::check_running)?;
        if now - self.began > self.at_most {
            bail!(what());
        }
        Ok(())
    }
}
