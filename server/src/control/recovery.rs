//! From the records of a control log to the state they add up to.
//!
//! Two passes over what lies behind the newest checkpoint: the first collects commands and the
//! ranges that do not count (a void lies behind what it voids), the second applies.

use skein_engine::command::Command;
use skein_engine::control_state::ControlState;
use skein_log::{OFFSET_FIRST, ReadError, Reader};

use crate::control::checkpoint::CheckpointReader;
use crate::control::record::{ControlRecord, decode};
use crate::control::voids::Voids;

/// What recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlRecovery {
    /// Commands replayed on top of the checkpoint.
    pub commands_replayed: u64,
    /// Index of the newest command in the checkpoint; 0 = there was none.
    pub checkpoint_index: u64,
    /// Losses: records that were not understood, or that the log could not read. Each is a promise
    /// that may be missing; the operator must know.
    pub losses: u64,
    /// The first of them in words.
    pub first_loss: Option<String>,
    /// Newest server time in the log, milliseconds since 1970; the clock must not start before it.
    pub time_ms: u64,
}

/// The state, the ranges that do not count, and what was found.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The state.
    pub state: ControlState,
    /// Ranges that do not count.
    pub voids: Voids,
    /// What was found.
    pub report: ControlRecovery,
    /// Bytes of commands behind the checkpoint.
    pub bytes_replayed: u64,
}

/// Reads a control log from its newest checkpoint on; from its start if that one is damaged.
pub fn recover(reader: &mut Reader) -> Recovered {
    let first = reader.first_offset();
    let Some(checkpoint) = reader.checkpoint() else {
        let mut scan = Scan::over(reader, first);
        if first > OFFSET_FIRST && scan.base.is_none() {
            scan.lose(format!(
                "records before {first} are gone and there is no checkpoint"
            ));
        }
        return scan.finish();
    };
    let scan = Scan::over(reader, checkpoint);
    if scan.base.is_some() {
        return scan.finish();
    }
    let mut whole = Scan::over(reader, first);
    whole.lose("the newest checkpoint is damaged; the log was read from its start".to_owned());
    whole.finish()
}

#[derive(Debug, Default)]
struct Scan {
    base: Option<ControlState>,
    open: Option<CheckpointReader>,
    /// Index, command, bytes.
    commands: Vec<(u64, Command, u64)>,
    voids: Voids,
    report: ControlRecovery,
}

impl Scan {
    fn over(reader: &mut Reader, start: u64) -> Self {
        let mut scan = Self::default();
        reader.seek(start);
        loop {
            let batch = match reader.next_batch() {
                Ok(None) => return scan,
                Ok(Some(batch)) => batch,
                Err(error) => {
                    scan.hole(&error);
                    continue;
                }
            };
            scan.report.time_ms = scan.report.time_ms.max(batch.append_time());
            for (offset, record) in batch.records() {
                match decode(&record) {
                    Ok(understood) => scan.take(offset, understood, record.payload.len() as u64),
                    Err(error) => scan.lose(format!("record {offset}: {error}")),
                }
            }
        }
    }

    fn take(&mut self, offset: u64, record: ControlRecord<'_>, bytes: u64) {
        match record {
            ControlRecord::Command(command) => self.commands.push((offset, command, bytes)),
            ControlRecord::Void { first, last } => self.voids.add(first, last.min(offset)),
            ControlRecord::Begin { number, header } => {
                self.open = Some(CheckpointReader::new(number, header));
            }
            ControlRecord::Chunk {
                number,
                index,
                bytes,
            } => {
                if let Some(open) = &mut self.open {
                    open.chunk(number, index, bytes);
                }
            }
            ControlRecord::End { number } => {
                if let Some(state) = self.open.take().and_then(|open| open.end(number)) {
                    self.base = Some(state);
                }
            }
        }
    }

    /// A hole that a failed disk left held refused commands only; the log says so by a gap. Damage
    /// is a loss.
    fn hole(&mut self, error: &ReadError) {
        if !matches!(error, ReadError::Gap { .. } | ReadError::Truncated { .. }) {
            self.lose(error.to_string());
        }
    }

    fn lose(&mut self, what: String) {
        self.report.losses += 1;
        self.report.first_loss.get_or_insert(what);
    }

    fn finish(self) -> Recovered {
        let mut state = self.base.unwrap_or_default();
        let mut report = self.report;
        report.checkpoint_index = state.applied_index();
        let mut bytes_replayed = 0;
        for (index, command, bytes) in &self.commands {
            if *index > report.checkpoint_index && !self.voids.contains(*index) {
                state.apply(*index, command);
                report.commands_replayed += 1;
                bytes_replayed += bytes;
            }
        }
        Recovered {
            state,
            voids: self.voids,
            report,
            bytes_replayed,
        }
    }
}
