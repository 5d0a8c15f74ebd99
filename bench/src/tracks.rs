//! Positions of people on the move: from the GPX files that `SKEIN_TRACKS` names, or synthetic.

use std::fs;
use std::path::Path;

use skein_wire::point::Position;

/// The environment variable that names a folder of GPX files.
const VARIABLE: &str = "SKEIN_TRACKS";

/// Points of the synthetic walk.
const SYNTHETIC_POINTS: usize = 4_096;

/// All track points of all files in order of their names; a synthetic walk where there are none.
/// The text says which.
pub fn positions() -> (Vec<Position>, &'static str) {
    let folder = std::env::var_os(VARIABLE);
    let found = folder
        .map(|folder| of_folder(Path::new(&folder)))
        .unwrap_or_default();
    if found.is_empty() {
        return (synthetic(), "a synthetic walk (SKEIN_TRACKS is not set)");
    }
    (found, "real tracks")
}

fn of_folder(folder: &Path) -> Vec<Position> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "gpx"));
    files.sort();
    let texts = files
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    texts.flat_map(|text| of_text(&text)).collect()
}

/// The attributes of each `trkpt`; one that does not parse is left out.
fn of_text(text: &str) -> Vec<Position> {
    let degrees = |piece: &str, name: &str| -> Option<f64> {
        let (_, value) = piece.split_once(name)?;
        value.split('"').next()?.parse().ok()
    };
    let pieces = text.split("<trkpt").skip(1);
    let position = |piece: &str| {
        let tag = piece.split('>').next()?;
        Position::from_degrees(degrees(tag, "lat=\"")?, degrees(tag, "lon=\"")?).ok()
    };
    pieces.filter_map(position).collect()
}

/// A walk with uneven steps of a few metres.
fn synthetic() -> Vec<Position> {
    let mut seed = 7_u64;
    let mut place = Position {
        lat_e6: 45_270_000,
        lon_e6: 13_720_000,
    };
    let step = |_| {
        // The generator of Knuth's MMIX: enough to make steps uneven.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        place.lat_e6 += (seed >> 59) as i32 - 12;
        place.lon_e6 += (seed >> 54 & 31) as i32 - 16;
        place
    };
    (0..SYNTHETIC_POINTS).map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::{of_text, synthetic};

    #[test]
    fn attributes_are_read_in_any_order() {
        let text = "<gpx><trkpt lon=\"13.5\" lat=\"45.25\"><ele>1</ele></trkpt>\
                    <trkpt lat=\"95\" lon=\"0\"/><trkpt lat=\"-1\" lon=\"2\"/></gpx>";
        let found: Vec<_> = of_text(text).iter().map(|p| (p.lat_e6, p.lon_e6)).collect();
        assert_eq!(found, [(45_250_000, 13_500_000), (-1_000_000, 2_000_000)]);
    }

    #[test]
    fn the_synthetic_walk_stays_on_earth() {
        assert!(synthetic().iter().all(|place| place.in_range()));
    }
}
