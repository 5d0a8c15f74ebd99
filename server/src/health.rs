//! What the server knows of itself: where it is in its life, what it can promise.
//!
//! Any thread writes it, `GET /v1/health` reads it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering};

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Reading its log.
    Recovering = 0,
    /// Serving.
    Serving = 1,
    /// Saying goodbye.
    Stopping = 2,
}

/// What the server knows of itself. Any thread may write it.
#[derive(Debug)]
pub struct Health {
    phase: AtomicU8,
    control_durable: AtomicBool,
    /// Shards with a partition that runs in memory.
    shards_degraded: AtomicU16,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Recovering as u8),
            control_durable: AtomicBool::new(true),
            shards_degraded: AtomicU16::new(0),
        }
    }
}

impl Health {
    /// Says where the server is in its life.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Says whether the control log can be made durable; while not, starts are refused.
    pub fn set_control_durable(&self, durable: bool) {
        self.control_durable.store(durable, Ordering::Release);
    }

    /// A shard says that a partition of its runs in memory now, so that points survive no crash.
    pub fn log_degraded(&self) {
        self.shards_degraded.fetch_add(1, Ordering::AcqRel);
    }

    /// A shard that said so says that all of its partitions are on disk again.
    pub fn log_restored(&self) {
        self.shards_degraded.fetch_sub(1, Ordering::AcqRel);
    }

    /// Where the server is in its life.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Recovering,
            1 => Phase::Serving,
            _ => Phase::Stopping,
        }
    }

    /// Whether the control log can be made durable.
    pub fn control_durable(&self) -> bool {
        self.control_durable.load(Ordering::Acquire)
    }

    /// Whether the event log is on disk, on every shard.
    pub fn log_durable(&self) -> bool {
        self.shards_degraded.load(Ordering::Acquire) == 0
    }
}
