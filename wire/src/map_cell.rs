//! Cells of the map: the earth, its quarters, their quarters, and so on.
//!
//! Cell 1 is the whole earth. The quarters of cell n are 4n (south-west), 4n + 1 (south-east), 4n + 2
//! (north-west) and 4n + 3 (north-east), halved in degrees of longitude and latitude. So a number says
//! its level, the cell around it is a shift away, and whatever lies in a cell is one run of numbers on a finer level.

use crate::point::Position;

/// Degrees of longitude around the earth, 1e-6 degree.
const WIDTH_E6: u64 = 360_000_000;

/// Degrees of latitude from pole to pole, 1e-6 degree.
const HEIGHT_E6: u64 = 180_000_000;

/// A cell of the map, by its number.
///
/// ```
/// use skein_wire::map_cell::MapCell;
/// use skein_wire::point::Position;
///
/// let trieste = Position::from_degrees(45.65, 13.77)?;
/// let quarter = MapCell::at(trieste, 1);
/// assert_eq!(quarter.number(), 7, "north-east");
/// assert_eq!(MapCell::at(trieste, 9).up_to(1), quarter);
/// # Ok::<(), skein_wire::error::WireError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapCell(u64);

impl MapCell {
    /// The whole earth.
    pub const EARTH: Self = Self(1);

    /// The finest level: cells of 0.6 by 0.3 metres.
    pub const LEVEL_MAX: u8 = 26;

    /// The cell of a level that a place is in. The eastern and northern edges of the map belong to the
    /// last cells.
    ///
    /// # Panics
    /// If the level is above [`Self::LEVEL_MAX`], or the place not on earth: faults of the caller.
    pub fn at(place: Position, level: u8) -> Self {
        assert!(place.in_range(), "a place on earth");
        let east = (i64::from(place.lon_e6) + WIDTH_E6 as i64 / 2) as u64;
        let north = (i64::from(place.lat_e6) + HEIGHT_E6 as i64 / 2) as u64;
        let last = (1 << level) - 1;
        let column = ((east << level) / WIDTH_E6).min(last);
        let row = ((north << level) / HEIGHT_E6).min(last);
        Self::new(level, column as u32, row as u32)
    }

    /// The cell in a column (from the west) and a row (from the south) of a level.
    ///
    /// # Panics
    /// If there is no such level, column or row: a fault of the caller.
    pub fn new(level: u8, column: u32, row: u32) -> Self {
        assert!(level <= Self::LEVEL_MAX, "level {level}");
        assert!(column >> level == 0 && row >> level == 0, "{column}, {row}");
        Self(1 << (2 * level) | spread(column) | spread(row) << 1)
    }

    /// The cell with this number, if there is one.
    pub fn from_number(number: u64) -> Option<Self> {
        let cell = Self(number);
        let is_cell =
            number > 0 && cell.bits().is_multiple_of(2) && cell.level() <= Self::LEVEL_MAX;
        is_cell.then_some(cell)
    }

    /// Its number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// How often the earth was quartered.
    pub fn level(self) -> u8 {
        (self.bits() / 2) as u8
    }

    /// Its column, from the west.
    pub fn column(self) -> u32 {
        gather(self.0 ^ 1 << self.bits())
    }

    /// Its row, from the south.
    pub fn row(self) -> u32 {
        gather((self.0 ^ 1 << self.bits()) >> 1)
    }

    /// The cell of a coarser level around it; itself on its own level.
    ///
    /// # Panics
    /// If the level is finer than its own: a fault of the caller.
    pub fn up_to(self, level: u8) -> Self {
        let steps = self.level().checked_sub(level);
        Self(self.0 >> (2 * steps.expect("a coarser level")))
    }

    /// The numbers of the cells of a finer level in it.
    ///
    /// # Panics
    /// If the level is coarser than its own: a fault of the caller.
    pub fn numbers_at(self, level: u8) -> std::ops::Range<u64> {
        let steps = level.checked_sub(self.level());
        let shift = 2 * steps.expect("a finer level");
        self.0 << shift..(self.0 + 1) << shift
    }

