//! The part of the map that a viewer looks at, as it asks for it.

use crate::limits::VIEW_ROWS_MAX;
use crate::point::Position;

/// A rectangle and how many rows the viewer can show. Sessions in it come as rows, as far as the budget
/// goes; all others come counted, as [`Clusters`](crate::update::Clusters).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapView {
    /// Southern edge, 1e-6 degree.
    pub south_e6: i32,
    /// Western edge, 1e-6 degree. East of [`Self::east_e6`]: the view crosses the antimeridian.
    pub west_e6: i32,
    /// Northern edge, 1e-6 degree.
    pub north_e6: i32,
    /// Eastern edge, 1e-6 degree.
    pub east_e6: i32,
    /// Rows that the viewer can show, 1 to [`VIEW_ROWS_MAX`].
    pub rows: u32,
}

impl MapView {
    /// Whether its edges are places, south is not north of north, and the budget is within its bounds.
    ///
    /// ```
    /// use skein_wire::map_view::MapView;
    ///
    /// let view = MapView { south_e6: 45_000_000, west_e6: 13_000_000, north_e6: 46_000_000, east_e6: 14_000_000, rows: 500 };
    /// assert!(view.in_range());
    /// assert!(!MapView { rows: 0, ..view }.in_range());
    /// ```
    pub fn in_range(&self) -> bool {
        let corner = |lat_e6, lon_e6| Position { lat_e6, lon_e6 }.in_range();
        corner(self.south_e6, self.west_e6)
            && corner(self.north_e6, self.east_e6)
            && self.south_e6 <= self.north_e6
            && (1..=VIEW_ROWS_MAX).contains(&self.rows)
    }
}
