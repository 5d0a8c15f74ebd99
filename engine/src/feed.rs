//! What a relay's hub hands to the shards that mirror a chat.

use skein_wire::ids::{ChatHandle, ChatName, SessionId};

use crate::journal::Entry;
use crate::membership::Membership;
use crate::table::Table;

/// One change of a chat's table.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// As a record of the log would say it.
    Entry(Entry),
    /// How many points a session has had, where not all of them were told.
    Points { session: SessionId, total: u64 },
}

/// What an applied batch of the upstream changes.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    pub chat: ChatHandle,
    /// The upstream's epoch.
    pub epoch: u32,
    /// Offset from which on cursors are the epoch's own; those before it are older ones' too.
    pub epoch_first: u64,
    /// All of it counts as changed here.
    pub to: u64,
    /// The upstream's time, milliseconds since 1970.
    pub time_ms: u64,
    pub steps: Vec<Step>,
    /// Ends since this offset are known with it.
    pub ends_since: Option<u64>,
}

/// A chat as the hub has it, for a shard that begins to mirror it or that must begin anew.
#[derive(Clone, Debug)]
pub(crate) struct FeedImage {
    pub name: ChatName,
    pub chat: ChatHandle,
    pub table: Table,
    pub members: Membership,
    /// Writers of the chat as far as they are known: (epoch, first offset).
    pub epochs: Vec<(u32, u64)>,
}

impl Feed {
    /// Changes a table, of the hub or of a mirror.
    pub fn apply_to(&self, table: &mut Table) {
        if self.to < table.as_of() {
            return;
        }
        for step in &self.steps {
            match step {
                Step::Entry(entry) => drop(table.apply_part(self.to, self.time_ms, entry)),
                Step::Points { session, total } => table.note_points(*session, self.to, *total),
            }
        }
        table.pass_over(self.to);
        if let Some(offset) = self.ends_since {
            table.lower_horizon(offset);
        }
    }
}

/// Notes the writer of what follows in a list of (epoch, first offset); true if it is a new one.
pub(crate) fn note_epoch(epochs: &mut Vec<(u32, u64)>, epoch: u32, first: u64) -> bool {
    let is_new = epochs.last().is_none_or(|(last, _)| *last < epoch);
    if is_new {
        epochs.push((epoch, first));
    }
    is_new
}
