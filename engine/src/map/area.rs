//! What a view is chosen from: a rectangle of cells of one level, and a budget of rows.
//!
//! The level is the finest one on which the wish touches no more cells than a view may have, so a screen
//! is four to eight cells wide: viewers who look at about the same place at about the same size have the
//! same area, and small movements of a map leave it as it is.

use std::cmp::Reverse;

use skein_wire::limits::VIEW_CELLS_MAX;
use skein_wire::map_cell::MapCell;
use skein_wire::map_view::MapView;
use skein_wire::point::Position;

/// The finest level of a view's cells: 38 by 19 metres. Below, receivers are no better.
const LEVEL_MAX: u8 = 20;

/// Cells of a block, along each side: as many as a view may have.
const BLOCK_CELLS: u32 = 8;
const _: () = assert!((BLOCK_CELLS * BLOCK_CELLS) as usize <= VIEW_CELLS_MAX);

/// Where blocks begin: each has half of its neighbours.
const BLOCK_STEP: u32 = 4;

/// What fits a block wherever it lies.
const BLOCK_FITS: u32 = BLOCK_CELLS - BLOCK_STEP + 1;

/// A rectangle of cells, and how many rows its viewers can show.
///
/// ```
/// use skein_engine::map::MapArea;
/// use skein_wire::map_view::MapView;
///
/// let wish = MapView { south_e6: 45_600_000, west_e6: 13_700_000, north_e6: 45_700_000, east_e6: 13_900_000, rows: 500 };
/// let shifted = MapView { west_e6: 13_702_000, rows: 400, ..wish };
/// let area = MapArea::around(&wish);
/// assert_eq!(area, MapArea::around(&shifted), "they share");
/// assert!(area.cells().count() <= 64);
/// assert_eq!(area.budget(), 256);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapArea {
    level: u8,
    /// First column; the last one may lie beyond the antimeridian.
    west: u32,
    /// First row.
    south: u32,
    columns: u32,
    rows: u32,
    budget: u32,
}

impl MapArea {
    /// The area of a wish. Its budget is rounded down to a power of two, so that viewers share.
    ///
    /// # Panics
    /// If the wish is not [`MapView::in_range`]: a fault of the caller.
    pub fn around(wish: &MapView) -> Self {
        assert!(wish.in_range(), "a checked wish");
        let levels = (0..=LEVEL_MAX).rev();
        let areas = levels.map(|level| Self::at_level(wish, level));
        areas
            .into_iter()
            .find(|area| area.len() <= VIEW_CELLS_MAX as u64)
            .expect("the earth is one cell")
    }

    fn at_level(wish: &MapView, level: u8) -> Self {
        let corner = |lat_e6, lon_e6| MapCell::at(Position { lat_e6, lon_e6 }, level);
        let first = corner(wish.south_e6, wish.west_e6);
        let last = corner(wish.north_e6, wish.east_e6);
        let around = 1 << level;
        let goes_around = first.column() == last.column() && wish.west_e6 > wish.east_e6;
        Self {
            level,
            west: first.column(),
            south: first.row(),
            columns: match goes_around {
                true => around,
                false => (around + last.column() - first.column()) % around + 1,
            },
            rows: last.row() - first.row() + 1,
            budget: 1 << wish.rows.ilog2(),
        }
    }

    /// The same in cells of the level above, for chats that have too many views; `None` if it is the earth.
    pub fn wider(&self) -> Option<Self> {
        let level = self.level.checked_sub(1)?;
        let halved = |first: u32, count: u32| ((first + count - 1) >> 1) - (first >> 1) + 1;
        Some(Self {
            level,
            west: self.west >> 1,
            south: self.south >> 1,
            columns: halved(self.west, self.columns).min(1 << level),
            rows: halved(self.south, self.rows),
            budget: self.budget,
        })
    }

