//! Coarse places: positions at the centres of a fixed grid's cells.
//!
//! The grid is the same for everybody who asks for the same size, so viewers of one size share their
//! batches like all others do. Cells are as wide as they are high, whatever the latitude.

use skein_wire::point::{Accuracy, Fix, Payload, Point, Position};

/// Metres of a degree of latitude.
const DEGREE_M: f64 = 111_320.0;

/// Millionths of a degree.
const E6: f64 = 1e6;

/// Half of the earth's way around, in millionths of a degree.
const HALF_TURN_E6: f64 = 180e6;

/// A quarter of it: the poles.
const POLE_E6: f64 = 90e6;

/// Half a cell's diagonal in cells: how far a place may be from what is shown.
const RADIUS_CELLS: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// A grid with cells of some metres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid(u32);

impl Grid {
    /// Smallest and largest cell, metres: below, receivers are no better; above, it is a country.
    pub const METRES: std::ops::RangeInclusive<u32> = 10..=100_000;

    /// Cells of the grids that the right of a member can name, metres, the finest first. Few, so that viewers share
    /// batches, and a byte of rights holds which.
    pub const STEPS_M: [u32; 13] = [
        10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000,
    ];

    /// A grid with cells of `metres`; `None` outside of [`Grid::METRES`].
    pub fn new(metres: u32) -> Option<Self> {
        Self::METRES.contains(&metres).then_some(Self(metres))
    }

    /// Metres of a cell.
    pub fn metres(self) -> u32 {
        self.0
    }

    /// Which of [`Grid::STEPS_M`] it is, from 1; `None` for another size.
    pub fn step(self) -> Option<u8> {
        let index = Self::STEPS_M.iter().position(|metres| *metres == self.0)?;
        u8::try_from(index + 1).ok()
    }

    /// The grid of a step, from 1.
    ///
    /// ```
    /// use skein_engine::grid::Grid;
    /// assert_eq!(Grid::of_step(1), Grid::new(10));
    /// assert_eq!(Grid::of_step(14), None);
    /// assert_eq!(Grid::new(500).and_then(Grid::step).and_then(Grid::of_step), Grid::new(500));
    /// ```
    pub fn of_step(step: u8) -> Option<Self> {
        let index = usize::from(step).checked_sub(1)?;
        Self::STEPS_M.get(index).map(|metres| Self(*metres))
    }

    /// The centre of the cell that a place is in.
    ///
    /// ```
    /// use skein_engine::grid::Grid;
    /// use skein_wire::point::Position;
    /// let grid = Grid::new(1_000).unwrap();
    /// let at = |lat_e6, lon_e6| grid.snap(Position { lat_e6, lon_e6 });
    /// assert_eq!(at(45_280_000, 13_710_000), at(45_280_100, 13_710_100));
    /// assert_ne!(at(45_280_000, 13_710_000), at(45_300_000, 13_710_000));
    /// ```
    pub fn snap(self, place: Position) -> Position {
        let height = f64::from(self.0) * E6 / DEGREE_M;
        let lat = centre(f64::from(place.lat_e6) + POLE_E6, height) - POLE_E6;
        let lat = lat.clamp(-POLE_E6, POLE_E6);
        let shrink = (lat / E6).to_radians().cos().max(f64::EPSILON);
        // A whole number of cells around the earth, so that none is cut at the antimeridian.
        let around = (2.0 * HALF_TURN_E6 * shrink / height).floor().max(1.0);
        let width = 2.0 * HALF_TURN_E6 / around;
        let east = (f64::from(place.lon_e6) + HALF_TURN_E6).min(2.0 * HALF_TURN_E6 - 1.0);
        let lon = centre(east, width) - HALF_TURN_E6;
        Position {
            lat_e6: lat.round() as i32,
            lon_e6: lon.clamp(-HALF_TURN_E6, HALF_TURN_E6).round() as i32,
        }
    }

    /// A point as the grid shows it: its cell, when it was, and no better accuracy than a cell.
    /// `None` for a sealed one, which nobody here can make coarser.
    pub fn coarse(self, point: &Point) -> Option<Point> {
        let Payload::Fix(fix) = &point.payload else {
            return None;
        };
        let radius = Accuracy::from_metres(f64::from(self.0) * RADIUS_CELLS);
        let coarse = Fix {
            position: self.snap(fix.position),
            accuracy: [fix.accuracy, radius]
                .into_iter()
                .flatten()
                .max_by_key(|it| it.0),
            ..Fix::default()
        };
        Some(Point {
            counter: point.counter,
            captured_at_ms: point.captured_at_ms,
            payload: Payload::Fix(coarse),
        })
    }
}

