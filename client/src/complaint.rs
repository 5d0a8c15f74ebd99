//! How often a viewer says that something is missing.

use crate::limits::{COMPLAINT_MS_MAX, COMPLAINT_MS_MIN, FULL_BATCH_MS_MAX};

/// When the viewer may complain about a watch: at most once per round trip, less often the longer
/// it does not help.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Complaint {
    count: u32,
    next_at_ms: u64,
    /// When the last one was made.
    said_at_ms: Option<u64>,
}

impl Complaint {
    /// When the next one may be made, milliseconds.
    pub(crate) fn next_at_ms(&self) -> u64 {
        self.next_at_ms
    }

    /// Nothing is missing. The next gap is complained about at once, but not within the round trip
    /// of the last complaint.
    pub(crate) fn heal(&mut self, round_trip_ms: u64) {
        self.count = 0;
        self.next_at_ms = self.said_at_ms.map_or(0, |said| said + round_trip_ms);
    }

    /// Whether to complain now; if so, the next one comes later.
    pub(crate) fn is_due(&mut self, now_ms: u64, known: bool, round_trip_ms: u64) -> bool {
        let pause = round_trip_ms.max(COMPLAINT_MS_MIN) << self.count.min(10);
        let pause_max = if known {
            COMPLAINT_MS_MAX
        } else {
            FULL_BATCH_MS_MAX
        };
        if self.count == 0 && !known {
            // A full batch was promised: give it time to come.
            (self.count, self.next_at_ms) = (1, now_ms + pause.max(COMPLAINT_MS_MAX));
            return false;
        }
        if now_ms < self.next_at_ms {
            return false;
        }
        self.count = self.count.saturating_add(1);
        self.said_at_ms = Some(now_ms);
        // A long round trip is never cut short.
        self.next_at_ms = now_ms + pause.min(pause_max.max(round_trip_ms));
        true
    }
}
