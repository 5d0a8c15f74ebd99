//! The batches of one chat that are shared by the viewers of a walk and by those who join it.
//!
//! A batch once built serves until the next walk begins: between two walks the pace decides when
//! newer changes go out, so a joiner takes what is there and the next walk brings the rest. That
//! bounds what a flood of reconnects can make a chat encode.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::batch_builder::{BatchBuilder, BatchSpec};
use crate::shared_batch::SharedBatch;
use crate::table::Table;
use crate::time::Timestamp;

/// Bytes up to which batches are given back as soon as nobody needs them: building them again
/// costs less than a timer.
const KEEP_BYTES_MIN: usize = 4 * 1024;

/// How long larger ones are kept for joiners, milliseconds.
const KEEP_MS: u64 = 1_000;

/// Batches up to which looking at all of them finds one soonest.
const LOOKED_AT_MAX: usize = 16;

/// Scope, trail, and where it begins.
type Key = (u32, u8, u64);

#[derive(Debug)]
struct Built {
    scope: u32,
    trail: u8,
    batch: SharedBatch,
}

impl Built {
    fn key(&self) -> Key {
        (self.scope, self.trail, self.batch.from())
    }
}

/// The batches built since the last walk began.
#[derive(Debug, Default)]
pub(crate) struct BatchCache {
    built: Vec<Built>,
    /// Where each is, once there are many: viewers of a session each have batches of their own.
    places: HashMap<Key, u32, RandomState>,
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
            self.note_places(self.built.len() - 1);
            self.built.len() - 1
        });
        let looks = found.is_none().then(|| builder.looks());
        (&self.built[index].batch, looks)
    }

    fn find(&self, scope: u32, spec: &BatchSpec<'_>) -> Option<usize> {
        let key = (scope, spec.trail, spec.from);
        match self.built.len() {
            0..=LOOKED_AT_MAX => self.built.iter().position(|built| built.key() == key),
            _ => self.places.get(&key).map(|place| *place as usize),
        }
    }

    /// Those from `first` on are in other places, or new.
    fn note_places(&mut self, first: usize) {
        let first = match self.places.is_empty() {
            true => 0,
            false => first,
        };
        if self.built.len() > LOOKED_AT_MAX {
            let built = self.built.iter().enumerate().skip(first);
            let places = built.map(|(place, built)| (built.key(), place as u32));
            self.places.extend(places);
        }
    }

    /// Forgets the batches of a scope.
    pub(crate) fn forget(&mut self, scope: u32) {
        let before = self.built.len();
        self.built.retain(|built| built.scope != scope);
        if self.built.len() < before {
            self.places.clear();
            self.note_places(0);
        }
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self) {
        self.built.clear();
        self.places.clear();
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
            self.places = HashMap::default();
            return None;
        }
        Some(due)
    }
}
