//! The cells whose sessions come as rows, and whether a session is or was in them.
//!
//! A batch tells what changed since an offset, to all viewers who have everything up to there or to
//! anywhere after it. So of a session that moved it must be known where it was all that time: the
//! points since then are in its trail. Where the trail does not hold them all, it may have been
//! anywhere, and is told as if it had come in, or had left.

use skein_wire::map_cell::MapCell;
use skein_wire::point::{Payload, Point, Position};

use crate::grid::Grid;
use crate::row::Row;

/// Where a session was between an offset and now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Outside, all the time.
    Outside,
    /// Inside, all the time.
    Inside,
    /// Inside now, and maybe outside in between.
    Entered,
    /// Outside now, and maybe inside in between.
    Left,
}

/// Some cells of one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedCells {
    level: u8,
    /// Ascending.
    cells: Vec<MapCell>,
    /// No place beyond it is in a cell: one look for most of a chat.
    bounds: Bounds,
    /// The grid that places are shown on.
    grid: Option<Grid>,
}

impl ServedCells {
    /// Some cells, all of `level`, for viewers who see places on a grid.
    pub fn new(level: u8, mut cells: Vec<MapCell>, grid: Option<Grid>) -> Self {
        cells.sort_unstable();
        Self {
            level,
            bounds: Bounds::of(&cells),
            cells,
            grid,
        }
    }

    /// Other cells, for the same viewers.
    pub(super) fn with(&self, cells: Vec<MapCell>) -> Self {
        Self::new(self.level, cells, self.grid)
    }

    /// The cells, ascending.
    pub fn cells(&self) -> &[MapCell] {
        &self.cells
    }

    /// Whether a cell of this level is one of them.
    pub fn has(&self, cell: MapCell) -> bool {
        self.cells.binary_search(&cell).is_ok()
    }

    /// Whether a session is shown as a row: in one of the cells, or sealed. Before its first point it is nowhere.
    pub fn shows(&self, row: &Row) -> bool {
        row.newest().is_some_and(|point| self.has_point(point))
    }

    /// Bytes that they hold.
    pub(super) fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<MapCell>()
    }

    /// Where a session was since `from`.
    pub fn presence(&self, row: &Row, from: u64) -> Presence {
        self.presence_counted(row, from, &mut 0)
    }

    /// The same; adds the points of the trail that were looked at to `looks`.
    pub(crate) fn presence_counted(&self, row: &Row, from: u64, looks: &mut usize) -> Presence {
        let is_inside = self.shows(row);
        if row.point_offset() <= from {
            return if is_inside {
                Presence::Inside
            } else {
                Presence::Outside
            };
        }
        let stayed = self.stayed(row, from, is_inside, looks);
        match (is_inside, stayed) {
            (true, true) => Presence::Inside,
            (true, false) => Presence::Entered,
            (false, true) => Presence::Outside,
            (false, false) => Presence::Left,
        }
    }

    /// Whether the trail proves that a session was on the same side of the border since `from`. Before
    /// its first point it was outside.
    fn stayed(&self, row: &Row, from: u64, is_inside: bool, looks: &mut usize) -> bool {
        let trail = row.trail();
        if !trail.is_complete_since(from) {
            return false;
        }
        for point in trail.iter().rev() {
            *looks += 1;
            if self.has_point(&point.point) != is_inside {
                return false;
            }
            if point.offset <= from {
                return true;
            }
        }
        // Its first point came since then, unless the one of before has been lost.
        !is_inside && trail.lost_offset_max() == 0
    }

    fn has_point(&self, point: &Point) -> bool {
        match &point.payload {
            Payload::Fix(fix) => {
                let place = shown(fix.position, self.grid);
                self.bounds.hold(place) && self.has(MapCell::at(place, self.level))
            }
            // Nobody here knows where it is.
            Payload::Sealed(_) => true,
        }
    }
}

/// A rectangle around some cells: southern, western, northern and eastern edge, 1e-6 degree, all of them inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds([i32; 4]);

impl Bounds {
    /// Holds nothing.
    const NOTHING: Self = Self([i32::MAX, i32::MAX, i32::MIN, i32::MIN]);

    /// Around these.
    fn of(cells: &[MapCell]) -> Self {
        let edges = cells.iter().map(|cell| cell.edges_e6());
        edges.fold(Self::NOTHING, |Self([south, west, north, east]), cell| {
            let [cell_south, cell_west, cell_north, cell_east] = cell;
            Self([
                south.min(cell_south),
                west.min(cell_west),
                north.max(cell_north),
                east.max(cell_east),
            ])
        })
    }

    fn hold(self, place: Position) -> bool {
        let Self([south, west, north, east]) = self;
        (south..=north).contains(&place.lat_e6) && (west..=east).contains(&place.lon_e6)
    }
}

/// A place as viewers see it on a grid.
pub(super) fn shown(place: Position, grid: Option<Grid>) -> Position {
    grid.map_or(place, |grid| grid.snap(place))
}

#[cfg(test)]
mod tests {
    use skein_wire::ids::{Counter, SessionId, Slot, UserName};
    use skein_wire::point::Fix;

    use super::*;
    use crate::journal::Started;

    /// Cells of the eastern half.
    fn east() -> ServedCells {
        let cells = [(1, 0), (1, 1)].map(|(column, row)| MapCell::new(1, column, row));
        ServedCells::new(1, cells.to_vec(), None)
    }

