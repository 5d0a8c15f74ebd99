//! Viewers that look at a part of the map: what they ask for, and what they must have in the end.

use std::collections::BTreeMap;

use skein_client::chat_view::ChatView;
use skein_client::row::Row;
use skein_wire::ids::SessionId;
use skein_wire::map_cell::MapCell;
use skein_wire::map_view::MapView;
use skein_wire::point::{Payload, Position};

use crate::sim::random::Random;

/// Where senders begin to walk.
pub const BEGIN: Position = Position {
    lat_e6: 47_000_000,
    lon_e6: 8_000_000,
};

/// How far the middle of a view is from there, 1e-6 degree: as far as senders come in some steps.
const AWAY_E6: u64 = 2_000;

/// Half the width of a view, 1e-6 degree.
const HALF_E6: (u64, u64) = (200, 4_000);

/// A live session as the server has it: who, newest counter, where.
pub type Truth = (SessionId, u64, Option<Position>);

/// Some part of the map where senders walk, and few rows or many.
pub fn wish(random: &mut Random) -> MapView {
    let mut around = |begin: i32| {
        let middle = begin + random.range(0, 2 * AWAY_E6) as i32 - AWAY_E6 as i32;
        let half = random.range(HALF_E6.0, HALF_E6.1) as i32;
        (middle - half, middle + half)
    };
    let ((south_e6, north_e6), (west_e6, east_e6)) = (around(BEGIN.lat_e6), around(BEGIN.lon_e6));
    MapView {
        south_e6,
        west_e6,
        north_e6,
        east_e6,
        rows: random.range(1, 6) as u32,
    }
}

/// The part of the truth that a viewer has to have as rows: all of it, or that in its cells. Everybody else
/// must be counted, each in the smallest cluster around.
///
/// # Errors
/// What is wrong with the counts.
pub fn expected(view: &ChatView, truth: &[Truth]) -> Result<Vec<(SessionId, u64)>, String> {
    let is_in = |place: Position, cell: &MapCell| MapCell::at(place, cell.level()) == *cell;
    // Before its first point a session is nowhere.
    let is_row = |counter: u64, place: Option<Position>| match (view.viewing(), place) {
        (Some(viewing), Some(place)) => viewing.cells.iter().any(|cell| is_in(place, cell)),
        (Some(_), None) => counter > 0,
        (None, _) => true,
    };
    let mut counts: BTreeMap<MapCell, u32> = BTreeMap::new();
    let placed = |(_, counter, place): &Truth| place.map(|place| (*counter, place));
    for (counter, place) in truth.iter().filter_map(placed) {
        if is_row(counter, Some(place)) {
            continue;
        }
        let cells = view.clusters().iter().map(|cluster| cluster.cell);
        let smallest = cells
            .filter(|cell| is_in(place, cell))
            .max_by_key(|cell| cell.level());
        let smallest = smallest.ok_or(format!("nobody counts who is at {place:?}"))?;
        *counts.entry(smallest).or_default() += 1;
    }
    let told: BTreeMap<MapCell, u32> = view
        .clusters()
        .iter()
        .map(|cluster| (cluster.cell, cluster.count))
        .collect();
    if told != counts {
        return Err(format!("it was told {told:?}, but there are {counts:?}"));
    }
    let rows = truth
        .iter()
        .filter(|(_, counter, place)| is_row(*counter, *place));
    Ok(rows
        .map(|(session, counter, _)| (*session, *counter))
        .collect())
}

/// Live sessions that a viewer shows and the newest counter of each, in order.
pub fn shown<'v>(views: impl Iterator<Item = &'v ChatView>) -> Vec<(SessionId, u64)> {
    let counter = |row: &Row| row.point().map_or(0, |point| point.counter.0);
    let mut rows: Vec<(SessionId, u64)> = views
        .flat_map(|view| view.rows())
        .filter(|row| !row.state().state.is_ended())
        .map(|row| (row.subject().session, counter(row)))
        .collect();
    rows.sort_unstable();
    rows
}

/// Where a point is, unless it is sealed.
pub fn place_of(payload: &Payload) -> Option<Position> {
    match payload {
        Payload::Fix(fix) => Some(fix.position),
        Payload::Sealed(_) => None,
    }
}
