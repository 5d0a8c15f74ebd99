//! The viewers of a chat that watch the same rows in the same way, and so share batches.

use bytes::Bytes;

use crate::batch_builder::Scope;
use crate::fan_out::returning::Returning;
use crate::map::ServedView;
use crate::time::Timestamp;

/// When the head is told after a chat went quiet, milliseconds after the time before. A datagram
/// that was the last one and got lost is noticed by nobody unless the head is told; three times,
/// because the head travels as a datagram too.
const HEAD_GAPS_MS: [u64; 2] = [500, 1_500];

/// Viewers of one scope.
#[derive(Debug)]
pub(crate) struct ScopeViewers {
    pub(crate) scope: Scope,
    /// What they are shown of their part of the map; `None`: of a whole chat, or not chosen yet.
    pub(crate) view: Option<Box<ServedView>>,
    /// Viewers in [`super::viewer::Place::Ready`], by index.
    pub(crate) ready: Vec<u32>,
    /// Viewers wherever they are.
    pub(crate) count: u32,
    pub(crate) heads: HeadRounds,
    /// Where those are served from that were away for longer than walks are remembered.
    pub(crate) returning: Returning,
}

impl ScopeViewers {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            view: None,
            ready: Vec::new(),
            count: 0,
            heads: HeadRounds::default(),
            returning: Returning::default(),
        }
    }
}

/// Tells the head of a quiet chat to viewers that got datagrams.
#[derive(Clone, Debug)]
pub(crate) struct HeadRounds {
    /// When the next round begins.
    pub(crate) due: Timestamp,
    /// Rounds done since the last datagram.
    done: usize,
    /// The round that goes on.
    pub(crate) round: Option<HeadRound>,
}

impl Default for HeadRounds {
    fn default() -> Self {
        Self {
            due: Timestamp::NEVER,
            done: 0,
            round: None,
        }
    }
}

impl HeadRounds {
    /// A datagram went out: the first round begins when it was quiet for so long.
    pub(crate) fn restart(&mut self, quiet_until: Timestamp) {
        *self = Self {
            due: quiet_until,
            ..Self::default()
        };
    }

    /// Whether no round is to come.
    pub(crate) fn is_over(&self) -> bool {
        self.due == Timestamp::NEVER
    }

    /// Whether the round in progress is the last one.
    pub(crate) fn is_last(&self) -> bool {
        self.done == HEAD_GAPS_MS.len()
    }

    /// A round is done.
    pub(crate) fn finish_round(&mut self, now: Timestamp) {
        self.round = None;
        self.due = HEAD_GAPS_MS
            .get(self.done)
            .map_or(Timestamp::NEVER, |gap| now.plus_ms(*gap));
        self.done += 1;
    }
}

/// One round: the same frame for everybody.
#[derive(Clone, Debug)]
pub(crate) struct HeadRound {
    /// The place below this one is next.
    pub(crate) next: usize,
    pub(crate) frame: Bytes,
}