    fn point(counter: u64, lon_e6: i32) -> Point {
        let position = Position { lat_e6: 0, lon_e6 };
        Point {
            counter: Counter(counter),
            captured_at_ms: 0,
            payload: Payload::Fix(Fix {
                position,
                ..Fix::default()
            }),
        }
    }

    /// A session that starts at offset 1 and then is at these longitudes, from offset 2 on.
    fn row(lons: &[i32], trail_points: usize) -> Row {
        let started = Started {
            slot: Slot(0),
            user: UserName::new("ana").unwrap(),
            started_at_ms: 0,
            expires_at_ms: 1_000,
            sealed: false,
        };
        let mut row = Row::new(1, SessionId(7), &started);
        for (lon_e6, offset) in lons.iter().zip(2..) {
            row.point(offset, 0, &point(offset, *lon_e6), trail_points);
        }
        row
    }

    #[test]
    fn no_place_in_a_cell_is_beyond_the_bounds() {
        for level in [0, 1, 7, 13, MapCell::LEVEL_MAX] {
            let last = (1 << level) - 1;
            for (column, row) in [(0, 0), (last, last), (last / 3, last / 5), (last, last / 2)] {
                let cell = MapCell::new(level, column, row);
                let bounds = Bounds::of(&[cell]);
                let [south, west, north, east] = cell.edges_e6();
                let around = |edge: i32, end: i32| {
                    let steps = (edge - 1..=edge + 1).chain([edge / 2]);
                    steps.filter(move |at| at.abs() <= end)
                };
                let lats = [south, north].map(|edge| around(edge, 90_000_000));
                let lons = [west, east].map(|edge| around(edge, 180_000_000));
                let lons: Vec<i32> = lons.into_iter().flatten().collect();
                for lat_e6 in lats.into_iter().flatten() {
                    for &lon_e6 in &lons {
                        let place = Position { lat_e6, lon_e6 };
                        let is_in = MapCell::at(place, level) == cell;
                        assert!(!is_in || bounds.hold(place), "{cell:?} {place:?}");
                    }
                }
                let beyond = Position {
                    lat_e6: (north + 2).min(90_000_000),
                    lon_e6: 0,
                };
                assert_eq!(
                    bounds.hold(beyond),
                    beyond.lat_e6 <= north && (west..=east).contains(&0)
                );
            }
        }
        assert!(!Bounds::of(&[]).hold(Position::default()));
    }

    #[test]
    fn where_a_session_was_decides_what_is_told() {
        use Presence::{Entered, Inside, Left, Outside};
        let check = |lons: &[i32], from: u64, expected| {
            let row = row(lons, 32);
            assert_eq!(
                east().presence(&row, from),
                expected,
                "{lons:?} since {from}"
            );
        };
        // Nothing new since: where it is.
        check(&[5], 2, Inside);
        check(&[-5], 2, Outside);
        check(&[], 1, Outside);
        // Since a point that is known.
        check(&[5, 6, 7], 2, Inside);
        check(&[-5, -6, -7], 2, Outside);
        check(&[-5, 6], 2, Entered);
        check(&[5, -6], 2, Left);
        // Out and in again, in and out again: somebody in between has seen it.
        check(&[5, -6, 7], 2, Entered);
        check(&[-5, 6, -7], 2, Left);
        check(&[5, -6, 7], 3, Entered);
        check(&[5, -6, -7], 3, Outside);
        // Before its first point it was nowhere.
        check(&[-5], 1, Outside);
        check(&[-5, -6], 1, Outside);
        check(&[5, -6], 1, Left);
        check(&[5], 1, Entered);
    }

    #[test]
    fn what_the_trail_has_lost_may_have_been_anywhere() {
        let few = row(&[5, 6, 7, 8], 2);
        assert_eq!(east().presence(&few, 2), Presence::Entered);
        assert_eq!(east().presence(&few, 3), Presence::Inside);
        let none = row(&[-5, -6], 0);
        assert_eq!(east().presence(&none, 2), Presence::Left);
        let short = row(&[5, -6, -7, -8], 1);
        assert_eq!(
            east().presence(&short, 3),
            Presence::Left,
            "it was somewhere"
        );
        let mut gap = row(&[5, 6, 7], 32);
        gap.note_points(4, 9);
        assert_eq!(east().presence(&gap, 3), Presence::Entered);
    }

    #[test]
    fn late_points_are_no_way_around_the_border() {
        let mut row = row(&[-5, -6], 32);
        // It was inside, as the sender says later; nobody has seen it there.
        row.historical(4, &point(1, 9), 32);
        assert_eq!(east().presence(&row, 2), Presence::Outside);
        assert_eq!(east().presence(&row, 3), Presence::Outside);
    }

    #[test]
    fn sealed_sessions_are_rows_of_every_view() {
        let mut row = row(&[], 32);
        let sealed = |counter| Point {
            payload: Payload::Sealed(vec![1].into()),
            ..point(counter, 0)
        };
        row.point(2, 0, &sealed(2), 32);
        row.point(3, 0, &sealed(3), 32);
        assert_eq!(east().presence(&row, 2), Presence::Inside);
        assert!(east().shows(&row));
    }

    #[test]
    fn a_grid_decides_by_what_it_shows() {
        let grid = Grid::new(100_000);
        let place = |lon_e6| Position { lat_e6: 0, lon_e6 };
        let centre = MapCell::at(shown(place(100), grid), 12);
        let row = row(&[100], 32);
        let coarse = ServedCells::new(12, vec![centre], grid);
        assert!(coarse.shows(&row));
        let exact = ServedCells::new(12, vec![centre], None);
        assert!(!exact.shows(&row));
    }
}
