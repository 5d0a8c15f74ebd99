//! How far something has come, handed from the one who moves it to those who follow: `publish` makes
//! everything written before it visible to whoever sees the new value with `reached`.
//!
//! Everything that threads share in a partition without a lock hangs on three of these: bytes
//! published in a segment, records appended, records durable. The orders are stated here and
//! nowhere else, and checked by a model (`--cfg loom`, see the tests).

use crate::sync::{AtomicU64, Ordering};

/// A number that one side moves and others follow.
#[derive(Debug)]
pub(crate) struct Watermark(AtomicU64);

impl Watermark {
    pub(crate) fn new(value: u64) -> Watermark {
        Watermark(AtomicU64::new(value))
    }

    /// What was written before is visible to whoever sees `value`.
    #[inline]
    pub(crate) fn publish(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// Where it stands, with everything that was written before it was moved there.
    #[inline]
    pub(crate) fn reached(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Where it stands, for the side that moves it.
    #[inline]
    pub(crate) fn own(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// `RUSTFLAGS="--cfg loom" cargo test -p skein-log --lib loom` tries every order in which the
/// threads can run and every value that the memory model lets them read.
#[cfg(loom)]
#[cfg(test)]
mod loom_tests {
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    use crate::sync::{AtomicU64, Ordering};
    use crate::watermark::Watermark;

    /// Bytes of a segment, published batch by batch: what a `Mapping` is. The bytes have no order of
    /// their own, so a reader sees the right ones only if the watermark says so.
    struct Segment {
        published: Watermark,
        batches: [AtomicU64; 2],
    }

    impl Segment {
        fn new() -> Segment {
            Segment {
                published: Watermark::new(0),
                batches: [AtomicU64::new(0), AtomicU64::new(0)],
            }
        }

        fn write(&self, batch: usize, value: u64) {
            self.batches[batch].store(value, Ordering::Relaxed);
            self.published.publish(batch as u64 + 1);
        }

        fn read(&self, batch: usize) -> Option<u64> {
            if self.published.reached() <= batch as u64 {
                return None;
            }
            Some(self.batches[batch].load(Ordering::Relaxed))
        }
    }

    /// What writer, follower and janitor share: segments, and the two marks.
    struct Partition {
        segments: Mutex<Vec<Arc<Segment>>>,
        appended: Watermark,
        durable: Watermark,
    }

    fn partition() -> Arc<Partition> {
        Arc::new(Partition {
            segments: Mutex::new(vec![Arc::new(Segment::new())]),
            appended: Watermark::new(0),
            durable: Watermark::new(0),
        })
    }

    /// Two batches in one segment.
    fn append_two(partition: &Partition) {
        let first = Arc::clone(&partition.segments.lock().unwrap()[0]);
        first.write(0, 1);
        partition.appended.publish(1);
        first.write(1, 2);
        partition.appended.publish(2);
    }

    /// And a third in the next one, as after a roll.
    fn append_three(partition: &Partition) {
        append_two(partition);
        let next = Arc::new(Segment::new());
        partition.segments.lock().unwrap().push(Arc::clone(&next));
        next.write(0, 3);
        partition.appended.publish(3);
    }

    /// Reads everything that is said to be appended.
    fn follow(partition: &Partition) {
        let appended = partition.appended.reached();
        for offset in 1..=appended {
            let (segment, batch) = [(0, 0), (0, 1), (1, 0)][offset as usize - 1];
            let segment = Arc::clone(&partition.segments.lock().unwrap()[segment]);
            assert_eq!(segment.read(batch), Some(offset), "appended is readable");
        }
    }

    #[test]
    fn loom_what_is_appended_is_readable() {
        loom::model(|| {
            let shared = partition();
            let writer = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || append_three(&shared))
            };
            follow(&shared);
            writer.join().unwrap();
            follow(&shared);
        });
    }

    #[test]
    fn loom_durable_never_passes_appended_and_covers_what_it_says() {
        loom::model(|| {
            let shared = partition();
            let writer = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || append_two(&shared))
            };
            let janitor = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let target = shared.appended.reached();
                    follow(&shared); // The sync: it reads every byte up to the target.
                    shared.durable.publish(target);
                })
            };
            let durable = shared.durable.reached();
            assert!(durable <= shared.appended.reached());
            writer.join().unwrap();
            janitor.join().unwrap();
        });
    }
}
