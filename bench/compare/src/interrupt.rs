//! Ctrl-C and SIGTERM: no server and no folder is left behind.
//!
//! Values that clean up when they are dropped do not get to it when the process is ended, so a
//! thread waits for the signals and does it instead.

use std::fs;
use std::path::PathBuf;
use std::process;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Time that the kernel gets to end the servers before their folders are removed.
const GRACE: Duration = Duration::from_millis(100);

/// From now on a signal ends the children of this process, removes the folder and exits.
///
/// # Errors
/// If signals cannot be waited for.
pub fn clean_up(folder: PathBuf) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    let wait = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        // Twice: the measuring thread may be about to start the next server.
        for _ in 0..2 {
            for child in children() {
                // It may have ended by itself.
                let _ = kill_process(child, Signal::KILL);
            }
            thread::sleep(GRACE);
            // What cannot be removed lies in the folder of builds and goes with it.
            let _ = fs::remove_dir_all(&folder);
        }
        process::exit(INTERRUPTED);
    };
    let thread = thread::Builder::new().name("interrupt".to_owned());
    thread.spawn(wait).context("a thread for signals")?;
    Ok(())
}

/// The processes that this one has started and that are still there.
fn children() -> Vec<Pid> {
    let tasks = fs::read_dir("/proc/self/task");
    let tasks = tasks.into_iter().flatten().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")));
    let text: String = lists.flatten().collect::<Vec<_>>().join(" ");
    let numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    numbers.filter_map(Pid::from_raw).collect()
}
