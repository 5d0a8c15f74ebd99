//! What an erase did to the control log, and what is left.

use serde::Serialize;
use skein_engine::control_state::ControlState;
use skein_engine::control_state::erasing::NamesOf;
use skein_log::RecordRef;

use crate::control::record::{
    CHECKPOINT_BEGIN, CHECKPOINT_CHUNK, CHECKPOINT_END, ControlRecord, decode,
};

/// What an erase did to the control log, and what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ControlErased {
    /// Commands and parts of older checkpoints that were taken out.
    pub records_removed: u64,
    /// Files that are new ones now.
    pub files_rewritten: u64,
    /// Records that should go and are still there; erase again.
    pub records_left: u64,
    /// Memberships, active sessions and alerts that still name them: end them first.
    pub names_left: u64,
}

/// Whether a record goes, where all before `begin` is in a newer checkpoint. Older checkpoints go
/// whole: they have the names of then.
pub fn goes(
    offset: u64,
    record: &RecordRef<'_>,
    begin: u64,
    (state, of): (&ControlState, NamesOf<'_>),
) -> bool {
    if offset >= begin {
        return false;
    }
    if matches!(
        record.kind,
        CHECKPOINT_BEGIN | CHECKPOINT_CHUNK | CHECKPOINT_END
    ) {
        return true;
    }
    match decode(record) {
        Ok(ControlRecord::Command(command)) => {
            of.are_in(&command) || state.is_of_gone_link(of, &command)
        }
        _ => false,
    }
}
