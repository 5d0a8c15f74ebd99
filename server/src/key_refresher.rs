//! The thread that keeps the keys of a JWK set fresh, without a restart.
//!
//! A file is looked at every second, an address is fetched every `access.jwks_interval`; a token whose
//! key is not known asks for a fetch at once, at a bounded rate. When the set cannot be had the keys
//! stay as they were: the log says why, and the metrics show since when.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, anyhow};

use crate::access::Access;
use crate::access::jwks::{self, Jwks};
use crate::access::jwks_fetch;
use crate::access::jwks_source::{FileStamp, JwksSource};
use crate::access::limits::{JWKS_BYTES_MAX, JWKS_LOOK_MS, JWKS_RETRY_MS};
use crate::access::refresh_signal::{RefreshSignal, Wake};
use crate::clock::Clock;
use crate::config::span::Span;
use crate::metrics::{Metric, MetricRow};

/// What it counts, in the order of `Counters`.
pub static KEY_METRICS: &[Metric] = &[
    Metric::gauge(
        "jwks_keys",
        "Keys of the JWK set in force; 0 = there is no set",
    ),
    Metric::counter(
        "jwks_reads",
        "Times that a JWK set was read or fetched and taken",
    ),
    Metric::counter(
        "jwks_failures",
        "Times that a JWK set could not be had, so that the keys stayed as they were",
    ),
];

#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    keys: u64,
    reads: u64,
    failures: u64,
}

/// A JWK set and what is known of it.
#[derive(Debug)]
pub struct KeySource {
    source: JwksSource,
    signal: Arc<RefreshSignal>,
    stamp: Option<FileStamp>,
    counters: Counters,
}

impl KeySource {
    /// A set that was not read yet.
    pub fn new(source: JwksSource) -> Self {
        if source.is_open_to_others() {
            tracing::warn!(
                %source,
                "token keys come over plain http: whoever sits on the way can let anybody in; use https"
            );
        }
        Self {
            source,
            signal: Arc::default(),
            stamp: None,
            counters: Counters::default(),
        }
    }

    /// Where tokens with unknown keys ask.
    pub fn signal(&self) -> Arc<RefreshSignal> {
        self.signal.clone()
    }

    /// Reads a file for the first time. An address is fetched later: a server comes up while its
    /// issuer is down.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn open(mut self, access: &Access) -> anyhow::Result<Self> {
        if let JwksSource::File(path) = &self.source {
            let text = || format!("access.jwks: {}", path.display());
            let set = self.read().with_context(text)?;
            self.stamp = self.source.stamp();
            self.take(access, set);
        }
        Ok(self)
    }

    fn read(&self) -> anyhow::Result<Jwks> {
        let bytes = match &self.source {
            JwksSource::File(path) => read_bounded(path)
                .map_err(|error| anyhow!("{error}; check the path given with access.jwks"))?
                .into(),
            JwksSource::Url { uri, ca } => jwks_fetch::fetch(uri, ca.as_deref())?,
        };
        jwks::parse(&bytes).map_err(|problem| anyhow!(problem))
    }

    fn take(&mut self, access: &Access, set: Jwks) {
        let (keys, left_out) = (set.keys.len(), set.left_out);
        self.counters.keys = keys as u64;
        self.counters.reads += 1;
        access.take_jwks(set.keys);
        tracing::debug!(source = %self.source, keys, left_out, "the JWK set was read");
    }

    /// Reads the set again; true if it was taken.
    fn refresh(&mut self, access: &Access) -> bool {
        // Before the content: a change between the two is seen at the next look.
        self.stamp = self.source.stamp();
        match self.read() {
            Ok(set) => {
                self.take(access, set);
                true
            }
            Err(error) => {
                self.counters.failures += 1;
                tracing::error!(
                    source = %self.source,
                    "the JWK set cannot be had, the token keys stay as they were: {error:#}"
                );
                false
            }
        }
    }
}

/// A running refresher.
#[derive(Debug)]
pub struct KeyRefresher {
    signal: Arc<RefreshSignal>,
    thread: JoinHandle<()>,
}

impl KeyRefresher {
    /// Starts it, if there is a JWK set.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn spawn(
        source: Option<KeySource>,
        interval: Span,
        access: Arc<Access>,
        clock: Clock,
        metrics: Arc<MetricRow>,
    ) -> io::Result<Option<KeyRefresher>> {
        let Some(source) = source else {
            return Ok(None);
        };
        let signal = source.signal();
        let work = Work {
            source,
            interval_ms: interval.as_ms(),
            access,
            clock,
            metrics,
        };
        let thread = thread::Builder::new()
            .name("keys".to_owned())
            .spawn(move || work.run())?;
        Ok(Some(KeyRefresher { signal, thread }))
    }

    /// Ends it, after the fetch that it is at.
    pub fn stop(self) {
        self.signal.stop();
        if self.thread.join().is_err() {
            tracing::error!("the thread of the token keys had ended with a panic");
        }
    }
}

struct Work {
    source: KeySource,
    interval_ms: u64,
    access: Arc<Access>,
    clock: Clock,
    metrics: Arc<MetricRow>,
}

impl Work {
    fn run(mut self) {
        // A file was read at the start; an address is fetched at once.
        let is_file = matches!(self.source.source, JwksSource::File(_));
        let mut due_ms = if is_file { u64::MAX } else { 0 };
        loop {
            self.publish();
            let until_due = due_ms.saturating_sub(self.clock.now_ms());
            let wake = self
                .source
                .signal
                .wait(Duration::from_millis(until_due.min(JWKS_LOOK_MS)));
            let is_changed = is_file && self.source.source.stamp() != self.source.stamp;
            let is_due = due_ms <= self.clock.now_ms();
            match wake {
                Wake::Stopped => return,
                Wake::Time if !is_changed && !is_due => continue,
                Wake::Time | Wake::Asked => {}
            }
            let is_taken = self.source.refresh(&self.access);
            let now_ms = self.clock.now_ms();
            self.source.signal.done(now_ms);
            if !is_file {
                let pause_ms = match is_taken {
                    true => self.interval_ms,
                    false => self.interval_ms.min(JWKS_RETRY_MS),
                };
                due_ms = now_ms.saturating_add(pause_ms);
            }
        }
    }

    fn publish(&self) {
        let Counters {
            keys,
            reads,
            failures,
        } = self.source.counters;
        self.metrics.publish([keys, reads, failures]);
    }
}

/// A file's content, unless it is larger than any JWK set.
fn read_bounded(path: &std::path::Path) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let file = std::fs::File::open(path)?;
    let mut bytes = Vec::new();
    // One byte more, so that what is too large is seen to be.
    let bounded = &mut file.take(JWKS_BYTES_MAX as u64 + 1);
    bounded.read_to_end(&mut bytes)?;
    Ok(bytes)
}
