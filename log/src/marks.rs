//! Keeps the durable marks of partitions that have gone quiet in a small file.
//!
//! A busy partition carries its durable mark in its own batches. The last batches before a silence
//! have nothing behind them that would say that they became durable; without this file, damage to
//! them would look like a torn tail at the next start, and be cut without a word.
//!
//! One file for all partitions: whoever goes quiet costs one replaced file per round, not one each.

use std::io;

use crate::meta::{DurableMark, DurableMarks};
use crate::names;
use crate::partition::Partition;
use crate::position::Offset;
use crate::shared::Shared;

/// What was seen and written in earlier rounds.
#[derive(Debug)]
pub(crate) struct MarkKeeper {
    written: Vec<DurableMark>,
    appended: Vec<Offset>,
}

impl MarkKeeper {
    pub(crate) fn new(partitions: usize) -> MarkKeeper {
        MarkKeeper {
            written: vec![DurableMark::default(); partitions],
            appended: vec![0; partitions],
        }
    }

    /// One round. Writes the marks if some partition has appended nothing since the last round, is
    /// durable as a whole, and its mark is not written yet.
    pub(crate) fn round(&mut self, shared: &Shared) -> io::Result<()> {
        let marks: Vec<DurableMark> = shared.partitions.iter().map(|p| mark(p)).collect();
        let mut due = false;
        for (index, partition) in shared.partitions.iter().enumerate() {
            let appended = partition.appended();
            let quiet = std::mem::replace(&mut self.appended[index], appended) == appended;
            let whole = appended == marks[index].durable;
            due |= quiet && whole && marks[index] != self.written[index];
        }
        if due {
            let content = DurableMarks { marks };
            shared.replace(names::DURABLE_MARKS, &content.encode(shared.id))?;
            self.written = content.marks;
        }
        Ok(())
    }
}

/// The mark with the epoch in which it counts: a truncation takes the mark back, and begins an
/// epoch. `flush` is held so that both are of one moment.
fn mark(partition: &Partition) -> DurableMark {
    let _flushing = partition.flush.lock().expect("flush");
    DurableMark {
        epoch: partition.state.lock().expect("partition state").epoch(),
        durable: partition.durable(),
    }
}
