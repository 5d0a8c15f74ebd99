//! The same work for many things on all cores, for the one time when a log takes them: its start.

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;

/// Does `work` to each item, on as many threads as there are cores for this process, in any order.
///
/// # Panics
/// As `work` panicked.
pub(crate) fn for_each<T: Send>(items: &mut [T], work: impl Fn(&mut T) + Sync) {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let helpers = cores.min(items.len()).saturating_sub(1);
    let queue = Mutex::new(items.iter_mut());
    let take = || queue.lock().expect("taking one does not panic").next();
    let run = || {
        while let Some(item) = take() {
            work(item);
        }
    };
    thread::scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(run);
        }
        run();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_worked_on_once() {
        for count in [0, 1, 2, 100] {
            let mut items = vec![0; count];
            for_each(&mut items, |item| *item += 1);
            assert_eq!(items, vec![1; count]);
        }
    }
}
