//! Whether each viewer gets each point of each session once and in its turn: counted at every viewer, by
//! the points' counters. Sums alone would let one that came twice stand for one that never came.
//!
//! A batch tells the lowest byte of most counters; so many points of one session would have to be left
//! out in one go to be taken for the next one that nobody fails to notice.

use serde::{Deserialize, Serialize};

use crate::protocol::Row;

/// What went wrong, all viewers and sessions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// Points that never came, and that a later one stood for.
    pub skipped: u64,
    /// Points that came again, or behind a later one.
    pub not_newer: u64,
}

/// What has come to whom.
pub struct Arrivals {
    /// Counter of all sessions before the first point of the stream.
    begin: u8,
    viewers: Vec<Viewer>,
    positions: u64,
    not_newer: u64,
}

/// Of one viewer, by the sessions' slots: the newest point's place in the stream, 0 where nothing has
/// come yet.
#[derive(Clone, Default)]
struct Viewer(Vec<Slot>);

#[derive(Clone, Copy, Default)]
struct Slot {
    /// Points of the stream up to the newest one that is there.
    newest: u32,
    /// How many of them have come.
    came: u32,
}

impl Arrivals {
    /// Of so many viewers, after the points with this counter.
    pub fn new(viewers: usize, begin: u64) -> Self {
        Self {
            begin: begin as u8,
            viewers: vec![Viewer::default(); viewers],
            positions: 0,
            not_newer: 0,
        }
    }

    /// Points that have come in their turn, or for others that were skipped.
    pub fn positions(&self) -> u64 {
        self.positions
    }

    /// A viewer has these now.
    pub fn take(&mut self, viewer: usize, rows: &[Row]) {
        let slots = &mut self.viewers[viewer].0;
        for row in rows {
            let index = row.slot as usize;
            if index >= slots.len() {
                slots.resize(index + 1, Slot::default());
            }
            let slot = &mut slots[index];
            let had = self.begin.wrapping_add(slot.newest as u8);
            // By how many it is newer than what the viewer had; half of the circle is older.
            match row.counter.wrapping_sub(had) {
                step @ 1..128 => {
                    slot.newest += u32::from(step);
                    slot.came += 1;
                    self.positions += 1;
                }
                _ => self.not_newer += 1,
            }
        }
    }

    /// What is wrong after `sessions` that have sent so many points each.
    pub fn faults(&self, sessions: usize, points: u64) -> Faults {
        let owed = self.viewers.len() as u64 * sessions as u64 * points;
        let came = |viewer: &Viewer| {
            viewer
                .0
                .iter()
                .map(|slot| u64::from(slot.came))
                .sum::<u64>()
        };
        let came: u64 = self.viewers.iter().map(came).sum();
        Faults {
            skipped: owed.saturating_sub(came),
            not_newer: self.not_newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrivals, Faults};
    use crate::protocol::Row;

    fn rows(counters: &[(u32, u8)]) -> Vec<Row> {
        let row = |&(slot, counter): &(u32, u8)| Row {
            slot,
            counter,
            captured_at_ms: 0,
        };
        counters.iter().map(row).collect()
    }

    /// Two viewers of two sessions, two points each after counter 255; the second viewer gets all.
    fn faults(first: &[(u32, u8)]) -> Faults {
        let mut arrivals = Arrivals::new(2, 255);
        arrivals.take(0, &rows(first));
        arrivals.take(1, &rows(&[(3, 0), (8, 0)]));
        arrivals.take(1, &rows(&[(8, 1), (3, 1)]));
        arrivals.faults(2, 2)
    }

    #[test]
    fn each_point_comes_to_each_viewer_once_and_in_its_turn() {
        for (what, first, skipped, not_newer) in [
            ("all", &[(3, 0), (8, 0), (3, 1), (8, 1)][..], 0, 0),
            ("one left out", &[(3, 0), (8, 1), (3, 1)], 1, 0),
            ("the last one is missing", &[(3, 0), (8, 0), (3, 1)], 1, 0),
            ("a session is missing", &[(3, 0), (3, 1)], 2, 0),
            // As many as there should be.
            ("one twice", &[(3, 0), (8, 0), (3, 1), (3, 1)], 1, 1),
            ("swapped", &[(3, 1), (3, 0), (8, 0), (8, 1)], 1, 1),
            ("of before", &[(3, 255), (3, 0), (8, 0), (8, 1)], 1, 1),
        ] {
            assert_eq!(faults(first), Faults { skipped, not_newer }, "{what}");
        }
    }
}
