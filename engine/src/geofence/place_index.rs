//! Who is around a place, by cells of a grid: pairs are looked for among neighbours only.
//!
//! Bands of latitude are as high as the reach; each is cut into a whole number of cells that are at least
//! as wide everywhere in the band, so that who is within the reach is in the same cell or a neighbour.
//! At the poles a band is one cell.

use std::f64::consts::PI;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use skein_wire::ids::SessionId;
use skein_wire::point::Position;

use crate::geofence::place::EARTH_M;

/// Metres of a degree of latitude.
const DEGREE_M: f64 = EARTH_M * PI / 180.0;

/// A band and a cell in it.
type Cell = (u32, u32);

/// Where sessions are.
#[derive(Debug, Default)]
pub(crate) struct PlaceIndex {
    /// Metres within which neighbours are found; 0 = nobody is kept.
    reach_m: f64,
    cells: HashMap<Cell, Vec<SessionId>, RandomState>,
}

impl PlaceIndex {
    /// An empty one.
    pub fn new(reach_m: u32) -> Self {
        Self {
            reach_m: f64::from(reach_m),
            cells: HashMap::default(),
        }
    }

    /// A session has come to a place, from another one.
    pub fn put(&mut self, session: SessionId, from: Option<Position>, to: Position) {
        if self.reach_m == 0.0 {
            return;
        }
        let cell = self.cell_of(to);
        if from.map(|from| self.cell_of(from)) == Some(cell) {
            return;
        }
        if let Some(from) = from {
            self.take(session, from);
        }
        self.cells.entry(cell).or_default().push(session);
    }

    /// A session that is at a place is there no more.
    pub fn take(&mut self, session: SessionId, from: Position) {
        if self.reach_m == 0.0 {
            return;
        }
        let cell = self.cell_of(from);
        let Some(sessions) = self.cells.get_mut(&cell) else {
            return;
        };
        if let Some(index) = sessions.iter().position(|other| *other == session) {
            sessions.swap_remove(index);
        }
        if sessions.is_empty() {
            self.cells.remove(&cell);
        }
    }

    /// Sessions around a place, those beyond the reach in the corners of cells included.
    pub fn around(&self, place: Position) -> impl Iterator<Item = SessionId> {
        let middle = if self.reach_m == 0.0 {
            0
        } else {
            self.band_of(place)
        };
        let bands = middle.saturating_sub(1)..=middle + 1;
        let cells = bands.flat_map(move |band| {
            let count = self.count(band);
            let cell = self.cell_in(band, place);
            // Fewer than three cells are all neighbours, each of them once.
            let first = if count < 3 { 0 } else { cell + count - 1 };
            let width = count.min(3);
            (0..width).map(move |step| (band, (first + step) % count))
        });
        let found = cells.filter_map(|cell| self.cells.get(&cell));
        found.flatten().copied()
    }

    fn cell_of(&self, place: Position) -> Cell {
        let band = self.band_of(place);
        (band, self.cell_in(band, place))
    }

    fn band_of(&self, place: Position) -> u32 {
        ((place.lat() + 90.0) * DEGREE_M / self.reach_m) as u32
    }

    /// Cells of a band: as many as fit where it is narrowest.
    fn count(&self, band: u32) -> u32 {
        let edge = |band: u32| f64::from(band) * self.reach_m / DEGREE_M - 90.0;
        let narrow = edge(band).abs().max(edge(band + 1).abs()).min(90.0);
        let around_m = 360.0 * DEGREE_M * narrow.to_radians().cos();
        ((around_m / self.reach_m) as u32).max(1)
    }

    fn cell_in(&self, band: u32, place: Position) -> u32 {
        let count = self.count(band);
        let cell = (place.lon() + 180.0) / 360.0 * f64::from(count);
        (cell as u32) % count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geofence::place::Place;

    fn at(lat: f64, lon: f64) -> Position {
        Position::from_degrees(lat, lon).unwrap()
    }

    fn finds(index: &PlaceIndex, from: Position, session: u64) -> usize {
        let session = SessionId(session);
        index.around(from).filter(|other| *other == session).count()
    }

    #[test]
    fn neighbours_are_found_across_every_seam_once() {
        for (here, there) in [
            (at(0.0, 179.9999), at(0.0, -179.9999)),
            (at(0.0, 180.0), at(0.0, -180.0)),
            (at(89.9999, 10.0), at(89.9999, -170.0)),
            (at(-90.0, 0.0), at(-89.9995, 77.0)),
            (at(45.0, 13.0), at(45.0005, 13.0005)),
        ] {
            let mut index = PlaceIndex::new(100);
            index.put(SessionId(1), None, there);
            assert_eq!(finds(&index, here, 1), 1, "{here:?} {there:?}");
            index.put(SessionId(1), Some(there), at(-45.0, 0.0));
            assert_eq!(finds(&index, here, 1), 0);
            index.take(SessionId(1), at(-45.0, 0.0));
            assert!(index.cells.is_empty(), "and nothing is left");
        }
    }

    proptest! {
        #[test]
        fn whoever_is_within_the_reach_is_found_once(
            lat in -90.0..=90.0f64,
            lon in -180.0..=180.0f64,
            reach_m in 10..10_000u32,
            north in -1.0..1.0f64,
            east in -1.0..1.0f64,
        ) {
            let here = at(lat, lon);
            let step = f64::from(reach_m) / DEGREE_M;
            let lat_there = (lat + north * step).clamp(-90.0, 90.0);
            let stretch = lat_there.to_radians().cos().max(1e-9);
            let lon_there = (lon + east * step / stretch + 540.0).rem_euclid(360.0) - 180.0;
            let there = at(lat_there, lon_there);
            let mut index = PlaceIndex::new(reach_m);
            index.put(SessionId(1), None, there);
            let is_near = Place::exact(here).distance_m(&Place::exact(there)) <= f64::from(reach_m);
            let found = finds(&index, here, 1);
            prop_assert!(found <= 1);
            prop_assert!(found == 1 || !is_near, "{here:?} {there:?}");
        }
    }
}
