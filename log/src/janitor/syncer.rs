//! Makes durable what was appended, by policy and on request, and writes down what that means:
//! checkpoint hints, and the marks of partitions that have gone quiet.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::begin::begin;
use crate::flush::flush;
use crate::janitor::part::Part;
use crate::limits::DURABLE_MARKS_INTERVAL_MS;
use crate::marks::MarkKeeper;
use crate::meta::Checkpoint;
use crate::partition::{Durability, Partition};
use crate::shared::Shared;
use crate::work_report::WorkReport;

#[derive(Debug)]
pub(crate) struct Syncer {
    shared: Arc<Shared>,
    sync_due: u64,
    marks_due: u64,
    marks: MarkKeeper,
}

impl Part for Syncer {
    fn step(&mut self, now_ms: u64, report: &mut WorkReport) {
        self.begin_partitions(report);
        self.sync(now_ms, report);
        self.persist_checkpoints(report);
        if now_ms >= self.marks_due {
            self.marks_due = now_ms + DURABLE_MARKS_INTERVAL_MS;
            if let Err(error) = self.marks.round(&self.shared) {
                report
                    .refusals
                    .push(format!("writing the durable marks: {error}"));
            }
        }
    }

    fn due_ms(&self) -> u64 {
        self.sync_due.min(self.marks_due)
    }
}

impl Syncer {
    pub(crate) fn new(shared: Arc<Shared>) -> Syncer {
        Syncer {
            marks: MarkKeeper::new(shared.partitions.len()),
            shared,
            sync_due: 0,
            marks_due: 0,
        }
    }

    /// Does what first records wait for.
    fn begin_partitions(&self, report: &mut WorkReport) {
        for partition in &self.shared.partitions {
            if partition.begin_wanted.swap(false, Ordering::AcqRel) {
                match begin(&self.shared, partition) {
                    Ok(()) => self.shared.tell_ready(partition),
                    Err(error) => {
                        // The writer waits to be told, and does not ask again.
                        partition.begin_wanted.store(true, Ordering::Release);
                        report.refusals.push(error.to_string());
                    }
                }
            }
        }
    }

    fn sync(&mut self, now_ms: u64, report: &mut WorkReport) {
        let all = now_ms >= self.sync_due;
        if all {
            self.sync_due = now_ms + self.shared.options.sync_interval_ms;
        }
        for partition in &self.shared.partitions {
            let wanted = partition.sync_wanted.swap(false, Ordering::AcqRel);
            if !(wanted || all) || partition.appended() == partition.durable() {
                continue;
            }
            let before = partition.durable();
            match flush(&self.shared, partition) {
                Ok(_) => {}
                Err(error) => report.failures.push(error),
            }
            report.synced += u32::from(partition.durable() > before);
        }
    }

    /// Makes checkpoint hints durable whose checkpoints are.
    fn persist_checkpoints(&self, report: &mut WorkReport) {
        for partition in &self.shared.partitions {
            let Some(span) = partition.wanted_checkpoint() else {
                continue;
            };
            match partition.durability_within(span.begin, span.end) {
                Durability::Lost => {
                    partition.want_checkpoint(None);
                    report.refusals.push(format!(
                        "{}: checkpoint {} to {} is not durable and never will be; write another",
                        partition.id, span.begin, span.end
                    ));
                }
                Durability::Pending => {}
                Durability::Durable => match self.persist_checkpoint(partition, span) {
                    Ok(()) => partition.want_checkpoint(None),
                    Err(error) => report
                        .refusals
                        .push(format!("{}: writing its state file: {error}", partition.id)),
                },
            }
        }
    }

    fn persist_checkpoint(&self, partition: &Partition, span: Checkpoint) -> io::Result<()> {
        self.shared
            .update_state(partition, |state| state.checkpoint = Some(span))?;
        partition.set_checkpoint_begin(span.begin);
        Ok(())
    }
}
