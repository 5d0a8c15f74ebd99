//! What all viewers of one area are shown: which cells come as rows, and who is counted elsewhere.
//!
//! The choice stays until it has to change, because a new one costs each viewer a full batch: when more
//! sessions are in the cells than the budget allows, or when there is room for clearly more.

use bytes::Bytes;
use skein_wire::frame::encode_update;
use skein_wire::ids::{Cell, ChatHandle};
use skein_wire::limits::{CLUSTERS_MAX, VIEW_CELLS_MAX};
use skein_wire::map_cell::MapCell;
use skein_wire::update::{Cluster, Clusters, Update, Viewing};

use crate::grid::Grid;
use crate::map::area::MapArea;
use crate::map::cells::ServedCells;
use crate::map::crowd::{Crowd, Sums};
use crate::table::Table;
use crate::time::Timestamp;

/// How full a new choice is made where not all fits, parts of four: the rest is for those who come in.
const FILL_QUARTERS: usize = 3;

/// How much larger another choice has to be to be worth a full batch, parts of four.
const GAIN_QUARTERS: usize = 5;

/// How long a choice that leaves room stays before another one is looked for, milliseconds.
const CHOICE_MS_MIN: u64 = 10_000;

/// How many levels coarser the cells are that are counted outside of the area: sixteen of its cells in one.
const OUTER_LEVELS: u8 = 2;

const _: () = assert!(
    VIEW_CELLS_MAX < CLUSTERS_MAX,
    "the area leaves room for others"
);

/// What the viewers of one area are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedView {
    area: MapArea,
    number: u32,
    cells: ServedCells,
    chosen_at: Timestamp,
    /// Those elsewhere.
    clusters: Vec<Cluster>,
    /// Epoch and offset as of which they were counted.
    counted: (u32, u64),
    /// Offset at which counting has found a change; 0 = nothing was counted yet.
    clusters_offset: u64,
}

impl ServedView {
    /// Chooses cells of an area. `number` names the choice towards viewers; it is not 0 and never used again.
    pub fn new(
        number: u32,
        area: MapArea,
        grid: Option<Grid>,
        crowd: &Crowd,
        now: Timestamp,
    ) -> Self {
        let cells = ServedCells::new(area.level(), choose(&area, crowd), grid);
        Self::of(number, area, cells, now)
    }

    fn of(number: u32, area: MapArea, cells: ServedCells, now: Timestamp) -> Self {
        Self {
            area,
            number,
            cells,
            chosen_at: now,
            clusters: Vec::new(),
            counted: (0, 0),
            clusters_offset: 0,
        }
    }

    /// Its number towards viewers.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The cells that come as rows.
    pub fn cells(&self) -> &ServedCells {
        &self.cells
    }

    /// Sessions elsewhere, as they were counted last.
    pub fn clusters(&self) -> &[Cluster] {
        &self.clusters
    }

    /// Looks whether other cells should be served; if so, they are from now on, under another number.
    pub fn review(&mut self, crowd: &Crowd, now: Timestamp, next_number: impl FnOnce() -> u32) {
        let shown = total(crowd, self.cells.cells());
        let is_over = shown > room(&self.area, crowd);
        let is_whole = self.cells.cells().len() as u64 == self.area.len();
        let is_due = !is_whole && now.since_ms(self.chosen_at) >= CHOICE_MS_MIN;
        if !is_over && !is_due {
            return;
        }
        let cells = choose(&self.area, crowd);
        let is_whole = cells.len() as u64 == self.area.len();
        let gains = is_whole || 4 * total(crowd, &cells) > GAIN_QUARTERS * shown;
        if is_over || gains {
            let cells = self.cells.with(cells);
            *self = Self::of(next_number(), self.area, cells, now);
        } else {
            self.chosen_at = now;
        }
    }

