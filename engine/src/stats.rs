//! Plain counters of a shard: what it took, refused, sent and holds. No atomics, no clock; the
//! server copies them out.

use skein_wire::error::Code;

use crate::fan_out::{FanOutReport, Views};

/// Refusals are counted by code; codes are small numbers.
const CODES: usize = 128;

/// Counters since the start of the shard, and gauges of what it holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Live points appended.
    pub points_accepted: u64,
    /// Historical points appended.
    pub points_historical: u64,
    /// Live points that came after a newer one.
    pub points_superseded: u64,
    /// Live points replaced by a newer one while a ring was full.
    pub points_conflated: u64,
    /// Heartbeats received.
    pub heartbeats: u64,
    /// Sessions started.
    pub sessions_started: u64,
    /// Sessions ended by their owner.
    pub sessions_stopped: u64,
    /// Sessions ended by their time.
    pub sessions_expired: u64,
    /// Sessions ended by loss of membership.
    pub sessions_revoked: u64,
    /// Records followed.
    pub records_followed: u64,
    /// Records that did not parse, or belong to no known chat of an owned partition.
    pub records_strange: u64,
    /// Commands proposed, retries included.
    pub proposals: u64,
    /// Commands that could not be made durable at that time.
    pub proposals_rejected: u64,
    /// Revocations that a shard had not applied in time.
    pub fences_late: u64,
    /// Relays that were cut because they had not applied a change of members in time.
    pub relays_late: u64,
    /// Crossings of geofences that became promises.
    pub crossings: u64,
    /// Crossings that the viewers of a shard were not told of: too many waited.
    pub crossings_untold: u64,
    /// Images sent to other shards, each to the end.
    pub images_sent: u64,
    /// Rows and members copied for images.
    pub image_rows_copied: u64,
    /// Checkpoints finished.
    pub checkpoints: u64,
    /// Times that memory was given back.
    pub give_backs: u64,
    /// What the passes over the viewers did, summed up; `more` is that of the last one.
    pub fan_out: FanOutReport,
    /// Connections now.
    pub connections: u64,
    /// Viewers now.
    pub viewers: u64,
    /// Viewers of parts of the map now, as of the last sum.
    pub views: Views,
    /// Timers that are set now.
    pub timers: u64,
    /// Chats owned now.
    pub chats_owned: u64,
    /// Chats mirrored now.
    pub chats_mirrored: u64,
    /// Live sessions owned now.
    pub sessions_live: u64,
    /// Ended rows now.
    pub tombstones: u64,
    /// Bytes of tables and admission state now, an estimate.
    pub memory_bytes: u64,
    refused: [u64; CODES],
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            points_accepted: 0,
            points_historical: 0,
            points_superseded: 0,
            points_conflated: 0,
            heartbeats: 0,
            sessions_started: 0,
            sessions_stopped: 0,
            sessions_expired: 0,
            sessions_revoked: 0,
            records_followed: 0,
            records_strange: 0,
            proposals: 0,
            proposals_rejected: 0,
            fences_late: 0,
            relays_late: 0,
            crossings: 0,
            crossings_untold: 0,
            images_sent: 0,
            image_rows_copied: 0,
            checkpoints: 0,
            give_backs: 0,
            fan_out: FanOutReport::default(),
            connections: 0,
            viewers: 0,
            views: Views::default(),
            timers: 0,
            chats_owned: 0,
            chats_mirrored: 0,
            sessions_live: 0,
            tombstones: 0,
            memory_bytes: 0,
            refused: [0; CODES],
        }
    }
}

impl Stats {
    /// Counts a refusal or a verdict.
    pub fn count_refused(&mut self, code: Code) {
        if let Some(count) = self.refused.get_mut(code as usize) {
            *count += 1;
        }
    }

    /// Adds what a pass over the viewers did.
    pub fn count_fan_out(&mut self, report: &FanOutReport) {
        let sum = &mut self.fan_out;
        sum.batches += report.batches;
        sum.batch_bytes += report.batch_bytes;
        sum.view_batches += report.view_batches;
        sum.sent += report.sent;
        sum.datagrams += report.datagrams;
        sum.streams += report.streams;
        sum.full += report.full;
        sum.sent_bytes += report.sent_bytes;
        sum.heads += report.heads;
        sum.steps += report.steps;
        sum.more = report.more;
    }

    /// How often a code was given.
    pub fn refused(&self, code: Code) -> u64 {
        self.refused.get(code as usize).copied().unwrap_or(0)
    }
}
