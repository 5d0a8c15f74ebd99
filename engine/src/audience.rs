//! The viewers of a chat on one shard, counted by how often they want to hear.

use crate::limits::DEMAND_STEPS_MS;

/// Counts per step of demand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Audience {
    counts: [u32; DEMAND_STEPS_MS.len()],
}

/// The step of a viewer that wants a batch every `interval_ms` at most.
pub(crate) fn step_of(interval_ms: u32) -> u8 {
    let within = DEMAND_STEPS_MS.iter().position(|step| interval_ms <= *step);
    within.unwrap_or(DEMAND_STEPS_MS.len() - 1) as u8
}

impl Audience {
    /// One more.
    pub fn add(&mut self, step: u8) {
        self.counts[usize::from(step)] += 1;
    }

    /// One less.
    pub fn remove(&mut self, step: u8) {
        self.counts[usize::from(step)] -= 1;
    }

    /// Whether nobody watches.
    pub fn is_empty(&self) -> bool {
        self.counts == [0; DEMAND_STEPS_MS.len()]
    }

    /// The shortest wanted interval, milliseconds; 0 = nobody watches.
    pub fn demand_ms(&self) -> u32 {
        let step = self.counts.iter().position(|count| *count > 0);
        step.map_or(0, |step| DEMAND_STEPS_MS[step])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_eager_viewer_decides() {
        let mut audience = Audience::default();
        assert_eq!(audience.demand_ms(), 0);
        for interval_ms in [60_000, 4_000, 0, u32::MAX] {
            audience.add(step_of(interval_ms));
        }
        assert_eq!(audience.demand_ms(), 1_000);
        audience.remove(step_of(0));
        assert_eq!(audience.demand_ms(), 5_000);
        audience.remove(step_of(4_000));
        assert_eq!(audience.demand_ms(), 60_000);
    }
}