    /// The block of eight by eight cells, at least so many levels up, that has all of this area. Blocks overlap by
    /// half, so that screens at about the same place have one in common, whatever edges they cross; where there
    /// is none it is the earth.
    pub fn block(&self, levels_up: u8) -> Self {
        let mut wide = *self;
        let mut up = 0;
        while up < levels_up || wide.columns > BLOCK_FITS || wide.rows > BLOCK_FITS {
            let Some(wider) = wide.wider() else { break };
            wide = wider;
            up += 1;
        }
        let around = 1 << wide.level;
        if around < BLOCK_CELLS {
            return self.earth();
        }
        let aligned = |first: u32| first / BLOCK_STEP * BLOCK_STEP;
        Self {
            west: aligned(wide.west),
            south: aligned(wide.south).min(around - BLOCK_CELLS),
            columns: BLOCK_CELLS,
            rows: BLOCK_CELLS,
            ..wide
        }
    }

    /// The earth, with the same budget.
    pub fn earth(&self) -> Self {
        Self {
            level: 0,
            west: 0,
            south: 0,
            columns: 1,
            rows: 1,
            budget: self.budget,
        }
    }

    /// Whether all of `other` is in it.
    pub fn contains(&self, other: &Self) -> bool {
        let Some(up) = other.level.checked_sub(self.level) else {
            return false;
        };
        let (first, last) = (other.south >> up, (other.south + other.rows - 1) >> up);
        if first < self.south || last >= self.south + self.rows {
            return false;
        }
        let around = 1 << self.level;
        let (first, last) = (other.west >> up, (other.west + other.columns - 1) >> up);
        let offset = (around + first - self.west % around) % around;
        self.columns == around || offset + (last - first) < self.columns
    }

    /// The level of its cells.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Rows that its viewers can show.
    pub fn budget(&self) -> u32 {
        self.budget
    }

    /// By what areas are compared: which has the finer cells, else which has fewer; then where it is.
    pub(crate) fn rank(&self) -> (u8, Reverse<u64>, u32, u32) {
        (self.level, Reverse(self.len()), self.west, self.south)
    }

    /// Its cells, row by row.
    pub fn cells(&self) -> impl Iterator<Item = MapCell> {
        self.cells_by_distance().map(|(_, cell)| cell)
    }

    /// Its cells, each with a measure of how far it is from the middle.
    pub(super) fn cells_by_distance(&self) -> impl Iterator<Item = (u32, MapCell)> {
        let area = *self;
        let from_middle = |index: u32, count: u32| (2 * index + 1).abs_diff(count);
        let mask = (1 << area.level) - 1;
        (0..area.rows).flat_map(move |row| {
            (0..area.columns).map(move |column| {
                let distance =
                    from_middle(column, area.columns).pow(2) + from_middle(row, area.rows).pow(2);
                let (west, south) = ((area.west + column) & mask, area.south + row);
                (distance, MapCell::new(area.level, west, south))
            })
        })
    }

    /// How many cells it has.
    pub fn len(&self) -> u64 {
        u64::from(self.columns) * u64::from(self.rows)
    }

