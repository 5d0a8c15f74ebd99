//! What the kernel says about a server on this machine.

use std::fs;

use anyhow::{Context, bail};
use serde::Serialize;

/// Processor time of a process, all threads, also those that have ended, seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CpuSeconds {
    /// In its own code.
    pub user: f64,
    /// In the kernel for it.
    pub system: f64,
}

impl CpuSeconds {
    /// Both.
    pub fn total(self) -> f64 {
        self.user + self.system
    }

    /// What was used since an earlier look.
    pub fn since(self, before: Self) -> Self {
        Self {
            user: self.user - before.user,
            system: self.system - before.system,
        }
    }
}

/// Processor time of a process so far.
///
/// # Errors
/// When there is no such process here.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<CpuSeconds> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| gone(pid))?;
    // The name in parentheses may hold blanks; what follows it does not.
    let (_, rest) = text.rsplit_once(')').with_context(|| gone(pid))?;
    let mut fields = rest.split_whitespace().skip(USER_TICKS_FIELD);
    let hertz = rustix::param::clock_ticks_per_second() as f64;
    let mut seconds = || Some(fields.next()?.parse::<f64>().ok()? / hertz);
    Ok(CpuSeconds {
        user: seconds().with_context(|| gone(pid))?,
        system: seconds().with_context(|| gone(pid))?,
    })
}

/// Which field behind the name has the ticks in user code; those in the kernel follow.
const USER_TICKS_FIELD: usize = 11;

/// Resident memory of a process that no file backs, bytes.
///
/// # Errors
/// When there is no such process here.
pub fn anonymous_bytes(pid: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| gone(pid))?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    match kib {
        Some(kib) => Ok(kib * 1024),
        None => bail!("the kernel does not say how much memory process {pid} has"),
    }
}

fn gone(pid: u32) -> String {
    format!("there is no process {pid} on this machine; --pid is for a local server")
}

#[cfg(test)]
mod tests {
    use crate::procfs::{anonymous_bytes, cpu_seconds};

    #[test]
    fn a_process_knows_itself() {
        let own = std::process::id();
        assert!(cpu_seconds(own).expect("it runs").total() >= 0.0);
        assert!(anonymous_bytes(own).expect("it runs") > 10_000);
        assert!(cpu_seconds(u32::MAX).is_err());
    }
}