    /// A place in it: the middle of a 256th of its width, counted from the west, and of its height, counted from
    /// the south.
    pub fn place(self, east: u8, north: u8) -> Position {
        let level = self.level();
        let along = |index: u32, part: u8, whole: u64| {
            let parts = u64::from(index) << 8 | u64::from(part);
            let from_edge = (parts * whole + whole / 2) >> (level + 8);
            (from_edge as i64 - (whole / 2) as i64) as i32
        };
        Position {
            lat_e6: along(self.row(), north, HEIGHT_E6),
            lon_e6: along(self.column(), east, WIDTH_E6),
        }
    }

    /// Its edges, 1e-6 degree: south, west, north, east. The first two are its own, the others those of
    /// the cells behind; rounded down.
    pub fn edges_e6(self) -> [i32; 4] {
        let level = self.level();
        let edge = |index: u32, whole: u64| {
            let from_edge = (u64::from(index) * whole) >> level;
            (from_edge as i64 - (whole / 2) as i64) as i32
        };
        [
            edge(self.row(), HEIGHT_E6),
            edge(self.column(), WIDTH_E6),
            edge(self.row() + 1, HEIGHT_E6),
            edge(self.column() + 1, WIDTH_E6),
        ]
    }

    /// Position of the highest bit.
    fn bits(self) -> u32 {
        self.0.ilog2()
    }
}

/// Puts a zero between any two bits.
fn spread(value: u32) -> u64 {
    let mut bits = u64::from(value);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// Takes every second bit.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff_u64),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lat_e6: i32, lon_e6: i32, level: u8) -> MapCell {
        MapCell::at(Position { lat_e6, lon_e6 }, level)
    }

    #[test]
    fn a_number_says_where_its_cell_lies() {
        assert_eq!(at(0, 0, 0), MapCell::EARTH);
        for (lat, lon, quarter) in [(-1, -1, 4), (-1, 1, 5), (1, -1, 6), (1, 1, 7)] {
            assert_eq!(at(lat, lon, 1).number(), quarter);
        }
        for level in 0..=MapCell::LEVEL_MAX {
            let last = (1 << level) - 1;
            for (column, row) in [
                (0, 0),
                (last, 0),
                (0, last),
                (last, last),
                (last / 3, last / 5),
            ] {
                let cell = MapCell::new(level, column, row);
                assert_eq!((cell.column(), cell.row()), (column, row));
                assert_eq!(MapCell::from_number(cell.number()), Some(cell));
                // 256ths of smaller cells are finer than places.
                for part in [0, 100, 255].into_iter().filter(|_| level <= 16) {
                    assert_eq!(MapCell::at(cell.place(part, part), level), cell, "{level}");
                }
            }
        }
    }

    #[test]
    fn every_place_is_in_a_cell_of_every_level() {
        let edges = [(-90, -180), (-90, 180), (90, -180), (90, 180), (0, 0)];
        for (lat, lon) in edges {
            let finest = at(lat * 1_000_000, lon * 1_000_000, MapCell::LEVEL_MAX);
            for level in 0..=MapCell::LEVEL_MAX {
                let cell = at(lat * 1_000_000, lon * 1_000_000, level);
                assert_eq!(finest.up_to(level), cell);
                assert!(
                    cell.numbers_at(MapCell::LEVEL_MAX)
                        .contains(&finest.number())
                );
                let [south, west, north, east] = cell.edges_e6();
                assert!(south <= lat * 1_000_000 && lat * 1_000_000 <= north);
                assert!(west <= lon * 1_000_000 && lon * 1_000_000 <= east);
            }
        }
    }

    #[test]
    fn numbers_of_no_cell_are_none() {
        let beyond = 1 << (2 * (MapCell::LEVEL_MAX + 1));
        for number in [0, 2, 3, 8, 15, 32, beyond, u64::MAX] {
            assert_eq!(MapCell::from_number(number), None, "{number}");
        }
    }
}
