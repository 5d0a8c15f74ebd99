//! Wakes a shard that sleeps, and costs next to nothing when it does not.
//!
//! The sleeper announces itself, looks once more for work, then waits. A waker that finds the
//! flag unset does nothing: the shard is running and will look before it sleeps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use rustix::event::{EventfdFlags, eventfd};

/// A handle that any thread may use to wake one shard.
#[derive(Clone, Debug)]
pub struct ShardWaker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    asleep: AtomicBool,
    /// Becomes readable, once more each time, by a wake. Nobody reads it: it is watched for edges.
    event: OwnedFd,
}

impl ShardWaker {
    /// Of a shard that does not sleep yet.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            inner: Arc::new(Inner {
                asleep: AtomicBool::new(false),
                event,
            }),
        })
    }

    /// Wakes the shard if it sleeps. What it shall find must have been published before.
    pub fn wake(&self) {
        // Pairs with the fence in `announce_sleep`: either the waker sees the flag, or the
        // sleeper's second look sees the work.
        fence(Ordering::SeqCst);
        if self.inner.asleep.load(Ordering::Relaxed)
            && self.inner.asleep.swap(false, Ordering::AcqRel)
        {
            // It fails only when the counter is full, after 2^64 wakes.
            let _ = rustix::io::write(&self.inner.event, &1u64.to_ne_bytes());
        }
    }

    /// Says that the shard is about to sleep. It must look for work once more after this.
    pub fn announce_sleep(&self) {
        self.inner.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Says that the shard runs.
    pub fn announce_awake(&self) {
        self.inner.asleep.store(false, Ordering::Relaxed);
    }
}

impl AsFd for ShardWaker {
    /// What becomes readable by a wake.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use crate::edge::poller::Poller;
    use crate::edge::waker::ShardWaker;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A shard that sleeps between numbers must see every number that was published before a wake.
    #[test]
    fn no_wake_is_lost() {
        const ROUNDS: u64 = 20_000;
        let waker = ShardWaker::new().expect("an eventfd");
        let work = Arc::new(AtomicU64::new(0));
        let (their_waker, their_work) = (waker.clone(), work.clone());
        let producer = std::thread::spawn(move || {
            for _ in 0..ROUNDS {
                their_work.fetch_add(1, Ordering::Release);
                their_waker.wake();
            }
        });
        let mut poller = Poller::new(&waker).expect("an epoll");
        while work.load(Ordering::Acquire) < ROUNDS {
            waker.announce_sleep();
            if work.load(Ordering::Acquire) < ROUNDS {
                poller.wait(None);
            }
            waker.announce_awake();
        }
        producer.join().expect("producer");
    }
}