/// The centre of the step that a value at or above 0 is in.
fn centre(value: f64, step: f64) -> f64 {
    ((value / step).floor() + 0.5) * step
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skein_wire::ids::Counter;
    use skein_wire::point::{Fix, Heading, Payload, Point, Position, Speed};

    use crate::grid::Grid;

    fn metres_between(a: Position, b: Position) -> f64 {
        let radians = |e6: i32| (f64::from(e6) / 1e6).to_radians();
        let (lat_a, lat_b) = (radians(a.lat_e6), radians(b.lat_e6));
        let (lat, lon) = (lat_b - lat_a, radians(b.lon_e6) - radians(a.lon_e6));
        let half =
            (lat / 2.0).sin().powi(2) + lat_a.cos() * lat_b.cos() * (lon / 2.0).sin().powi(2);
        2.0 * 6_371_000.0 * half.sqrt().min(1.0).asin()
    }

    proptest! {
        #[test]
        fn a_cell_shows_one_place_and_that_is_near(
            lat_e6 in -90_000_000..=90_000_000_i32,
            lon_e6 in -180_000_000..=180_000_000_i32,
            metres in Grid::METRES,
        ) {
            let grid = Grid::new(metres).unwrap();
            let place = Position { lat_e6, lon_e6 };
            let shown = grid.snap(place);
            prop_assert!(shown.lat_e6.abs() <= 90_000_000 && shown.lon_e6.abs() <= 180_000_000);
            prop_assert_eq!(grid.snap(shown), shown, "a centre is its own cell's");
            // Cells grow by less than their height towards a pole, where few of them go around.
            if lat_e6.abs() < 85_000_000 {
                let far = metres_between(place, shown);
                prop_assert!(far <= f64::from(metres) * 1.5 + 2.0, "{far} m");
            }
        }
    }

    #[test]
    fn nothing_of_a_point_is_finer_than_its_cell() {
        let grid = Grid::new(1_000).unwrap();
        let exact = |lat_e6| {
            let mut point = Point {
                counter: Counter(7),
                captured_at_ms: 5,
                payload: Payload::Fix(Fix::default()),
            };
            if let Payload::Fix(fix) = &mut point.payload {
                fix.position = Position {
                    lat_e6,
                    lon_e6: 13_710_000,
                };
                fix.heading = Some(Heading(64));
                fix.speed = Some(Speed(40));
            }
            point
        };
        let coarse = grid.coarse(&exact(45_280_000)).unwrap();
        assert_eq!(coarse, grid.coarse(&exact(45_280_500)).unwrap());
        let Payload::Fix(fix) = coarse.payload else {
            panic!("a fix");
        };
        assert_eq!((fix.heading, fix.speed, fix.battery), (None, None, None));
        assert!(fix.accuracy.unwrap().metres() > 690.0, "{fix:?}");
        let sealed = Point {
            payload: Payload::Sealed(vec![1].into()),
            ..exact(0)
        };
        assert_eq!(grid.coarse(&sealed), None);
    }

    #[test]
    fn steps_are_grids_and_grow() {
        let all = Grid::STEPS_M
            .iter()
            .map(|metres| Grid::new(*metres).unwrap());
        let steps: Vec<Option<u8>> = all.map(Grid::step).collect();
        let expect = (1..=Grid::STEPS_M.len() as u8).map(Some);
        assert!(steps.into_iter().eq(expect));
        assert!(Grid::STEPS_M.is_sorted());
        let ends = (Grid::STEPS_M[0], Grid::STEPS_M[Grid::STEPS_M.len() - 1]);
        assert_eq!(ends, (*Grid::METRES.start(), *Grid::METRES.end()));
        assert_eq!((Grid::of_step(0), Grid::of_step(14)), (None, None));
    }

    #[test]
    fn sizes_are_bounded() {
        for (metres, is_grid) in [
            (0, false),
            (9, false),
            (10, true),
            (100_000, true),
            (100_001, false),
        ] {
            assert_eq!(Grid::new(metres).is_some(), is_grid, "{metres}");
        }
    }
}