    /// Counts those who are not in the cells, as of the table's offset. `crowd` is that of the table.
    pub fn count(&mut self, table: &Table, crowd: &Crowd) {
        let as_of = (table.epoch(), table.as_of());
        if self.counted == as_of && self.clusters_offset > 0 {
            return;
        }
        let is_new_epoch = self.counted.0 != as_of.0;
        let clusters = count_rest(&self.area, &self.cells, crowd);
        if clusters != self.clusters || is_new_epoch || self.clusters_offset == 0 {
            self.clusters = clusters;
            self.clusters_offset = table.as_of();
        }
        self.counted = as_of;
    }

    /// Appends the clusters as a frame, if whoever has everything up to `from` does not have them.
    pub(crate) fn put_clusters(&self, chat: ChatHandle, from: u64, out: &mut Vec<u8>) -> bool {
        let is_news = from < self.clusters_offset;
        if is_news {
            let clusters = Clusters {
                chat,
                cell: self.cell(),
                epoch: self.counted.0,
                to: self.clusters_offset,
                clusters: self.clusters.clone(),
            };
            encode_update(&Update::Clusters(clusters), out);
        }
        is_news
    }

    /// The frame that tells a viewer of the choice.
    pub(crate) fn viewing(&self, chat: ChatHandle) -> Bytes {
        let viewing = Viewing {
            chat,
            cell: self.cell(),
            area: self.area.view(),
            cells: self.cells.cells().to_vec(),
        };
        let mut frame = Vec::new();
        encode_update(&Update::Viewing(viewing), &mut frame);
        Bytes::from(frame)
    }

    /// Its number on the wire.
    pub(crate) fn cell(&self) -> Cell {
        Cell(u64::from(self.number))
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.cells.bytes() + self.clusters.capacity() * size_of::<Cluster>()
    }
}

/// Rows that sessions with a place may take.
fn room(area: &MapArea, crowd: &Crowd) -> usize {
    (area.budget() as usize).saturating_sub(crowd.unplaced())
}

fn total(crowd: &Crowd, cells: &[MapCell]) -> usize {
    cells.iter().map(|cell| crowd.count(*cell)).sum()
}

/// All cells of the area if their sessions fit the budget; else those nearest to the middle that do. None where
/// there is no room: whoever came into an empty cell would be too many, and all viewers would be told of other cells.
fn choose(area: &MapArea, crowd: &Crowd) -> Vec<MapCell> {
    let room = room(area, crowd);
    if room == 0 {
        return Vec::new();
    }
    let all: Vec<MapCell> = area.cells().collect();
    if total(crowd, &all) <= room {
        return all;
    }
    let mut left = room * FILL_QUARTERS / 4;
    if left == 0 {
        return Vec::new();
    }
    let mut by_distance: Vec<(u32, MapCell)> = area.cells_by_distance().collect();
    by_distance.sort_unstable();
    by_distance.retain(|(_, cell)| {
        let count = crowd.count(*cell);
        let fits = count <= left;
        left -= if fits { count } else { 0 };
        fits
    });
    by_distance.into_iter().map(|(_, cell)| cell).collect()
}

/// Everybody with a place who is not in `served`: by the area's own cells within it, by coarser ones
/// outside, as fine as a frame has room for.
fn count_rest(area: &MapArea, served: &ServedCells, crowd: &Crowd) -> Vec<Cluster> {
    let within: Vec<(MapCell, Sums)> = area.cells().map(|cell| (cell, crowd.sums(cell))).collect();
    let others = within.iter().filter(|(cell, _)| !served.has(*cell));
    let mut clusters: Vec<Cluster> = others
        .filter_map(|(cell, sums)| sums.cluster(*cell))
        .collect();
    let room = CLUSTERS_MAX - clusters.len();
    let fits = |level: &u8| crowd.cells_at(*level).take(room + 1).count() <= room;
    let finest = area.level().saturating_sub(OUTER_LEVELS);
    let level = (0..=finest).rev().find(fits).unwrap_or(0);
    clusters.extend(crowd.cells_at(level).filter_map(|outer| {
        let inner = within.iter().filter(|(cell, _)| cell.up_to(level) == outer);
        let rest = inner.fold(crowd.sums(outer), |rest, (_, sums)| rest.without(*sums));
        rest.cluster(outer)
    }));
    clusters.sort_unstable_by_key(|cluster| cluster.cell);
    clusters
}
