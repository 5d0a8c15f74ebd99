//! What a listener does when the process has no descriptors left: takes a connection from the kernel and
//! closes it, instead of being told of it for ever.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::limits::ACCEPT_BACKOFF_MS;

/// A descriptor that is given up for a moment when there is no other.
#[derive(Debug)]
pub struct SpareDescriptor(Mutex<Option<File>>);

impl Default for SpareDescriptor {
    fn default() -> Self {
        Self(Mutex::new(open()))
    }
}

impl SpareDescriptor {
    /// Takes one connection from the kernel without a descriptor to spare, counts and closes it, and
    /// rests: who could not be closed is not asked for in a circle.
    pub async fn shed(&self, listener: &TcpListener, count: impl FnOnce()) {
        let rest = Duration::from_millis(ACCEPT_BACKOFF_MS);
        self.set(None);
        if let Ok(Ok(accepted)) = timeout(rest, listener.accept()).await {
            count();
            drop(accepted);
        }
        self.set(open());
        sleep(rest).await;
    }

    fn set(&self, file: Option<File>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = file;
    }
}

fn open() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Whether a connection was not accepted because this process or the system has no more of something.
pub fn is_exhausted(error: &io::Error) -> bool {
    let no = error.raw_os_error();
    [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM]
        .iter()
        .any(|&code| no == Some(code))
}
