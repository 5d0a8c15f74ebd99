//! Which changes of names in the directory are durable.
//!
//! One sync serves all who have changed something. A sync that fails is final for every change that
//! nobody has found durable before: the kernel may take them for written, and whatever a later sync
//! says is not about them.

use std::io;

use crate::sync::{AtomicU64, Mutex, Ordering};

/// A change of names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirectoryChange {
    /// A sync that began with this many changes made covers it.
    number: u64,
    /// So many syncs had failed before it was made.
    failures: u64,
}

impl DirectoryChange {
    /// What recovery has removed, renamed or found: a process that was killed may have left names that
    /// are not durable.
    pub(crate) const BY_RECOVERY: DirectoryChange = DirectoryChange {
        number: 1,
        failures: 0,
    };

    /// This change and one before it, as one.
    pub(crate) fn since(self, before: DirectoryChange) -> DirectoryChange {
        DirectoryChange {
            number: self.number.max(before.number),
            failures: self.failures.min(before.failures),
        }
    }
}

/// What has become of the changes of a directory.
#[derive(Debug)]
pub(crate) struct DirectoryNames {
    changes: AtomicU64,
    /// Changes that the newest good sync was for; held while one is done.
    synced: Mutex<u64>,
    /// Syncs that failed.
    failures: AtomicU64,
}

impl Default for DirectoryNames {
    fn default() -> Self {
        Self {
            changes: AtomicU64::new(DirectoryChange::BY_RECOVERY.number),
            synced: Mutex::new(0),
            failures: AtomicU64::new(0),
        }
    }
}

impl DirectoryNames {
    /// Changes something.
    pub(crate) fn change(
        &self,
        change: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<DirectoryChange> {
        // A sync that fails from here on may have been for this change.
        let failures = self.failures.load(Ordering::Acquire);
        change()?;
        let number = self.changes.fetch_add(1, Ordering::AcqRel) + 1;
        Ok(DirectoryChange { number, failures })
    }

    /// All that has changed so far, as one; with the failures from now on.
    pub(crate) fn begin(&self) -> DirectoryChange {
        DirectoryChange {
            number: self.changes.load(Ordering::Acquire),
            failures: self.failures.load(Ordering::Acquire),
        }
    }

    /// Makes a change durable by `sync`, unless a sync since then was for it as well.
    ///
    /// # Errors
    /// What `sync` says, or that one has failed since the change was begun.
    pub(crate) fn sync(
        &self,
        change: DirectoryChange,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut synced = self.synced.lock().expect("directory sync");
        if self.failures.load(Ordering::Acquire) > change.failures {
            return Err(io::Error::other(
                "a sync of the directory failed before and is not repeated",
            ));
        }
        if *synced >= change.number {
            return Ok(());
        }
        let reached = self.changes.load(Ordering::Acquire);
        sync().inspect_err(|_| {
            self.failures.fetch_add(1, Ordering::AcqRel);
        })?;
        *synced = reached;
        Ok(())
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;

    use super::{DirectoryChange, DirectoryNames};

    fn fails() -> io::Result<()> {
        Err(io::Error::other("the disk"))
    }

    #[test]
    fn one_sync_serves_all_changes_before_it() {
        let (names, syncs) = (DirectoryNames::default(), Cell::new(0));
        let sync = || {
            syncs.set(syncs.get() + 1);
            Ok(())
        };
        let first = names.change(|| Ok(())).expect("a change");
        let second = names.change(|| Ok(())).expect("a change");
        names.sync(first, sync).expect("a sync");
        names.sync(second, sync).expect("none is needed");
        names
            .sync(DirectoryChange::BY_RECOVERY, sync)
            .expect("none is needed");
        assert_eq!(syncs.get(), 1);
        let third = names.change(|| Ok(())).expect("a change");
        names.sync(third, sync).expect("a sync");
        assert_eq!(syncs.get(), 2);
    }

    #[test]
    fn a_failed_sync_is_final_for_what_was_changed_before_and_for_nothing_else() {
        let names = DirectoryNames::default();
        let [mine, others] = [(); 2].map(|()| names.change(|| Ok(())).expect("a change"));
        names.sync(mine, fails).expect_err("the disk fails");
        names.sync(mine, || Ok(())).expect_err("not repeated");
        names.sync(others, || Ok(())).expect_err("nor for others");
        let later = names.change(|| Ok(())).expect("a change");
        names.sync(later, || Ok(())).expect("a change of its own");
        names
            .sync(later.since(others), || Ok(()))
            .expect_err("with one before");
    }

    #[test]
    fn a_sync_that_fails_while_a_name_is_changed_counts() {
        let names = DirectoryNames::default();
        let meanwhile = || names.sync(names.begin(), fails).or(Ok(()));
        let change = names.change(meanwhile).expect("a change");
        names
            .sync(change, || Ok(()))
            .expect_err("it may have been for this one");
    }
}
