//! How much is measured.

use std::time::Duration;

/// Sizes and times of a run.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Its name in the results.
    pub name: &'static str,
    /// How often everything is measured, each time with a new server.
    pub repeats: usize,
    /// Senders, one session each.
    pub sessions: u32,
    /// Viewers whose last one is waited for.
    pub viewers: usize,
    /// Viewers of a second, larger measurement of saturation; 0: none.
    pub viewers_many: usize,
    /// Publications of one repeat.
    pub publications: usize,
    /// Time until a peer counts as saturated.
    pub warm: Duration,
    /// Time that is measured then, at least.
    pub window: Duration,
    /// Viewers over QUIC: encrypting for them costs the loader more than the server.
    pub viewers_quic: usize,
    /// Time that appending is measured.
    pub append: Duration,
    /// Bytes of payload in a log that is opened again.
    pub restart_bytes: u64,
}

impl Effort {
    /// For the documents: below twenty minutes.
    pub const FULL: Self = Self {
        name: "full",
        repeats: 3,
        sessions: 1_000,
        viewers: 1_000,
        viewers_many: 10_000,
        publications: 200,
        warm: Duration::from_millis(1_000),
        window: Duration::from_millis(3_000),
        viewers_quic: 1_000,
        append: Duration::from_millis(2_000),
        restart_bytes: 1 << 30,
    };

    /// For a look: below five minutes.
    pub const QUICK: Self = Self {
        name: "quick",
        repeats: 1,
        viewers_many: 0,
        publications: 100,
        warm: Duration::from_millis(500),
        window: Duration::from_millis(1_500),
        viewers_quic: 300,
        append: Duration::from_millis(1_000),
        restart_bytes: 128 << 20,
        ..Self::FULL
    };

    /// For a test: everything happens, no figure means anything.
    pub const SMOKE: Self = Self {
        name: "smoke",
        repeats: 1,
        sessions: 8,
        viewers: 20,
        viewers_many: 30,
        publications: 5,
        warm: Duration::from_millis(50),
        window: Duration::from_millis(200),
        viewers_quic: 5,
        append: Duration::from_millis(100),
        restart_bytes: 1 << 20,
    };
}
