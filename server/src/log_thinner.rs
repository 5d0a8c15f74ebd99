//! The thread that thins old segments to a cheap trail: one point per so many milliseconds and session.
//!
//! It reads and writes whole files, so it is no shard's and not the janitor's, which has syncs to do
//! in time. Points and heartbeats are thinned, what happened is kept.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use skein_engine::journal::kind;
use skein_log::{PartitionId, Reader, Rewriter, Thinning};

use crate::clock::Clock;
use crate::config::settings::LogSettings;
use crate::http::metrics::{Metric, MetricRow};

/// Time between two looks for segments that have become old enough.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// What it counts, in the order of `Counters`.
pub static THINNER_METRICS: &[Metric] = &[
    Metric::counter(
        "log_thinned_segments",
        "Segments of the log that were rewritten with fewer points",
    ),
    Metric::counter("log_thinned_records", "Points that thinning took out"),
    Metric::counter("log_thinned_bytes", "Bytes of the disk that thinning freed"),
    Metric::counter(
        "log_thin_failures",
        "Partitions that could not be thinned, each at each try",
    ),
];

#[derive(Debug, Default)]
struct Counters {
    segments: u64,
    records: u64,
    bytes: u64,
    failures: u64,
}

/// A running thinner.
#[derive(Debug)]
pub struct LogThinner {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl LogThinner {
    /// Starts it, if thinning is wanted. `readers` has one per partition, in order.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn spawn(
        settings: &LogSettings,
        rewriter: Rewriter,
        readers: Vec<Reader>,
        clock: Clock,
        metrics: Arc<MetricRow>,
    ) -> io::Result<Option<LogThinner>> {
        if settings.thin_after_ms == 0 {
            return Ok(None);
        }
        let mut work = Work {
            thinning: Thinning {
                age_ms: settings.thin_after_ms,
                interval_ms: settings.thin_every_ms,
                kinds: vec![kind::POINT, kind::HISTORICAL_POINT, kind::HEARTBEAT],
                from: 0,
            },
            thinned_to: vec![0; readers.len()],
            rewriter,
            readers,
            counters: Counters::default(),
            metrics,
        };
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("log-thinner".to_owned())
            .spawn(move || {
                let partitions = work.readers.len();
                for partition in (0..partitions).cycle() {
                    // All partitions are looked at within an interval, not all at once.
                    match stopped.recv_timeout(LOOK_INTERVAL / partitions as u32) {
                        Err(RecvTimeoutError::Timeout) => work.thin(partition, clock.now_ms()),
                        _ => return,
                    }
                }
            })?;
        Ok(Some(LogThinner { stop, thread }))
    }

    /// Ends it, after the partition that it is at.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the log's thinner had ended with a panic");
        }
    }
}

struct Work {
    thinning: Thinning,
    /// By partition: where the segments that were not looked at begin.
    thinned_to: Vec<u64>,
    rewriter: Rewriter,
    readers: Vec<Reader>,
    counters: Counters,
    metrics: Arc<MetricRow>,
}

impl Work {
    fn thin(&mut self, partition: usize, now_ms: u64) {
        // Without a checkpoint a restart needs every record.
        if self.readers[partition].checkpoint().is_none() {
            return;
        }
        self.thinning.from = self.thinned_to[partition];
        let id = PartitionId(partition as u16);
        match self.rewriter.thin(id, &self.thinning, now_ms) {
            Ok(report) => {
                let left = report.records_left > 0;
                if !left {
                    let to = &mut self.thinned_to[partition];
                    *to = report.next.max(*to);
                }
                if report.segments_rewritten > 0 {
                    let freed = report.bytes_before.saturating_sub(report.bytes_after);
                    self.counters.segments += report.segments_rewritten;
                    self.counters.records += report.records_removed;
                    self.counters.bytes += freed;
                    tracing::info!(
                        partition,
                        segments = report.segments_rewritten,
                        records_removed = report.records_removed,
                        bytes_freed = freed,
                        "old segments were thinned"
                    );
                }
            }
            Err(error) => {
                self.counters.failures += 1;
                tracing::error!(partition, %error, "old segments could not be thinned");
                false
            }
        }
    }

    fn note(&mut self, partition: usize, report: &RewriteReport) {
        if report.segments == 0 {
            return;
        }
        self.consumer
            .commit_at(PartitionId(partition as u16), report.next);
        if let Err(error) = self.consumer.sync() {
            tracing::debug!(%error, "how far the log is thinned cannot be noted");
        }
        if report.segments_rewritten > 0 {
            let freed = report.bytes_before.saturating_sub(report.bytes_after);
            self.counters.segments += report.segments_rewritten;
            self.counters.records += report.records_removed;
            self.counters.bytes += freed;
            tracing::info!(
                partition,
                segments = report.segments_rewritten,
                records_removed = report.records_removed,
                bytes_freed = freed,
                "old segments were thinned"
            );
        }
    }
}