    /// Never: an area has a cell.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Its edges and its budget, as viewers are told.
    pub fn view(&self) -> MapView {
        let around = 1 << self.level;
        let last = (self.west + self.columns - 1) % around;
        let first = MapCell::new(self.level, self.west, self.south);
        let last = MapCell::new(self.level, last, self.south + self.rows - 1);
        let ([south_e6, west, ..], [.., north_e6, east]) = (first.edges_e6(), last.edges_e6());
        let [.., whole_east] = MapCell::EARTH.edges_e6();
        let (west_e6, east_e6) = match self.columns == around {
            true => (-whole_east, whole_east),
            false => (west, east),
        };
        MapView {
            south_e6,
            west_e6,
            north_e6,
            east_e6,
            rows: self.budget,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wish(south: i32, west: i32, north: i32, east: i32) -> MapView {
        MapView {
            south_e6: south,
            west_e6: west,
            north_e6: north,
            east_e6: east,
            rows: 300,
        }
    }

    fn has(area: &MapArea, lat_e6: i32, lon_e6: i32) -> bool {
        let cell = MapCell::at(Position { lat_e6, lon_e6 }, area.level);
        area.cells().any(|of_area| of_area == cell)
    }

    proptest! {
        #[test]
        fn an_area_has_everything_that_was_asked_for(
            lats in (-90_000_000..=90_000_000_i32, -90_000_000..=90_000_000_i32),
            lons in (-180_000_000..=180_000_000_i32, -180_000_000..=180_000_000_i32),
            part in (0.0..=1.0, 0.0..=1.0),
        ) {
            let wish = wish(lats.0.min(lats.1), lons.0, lats.0.max(lats.1), lons.1);
            let width = (i64::from(lons.1) - i64::from(lons.0)).rem_euclid(360_000_000);
            let lon = i64::from(lons.0) + (width as f64 * part.0) as i64;
            let lon = (lon + 180_000_000).rem_euclid(360_000_000) - 180_000_000;
            let lat = f64::from(wish.south_e6) + f64::from(wish.north_e6 - wish.south_e6) * part.1;
            let mut area = MapArea::around(&wish);
            loop {
                prop_assert!(area.len() <= VIEW_CELLS_MAX as u64);
                prop_assert_eq!(area.cells().count() as u64, area.len());
                prop_assert!(has(&area, lat as i32, lon as i32), "{area:?} {lat} {lon}");
                let told = area.view();
                prop_assert!(told.south_e6 <= wish.south_e6 && told.north_e6 >= wish.north_e6);
                prop_assert!(told.in_range());
                let Some(wider) = area.wider() else { break };
                area = wider;
            }
            prop_assert_eq!(area.cells().collect::<Vec<_>>(), [MapCell::EARTH]);
        }
    }

    proptest! {
        #[test]
        fn a_block_has_all_of_its_area(
            lats in (-90_000_000..=90_000_000_i32, 0..=3_000_000_i32),
            lons in (-180_000_000..=180_000_000_i32, 0..=3_000_000_i32),
            up in 1..8_u8,
        ) {
            let north = (lats.0 + lats.1).min(90_000_000);
            let east = (i64::from(lons.0) + i64::from(lons.1) + 180_000_000).rem_euclid(360_000_000) - 180_000_000;
            let area = MapArea::around(&wish(lats.0, lons.0, north, east as i32));
            let block = area.block(up);
            prop_assert!(block.level + up <= area.level || block == area.earth());
            prop_assert!(block.len() == 64 || block == area.earth());
            prop_assert!(block.contains(&area), "{block:?} {area:?}");
            prop_assert!(area.contains(&area) && area.earth().contains(&block));
            prop_assert!(!area.contains(&block));
            // The same by their cells.
            let of_block: Vec<_> = block.cells().collect();
            for cell in area.cells() {
                prop_assert!(of_block.contains(&cell.up_to(block.level)), "{block:?} {area:?}");
            }
            // What begins one block further on is in none of its cells.
            let beside = MapArea { west: (block.west + block.columns) & ((1 << block.level) - 1), columns: 1, rows: 1, ..block };
            prop_assert!(block == area.earth() || block.columns == 1 << block.level || !block.contains(&beside));
        }
    }

    #[test]
    fn a_screen_is_a_few_cells_wide() {
        let town = MapArea::around(&wish(45_600_000, 13_700_000, 45_700_000, 13_900_000));
        assert!((17..=64).contains(&town.len()), "{town:?}");
        assert_eq!(town.budget, 256, "a power of two");
        let place = MapArea::around(&wish(45_600_000, 13_700_000, 45_600_000, 13_700_000));
        assert_eq!((place.level, place.len()), (LEVEL_MAX, 1));
    }

    #[test]
    fn the_antimeridian_is_no_edge() {
        let fiji = MapArea::around(&wish(-19_000_000, 176_000_000, -15_000_000, -178_000_000));
        assert!(has(&fiji, -17_000_000, 179_900_000) && has(&fiji, -17_000_000, -179_900_000));
        assert!(!has(&fiji, -17_000_000, 0));
        assert!(fiji.view().west_e6 > fiji.view().east_e6);
        let around = MapArea::around(&wish(-10, 20, 10, 10));
        assert!(has(&around, 0, -100_000_000) && has(&around, 0, 100_000_000));
        assert_eq!(around.view().west_e6, -180_000_000);
    }
}
