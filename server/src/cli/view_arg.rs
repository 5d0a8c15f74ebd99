//! The part of the map that `skein watch` looks at: two corners.

use std::str::FromStr;

use skein_wire::map_view::MapView;
use skein_wire::point::Position;

/// Two corners, south-west and north-east.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewArg {
    south_west: Position,
    north_east: Position,
}

impl ViewArg {
    /// The wish of a viewer that can show so many rows.
    pub fn view(self, rows: u32) -> MapView {
        MapView {
            south_e6: self.south_west.lat_e6,
            west_e6: self.south_west.lon_e6,
            north_e6: self.north_east.lat_e6,
            east_e6: self.north_east.lon_e6,
            rows,
        }
    }
}

impl FromStr for ViewArg {
    type Err = String;

    /// `LAT,LON,LAT,LON` in degrees.
    ///
    /// # Errors
    /// A text for the person who typed it.
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<f64>, _> = text.split(',').map(|it| it.trim().parse()).collect();
        let [south, west, north, east] = numbers.unwrap_or_default()[..] else {
            return Err("a view is LAT,LON,LAT,LON: its south-west and north-east corners".into());
        };
        let corner = |lat, lon| {
            Position::from_degrees(lat, lon)
                .map_err(|_| format!("{lat},{lon} is no place on earth"))
        };
        let (south_west, north_east) = (corner(south, west)?, corner(north, east)?);
        if south_west.lat_e6 > north_east.lat_e6 {
            return Err("the first corner of a view is the south-west one".into());
        }
        Ok(Self {
            south_west,
            north_east,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_read_or_refused() {
        let read = |text: &str| text.parse::<ViewArg>().map(|arg| arg.view(500));
        let town = MapView {
            south_e6: 45_600_000,
            west_e6: 13_700_000,
            north_e6: 45_700_000,
            east_e6: 13_900_000,
            rows: 500,
        };
        assert_eq!(read("45.6,13.7,45.7,13.9"), Ok(town));
        assert_eq!(read("45.6, 13.7, 45.7, 13.9"), Ok(town));
        let fiji = read("-19,176,-15,-178").expect("across the antimeridian");
        assert!(fiji.in_range() && fiji.west_e6 > fiji.east_e6);
        for wrong in [
            "",
            "1,2,3",
            "1,2,3,4,5",
            "a,b,c,d",
            "91,0,91,1",
            "0,181,1,182",
            "2,0,1,1",
            "NaN,0,1,1",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
