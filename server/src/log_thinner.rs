//! The thread that thins old segments to a cheap trail: one point per so many milliseconds and session.
//!
//! It reads and writes whole files, so it is no shard's and not the janitor's, which has syncs to do
//! in time. Points and heartbeats are thinned, what happened is kept.
//!
//! How far it is stands in a named consumer of the log, or each start would read all that is old again.
//! The consumer is named after the interval: with another one everything is looked at again. Work is one
//! segment at a time, with a rest after each, as there may be hundreds when thinning is turned on. A
//! damaged one is said, counted and passed over.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use skein_log::{
    Consumer, ConsumerError, Log, PartitionId, Reader, RecordRef, RewriteReport, Rewriter, Thinning,
};

use crate::clock::Clock;
use crate::config::settings::LogSettings;
use crate::metrics::{Metric, MetricRow};
use crate::thinning_group::group;

/// Time between two looks for segments that have become old enough.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// It rests so many times as long as it has worked: a fifth of a core and of the disk, at most.
const REST_SHARE: u32 = 4;

/// What the names of its consumers begin with; the interval follows, milliseconds.
const CONSUMER_PREFIX: &str = "thinner-";

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
    Metric::counter(
        "log_thin_damaged_segments",
        "Damaged segments that thinning passed over",
    ),
];

#[derive(Debug, Default)]
struct Counters {
    segments: u64,
    records: u64,
    bytes: u64,
    failures: u64,
    damaged: u64,
}

/// A running thinner.
#[derive(Debug)]
pub struct LogThinner {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl LogThinner {
    /// Starts it, if thinning is wanted.
    ///
    /// # Errors
    /// When the thread cannot be made, or the log's consumer cannot be opened.
    pub fn spawn(
        settings: &LogSettings,
        log: &Log,
        clock: Clock,
        metrics: Arc<MetricRow>,
    ) -> anyhow::Result<Option<LogThinner>> {
        if settings.thin_after_ms == 0 {
            return Ok(None);
        }
        let mut work = Work::new(settings, log, metrics)?;
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("log-thinner".to_owned())
            .spawn(move || {
                let mut rest = Duration::ZERO;
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(rest) {
                    rest = work.step(clock.now_ms());
                }
            })?;
        Ok(Some(LogThinner { stop, thread }))
    }

    /// Ends it, after the segment that it is at.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the log's thinner had ended with a panic");
        }
    }
}

struct Work {
    age_ms: u64,
    every_ms: u64,
    /// How far each partition has been looked at.
    consumer: Consumer,
    rewriter: Rewriter,
    readers: Vec<Reader>,
    /// Where the next segment is looked for.
    partition: usize,
    counters: Counters,
    metrics: Arc<MetricRow>,
}

impl Work {
    fn new(
        settings: &LogSettings,
        log: &Log,
        metrics: Arc<MetricRow>,
    ) -> Result<Self, ConsumerError> {
        let name = format!("{CONSUMER_PREFIX}{}", settings.thin_every_ms);
        let others = log.consumers()?.into_iter();
        for other in others.filter(|it| it.starts_with(CONSUMER_PREFIX) && *it != name) {
            log.consumer(&other)?.remove()?;
        }
        let partitions = (0..log.partitions()).map(PartitionId);
        Ok(Self {
            age_ms: settings.thin_after_ms,
            every_ms: settings.thin_every_ms,
            consumer: log.consumer(&name)?,
            rewriter: log.rewriter(),
            readers: partitions.map(|it| log.reader(it)).collect(),
            partition: 0,
            counters: Counters::default(),
            metrics,
        })
    }

    /// Thins the next segment that is old enough; how long to rest then. Where there is none, or it is
    /// refused, goes on to the next partition: all are looked at within an interval, not all at once.
    fn step(&mut self, now_ms: u64) -> Duration {
        let began = Instant::now();
        let more = self.thin(self.partition, now_ms);
        let Counters {
            segments,
            records,
            bytes,
            failures,
            damaged,
        } = self.counters;
        self.metrics
            .publish([segments, records, bytes, failures, damaged]);
        if more {
            return began.elapsed() * REST_SHARE;
        }
        let partitions = self.readers.len();
        self.partition = (self.partition + 1) % partitions;
        LOOK_INTERVAL / partitions as u32
    }

    /// Whether there was a segment to look at, so that there may be another.
    fn thin(&mut self, partition: usize, now_ms: u64) -> bool {
        // Without a checkpoint a restart needs every record.
        if self.readers[partition].checkpoint().is_none() {
            return false;
        }
        let id = PartitionId(partition as u16);
        let every_ms = self.every_ms;
        let mut thinning = Thinning::new(self.age_ms, |time, record: &RecordRef<'_>| {
            group(every_ms, time, record)
        });
        thinning.from = self.consumer.position(id);
        thinning.segments_max = 1;
        match self.rewriter.thin(id, &thinning, now_ms) {
            Ok(report) => {
                self.note(partition, &report);
                report.segments > 0
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
        for damaged in &report.damaged {
            self.counters.damaged += 1;
            tracing::error!(partition, %damaged, "a segment cannot be thinned; a restart puts it aside");
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

#[cfg(test)]
#[path = "log_thinner_tests.rs"]
mod tests;
