//! A view of a part of the map as JSON: what `skein watch --view` says beside the rows.

use serde::Serialize;
use skein_wire::map_cell::MapCell;
use skein_wire::map_view::MapView;
use skein_wire::update::Cluster;

/// Sessions elsewhere, counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClusterJson {
    /// Number of the cell of the map.
    pub cell: u64,
    /// How many.
    pub count: u32,
    /// Their centre, degrees.
    pub lat: f64,
    /// Degrees.
    pub lon: f64,
}

impl From<&Cluster> for ClusterJson {
    fn from(cluster: &Cluster) -> Self {
        let centre = cluster.centre();
        Self {
            cell: cluster.cell.number(),
            count: cluster.count,
            lat: centre.lat(),
            lon: centre.lon(),
        }
    }
}

/// What the rows are of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ViewJson {
    /// South, west, north, east, degrees: what was asked for, in whole cells.
    pub area: [f64; 4],
    /// Rows that the server counts with.
    pub rows: u32,
    /// Numbers of the cells of the map whose sessions come as rows.
    pub cells: Vec<u64>,
}

impl ViewJson {
    /// Cells that were chosen from an area.
    pub fn of(area: &MapView, cells: &[MapCell]) -> Self {
        let edges = [area.south_e6, area.west_e6, area.north_e6, area.east_e6];
        Self {
            area: edges.map(|edge| f64::from(edge) / 1e6),
            rows: area.rows,
            cells: cells.iter().map(|cell| cell.number()).collect(),
        }
    }
}
