//! Wakes a shard that sleeps, and costs next to nothing when it does not.
//!
//! The sleeper announces itself, looks once more for work, then waits. A waker that finds the
//! flag unset does nothing: the shard is running and will look before it sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use tokio::sync::Notify;

/// A handle that any thread may use to wake one shard.
#[derive(Clone, Debug, Default)]
pub struct ShardWaker {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    asleep: AtomicBool,
    notify: Notify,
}

impl ShardWaker {
    /// Wakes the shard if it sleeps. What it shall find must have been published before.
    pub fn wake(&self) {
        // Pairs with the fence in `announce_sleep`: either the waker sees the flag, or the
        // sleeper's second look sees the work.
        fence(Ordering::SeqCst);
        if self.inner.asleep.load(Ordering::Relaxed)
            && self.inner.asleep.swap(false, Ordering::AcqRel)
        {
            self.inner.notify.notify_one();
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

    /// Resolves when somebody woke the shard. Cancel-safe.
    pub async fn woken(&self) {
        self.inner.notify.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use crate::shard::waker::ShardWaker;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A shard that sleeps between numbers must see every number that was published before a wake.
    #[test]
    fn no_wake_is_lost() {
        const ROUNDS: u64 = 20_000;
        let (waker, work) = (ShardWaker::default(), Arc::new(AtomicU64::new(0)));
        let (their_waker, their_work) = (waker.clone(), work.clone());
        let producer = std::thread::spawn(move || {
            for _ in 0..ROUNDS {
                their_work.fetch_add(1, Ordering::Release);
                their_waker.wake();
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("runtime");
        runtime.block_on(async {
            while work.load(Ordering::Acquire) < ROUNDS {
                waker.announce_sleep();
                if work.load(Ordering::Acquire) < ROUNDS {
                    waker.woken().await;
                }
                waker.announce_awake();
            }
        });
        producer.join().expect("producer");
    }
}
