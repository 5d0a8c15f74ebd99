//! What one turn of a chat works with, and what it may still do.
//!
//! Work is counted in viewers looked at. What costs less counts as a part of one, so that a chat with
//! few viewers and many kinds of watches is cut off as a chat with many viewers is.

use slab::Slab;

use crate::batch_builder::BatchBuilder;
use crate::fan_out::pacing::Pacing;
use crate::fan_out::report::FanOutReport;
use crate::fan_out::timers::Timers;
use crate::fan_out::viewer::Viewer;
use crate::time::Timestamp;

/// Rows, and points of trails, looked at for a batch that take as long as a viewer does: about four
/// microseconds, a send. So a chat with many kinds of viewers, each with batches of its own, delays the others of
/// a core no more than one with one kind.
const LOOKS_PER_VIEWER: usize = 128;

/// Scopes looked at and left alone that take as long as a viewer does: a few cold lines of memory each.
const SCOPES_PER_VIEWER: u32 = 8;

/// One turn, apart from the chat.
pub(crate) struct Slice<'a, S: ?Sized> {
    pub(crate) now: Timestamp,
    pub(crate) viewers: &'a mut Slab<Viewer>,
    pub(crate) builder: &'a mut BatchBuilder,
    pub(crate) timers: &'a mut Timers,
    pub(crate) report: &'a mut FanOutReport,
    pub(crate) sink: &'a mut S,
    pub(crate) pacing: Pacing,
    /// The number given last to a choice of cells.
    pub(crate) choice_last: &'a mut u32,
    /// Viewers that may still be looked at.
    pub(crate) left: usize,
    /// Scopes looked at that no viewer was counted for yet.
    pub(crate) scopes: u32,
}

impl<S: ?Sized> Slice<'_, S> {
    /// A viewer is looked at.
    pub(crate) fn count_viewer(&mut self) {
        self.report.steps += 1;
        self.left -= 1;
    }

    /// A scope is looked at.
    pub(crate) fn count_scope(&mut self) {
        self.report.steps += 1;
        self.scopes += 1;
        if self.scopes == SCOPES_PER_VIEWER {
            self.scopes = 0;
            self.left -= 1;
        }
    }

    /// So many rows, and points of trails, were looked at for a batch.
    pub(crate) fn count_looks(&mut self, looks: usize) {
        self.left = self.left.saturating_sub(looks / LOOKS_PER_VIEWER);
    }
}
