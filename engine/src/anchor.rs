//! The position that a batch's rows are relative to.
//!
//! A row within reach of the anchor takes 3 + 3 bytes, one beyond it 4 + 4, so the choice is about
//! size, never about correctness: the anchor stands in every batch. It stays where it is while the
//! rows fit, and moves to their centre when too many do not; what that costs is spread over the
//! points that did not fit.

use skein_wire::point::Position;

/// How far from the anchor a narrow row reaches, 1e-6 degree: 24 bits, signed (about 8.4 degrees).
pub const REACH_E6: i32 = (1 << 23) - 1;

/// A new centre is sought when this share (1/n) of the live rows has missed the anchor since the
/// last time: a chat spread over the globe pays for a walk over its rows once per so many points.
const MISS_SHARE: usize = 4;

/// Where a table's positions are relative to.
#[derive(Clone, Debug, Default)]
pub struct Anchor {
    position: Position,
    placed: bool,
    misses: usize,
}

impl Anchor {
    /// The anchor's position.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Takes note of a point among `rows` live rows; true when [`Self::recentre`] is due.
    pub fn note(&mut self, point: Position, rows: usize) -> bool {
        if self.placed && reaches(self.position, point) {
            return false;
        }
        self.misses += 1;
        !self.placed || self.misses * MISS_SHARE > rows
    }

    /// Moves to the centre of `positions`: the middle of their box if it reaches them all, else
    /// their median, which reaches the densest part.
    pub fn recentre(&mut self, positions: impl Iterator<Item = Position>) {
        let (mut lats, mut lons): (Vec<i32>, Vec<i32>) = positions
            .map(|position| (position.lat_e6, position.lon_e6))
            .unzip();
        self.misses = 0;
        if lats.is_empty() {
            return;
        }
        self.placed = true;
        self.position = Position {
            lat_e6: centre(&mut lats),
            lon_e6: centre(&mut lons),
        };
    }
}

/// Whether a narrow row around `anchor` can hold `position`.
pub fn reaches(anchor: Position, position: Position) -> bool {
    let fits = |anchor: i32, value: i32| anchor.abs_diff(value) <= REACH_E6 as u32;
    fits(anchor.lat_e6, position.lat_e6) && fits(anchor.lon_e6, position.lon_e6)
}

fn centre(values: &mut [i32]) -> i32 {
    let (mut least, mut most) = (i32::MAX, i32::MIN);
    for value in &*values {
        least = least.min(*value);
        most = most.max(*value);
    }
    // Sums of coordinates stay within i32: at most 360e6.
    if most - least <= 2 * REACH_E6 {
        return least + (most - least) / 2;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable(middle).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lat: i32, lon: i32) -> Position {
        Position {
            lat_e6: lat * 1_000_000,
            lon_e6: lon * 1_000_000,
        }
    }

    #[test]
    fn stays_while_rows_fit_and_moves_when_they_do_not() {
        let mut anchor = Anchor::default();
        assert!(anchor.note(at(45, 14), 1));
        anchor.recentre([at(45, 14)].into_iter());
        assert_eq!(anchor.position(), at(45, 14));
        assert!(!anchor.note(at(50, 10), 2));
        assert!(anchor.note(at(60, 10), 2));
        anchor.recentre([at(45, 14), at(60, 10)].into_iter());
        assert!(reaches(anchor.position(), at(45, 14)));
        assert!(reaches(anchor.position(), at(60, 10)));
    }

    #[test]
    fn a_chat_over_the_globe_keeps_the_densest_part_narrow() {
        let mut anchor = Anchor::default();
        let rows = [
            at(45, 14),
            at(46, 14),
            at(45, 15),
            at(-80, 170),
            at(80, -170),
        ];
        anchor.recentre(rows.into_iter());
        let narrow = rows
            .iter()
            .filter(|row| reaches(anchor.position(), **row))
            .count();
        assert_eq!(narrow, 3);
        assert!(!reaches(at(0, -180), at(0, 180)));
    }
}
