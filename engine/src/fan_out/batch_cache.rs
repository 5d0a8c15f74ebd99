//! The batches of one chat that are shared by the viewers of a walk and by those who join it.
//!
//! A batch once built serves until the next walk begins: between two walks the pace decides when
//! newer changes go out, so a joiner takes what is there and the next walk brings the rest. That
//! bounds what a flood of reconnects can make a chat encode.

use crate::batch_builder::{BatchBuilder, BatchSpec};
use crate::shared_batch::SharedBatch;
use crate::table::Table;
use crate::time::Timestamp;

/// Bytes up to which batches are given back as soon as nobody needs them: building them again
/// costs less than a timer.
const KEEP_BYTES_MIN: usize = 4 * 1024;

/// How long larger ones are kept for joiners, milliseconds.
const KEEP_MS: u64 = 1_000;

#[derive(Debug)]
struct Built {
    scope: u32,
    trail: u8,
    batch: SharedBatch,
}

/// The batches built since the last walk began.
#[derive(Debug, Default)]
pub(crate) struct BatchCache {
    built: Vec<Built>,
    used: Timestamp,
}

impl BatchCache {
    /// Whether that batch is there.
    pub(crate) fn has(&self, scope: u32, spec: &BatchSpec<'_>) -> bool {
        self.find(scope, spec).is_some()
    }

    /// The batch of `spec` for the scope with this key: the one that is there, or a new one, with what it
    /// has cost, see [`BatchBuilder::looks`].
    pub(crate) fn get(
        &mut self,
        scope: u32,
        spec: &BatchSpec<'_>,
        table: &Table,
        builder: &mut BatchBuilder,
    ) -> (&SharedBatch, Option<usize>) {
        self.used = spec.now;
        let found = self.find(scope, spec);
        let index = found.unwrap_or_else(|| {
            self.built.push(Built {
                scope,
                trail: spec.trail,
                batch: builder.build(table, spec),
            });
            self.built.len() - 1
        });
        let looks = found.is_none().then(|| builder.looks());
        (&self.built[index].batch, looks)
    }

    fn find(&self, scope: u32, spec: &BatchSpec<'_>) -> Option<usize> {
        self.built.iter().position(|built| {
            built.scope == scope && built.trail == spec.trail && built.batch.from() == spec.from
        })
    }

    /// Forgets the batches of a scope.
    pub(crate) fn forget(&mut self, scope: u32) {
        self.built.retain(|built| built.scope != scope);
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self) {
        self.built.clear();
    }

    /// Nobody needs a batch now: gives back what is small or was kept long enough. When the rest
    /// is due to be given back, if there is a rest.
    pub(crate) fn release(&mut self, now: Timestamp) -> Option<Timestamp> {
        let bytes: usize = self
            .built
            .iter()
            .map(|built| built.batch.frames_len())
            .sum();
        let due = self.used.plus_ms(KEEP_MS);
        if bytes < KEEP_BYTES_MIN || due <= now {
            self.built = Vec::new();
            return None;
        }
        Some(due)
    }
}
