//! Everything slow, away from the writers: syncing, preparing the next files, touching pages ahead
//! of the tails, starting write-back, dropping what is old, unmapping.
//!
//! Three parts, because each may wait for the disk for tens of milliseconds and none may wait for
//! the others:
//!
//! - [`preparer`]: what lies in front of the tails, files and pages. A writer that comes there
//!   first waits itself.
//! - [`syncer`]: makes durable. Who asked for that waits for the answer.
//! - [`keeper`]: what lies behind the tails: write-back, footers, retention, unmapping. Nobody waits.
//!
//! [`Janitor::work`] is one step of each in turn, without waiting and without a clock of its own, so
//! a simulation runs it like everything else; [`crate::JanitorThread`] runs each part in a thread that
//! writers wake.

pub(crate) mod keeper;
pub(crate) mod part;
pub(crate) mod preparer;
pub(crate) mod syncer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::janitor::keeper::Keeper;
use crate::janitor::part::Part;
use crate::janitor::preparer::Preparer;
use crate::janitor::syncer::Syncer;
use crate::shared::Shared;
use crate::work_report::WorkReport;

/// Does the slow work of a log, step by step.
///
/// ```
/// use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
///
/// let options = Options { partitions: 1, sync_interval_ms: 1_000, ..Options::default() };
/// let (mut log, _) = Log::open(MemoryStorage::new(), options, 0, 1).unwrap();
/// let mut janitor = log.take_janitor().expect("taken once");
/// let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
///
/// writer.append(0, &[Record::default()]).unwrap();
/// let report = janitor.work(1_000);
/// assert_eq!((report.synced, writer.durable()), (1, 1));
/// assert_eq!(report.next_due_ms, 2_000);
/// ```
#[derive(Debug)]
pub struct Janitor {
    pub(crate) syncer: Syncer,
    pub(crate) preparer: Preparer,
    pub(crate) keeper: Keeper,
    pub(crate) alive: Arc<Alive>,
}

/// While it lives the log has a janitor.
#[derive(Debug)]
pub(crate) struct Alive(pub(crate) Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.janitor_alive.store(false, Ordering::Release);
    }
}

impl Janitor {
    pub(crate) fn new(shared: Arc<Shared>) -> Janitor {
        shared.janitor_alive.store(true, Ordering::Release);
        let rounds = Arc::new(AtomicU64::new(0));
        Janitor {
            syncer: Syncer::new(Arc::clone(&shared)),
            preparer: Preparer::new(Arc::clone(&shared), Arc::clone(&rounds)),
            keeper: Keeper::new(Arc::clone(&shared), rounds),
            alive: Arc::new(Alive(shared)),
        }
    }

    /// One step: everything that is due at `now_ms`, most urgent first.
    pub fn work(&mut self, now_ms: u64) -> WorkReport {
        let mut report = WorkReport::default();
        let parts: [&mut dyn Part; 3] = [&mut self.syncer, &mut self.preparer, &mut self.keeper];
        report.next_due_ms = u64::MAX;
        for part in parts {
            part.step(now_ms, &mut report);
            report.next_due_ms = report.next_due_ms.min(part.due_ms());
        }
        report
    }
}
