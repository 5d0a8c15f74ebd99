//! Where the live sessions of a chat are, sorted along the quarters of the map.
//!
//! The numbers of the finest cells in order: whatever lies in a cell, of any level, is one run, found by two
//! searches, and sums before each number give its centre. It is made from the table as of one offset and
//! serves all views, so what a view costs depends on its cells and not on the chat.

use std::ops::Range;

use skein_wire::map_cell::MapCell;
use skein_wire::update::Cluster;

use crate::grid::Grid;
use crate::map::cells::shown;
use crate::table::Table;

/// Bits of a 256th of a cell.
const PART_BITS: u8 = 8;

/// The live sessions of a chat by where they are.
#[derive(Debug, Default)]
pub struct Crowd {
    /// Epoch and offset of the table it was made from.
    as_of: (u32, u64),
    /// Numbers of finest cells, ascending, one per session with a place.
    numbers: Vec<u64>,
    /// Sums of columns and rows of the finest cells before each, and of all.
    sums: Vec<Sums>,
    /// Live sessions whose place only their viewers know.
    unplaced: usize,
}

/// Some sessions: how many, and the sums of where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    count: u64,
    columns: u64,
    rows: u64,
}

impl Sums {
    /// Without some of them.
    pub(super) fn without(self, some: Self) -> Self {
        Self {
            count: self.count - some.count,
            columns: self.columns - some.columns,
            rows: self.rows - some.rows,
        }
    }

    /// They as a cluster of the cell that they are all in; `None` if there are none.
    pub(super) fn cluster(self, cell: MapCell) -> Option<Cluster> {
        if self.count == 0 {
            return None;
        }
        let below = MapCell::LEVEL_MAX - cell.level();
        // 256ths of the way through the cell.
        let part = |sum: u64, first: u32| {
            let from_edge = sum / self.count - (u64::from(first) << below);
            ((from_edge << PART_BITS) >> below) as u8
        };
        Some(Cluster {
            cell,
            count: u32::try_from(self.count).unwrap_or(u32::MAX),
            east: part(self.columns, cell.column()),
            north: part(self.rows, cell.row()),
        })
    }
}

impl Crowd {
    /// The sessions of `table` as its viewers see them on a grid; does nothing if they are known already.
    pub fn follow(&mut self, table: &Table, grid: Option<Grid>) {
        let as_of = (table.epoch(), table.as_of());
        if self.as_of == as_of {
            return;
        }
        self.as_of = as_of;
        self.numbers.clear();
        self.unplaced = 0;
        for row in table.rows_live() {
            match row.position() {
                Some(place) => {
                    let cell = MapCell::at(shown(place, grid), MapCell::LEVEL_MAX);
                    self.numbers.push(cell.number());
                }
                None => self.unplaced += usize::from(row.newest().is_some()),
            }
        }
        self.numbers.sort_unstable();
        self.sum_up();
    }

    fn sum_up(&mut self) {
        let mut sums = Sums::default();
        self.sums.clear();
        self.sums.push(sums);
        for number in &self.numbers {
            let cell = MapCell::from_number(*number).expect("a number of a cell");
            sums.count += 1;
            sums.columns += u64::from(cell.column());
            sums.rows += u64::from(cell.row());
            self.sums.push(sums);
        }
    }

    /// Live sessions with a sealed point: nobody here knows where they are.
    pub fn unplaced(&self) -> usize {
        self.unplaced
    }

    /// Sessions in a cell.
    pub fn count(&self, cell: MapCell) -> usize {
        self.run(cell).len()
    }

    pub(super) fn sums(&self, cell: MapCell) -> Sums {
        let run = self.run(cell);
        match (self.sums.get(run.end), self.sums.get(run.start)) {
            (Some(to), Some(from)) => to.without(*from),
            // Nothing was followed yet.
            _ => Sums::default(),
        }
    }

    /// The cells of a level that have sessions, ascending.
    pub(super) fn cells_at(&self, level: u8) -> impl Iterator<Item = MapCell> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let finest = MapCell::from_number(*self.numbers.get(next)?)?;
            let cell = finest.up_to(level);
            next = self.run(cell).end;
            Some(cell)
        })
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.numbers.capacity() * size_of::<u64>() + self.sums.capacity() * size_of::<Sums>()
    }

    fn run(&self, cell: MapCell) -> Range<usize> {
        let within = cell.numbers_at(MapCell::LEVEL_MAX);
        let start = self
            .numbers
            .partition_point(|number| *number < within.start);
        let end = self.numbers[start..].partition_point(|number| *number < within.end);
        start..start + end
    }
}
