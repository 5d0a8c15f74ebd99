//! Ctrl-C and SIGTERM end a run early and in good order: what has been measured is reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use skein_server::interrupt::Interrupt;

/// Whether somebody wants the run to end.
#[derive(Clone, Debug, Default)]
pub struct InterruptFlag(Arc<AtomicBool>);

impl InterruptFlag {
    /// Begins to listen, for as long as the process lives. The second signal ends it at once.
    ///
    /// # Errors
    /// When the system does not let this process listen.
    pub fn listen() -> anyhow::Result<Self> {
        let flag = Self::default();
        let told = flag.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut interrupt = {
            let _inside = runtime.enter();
            Interrupt::listen()?
        };
        thread::spawn(move || {
            runtime.block_on(interrupt.wait());
            told.0.store(true, Ordering::Relaxed);
            eprintln!("\nending early; once more ends it at once");
            runtime.block_on(interrupt.wait());
            std::process::exit(1);
        });
        Ok(flag)
    }

    /// Whether a signal has come.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
