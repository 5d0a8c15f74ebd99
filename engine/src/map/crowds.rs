//! The crowds of one chat: one for viewers who see places as they are, one per grid of coarse places.

use crate::grid::Grid;
use crate::map::crowd::Crowd;
use crate::table::Table;

/// A chat's crowds, each made when it is asked for.
#[derive(Debug, Default)]
pub(crate) struct Crowds(Vec<(Option<Grid>, Crowd)>);

impl Crowds {
    /// The crowd of `table` as it is now on a grid.
    pub(crate) fn of(&mut self, grid: Option<Grid>, table: &Table) -> &Crowd {
        let known = self.0.iter().position(|(of, _)| *of == grid);
        let index = known.unwrap_or_else(|| {
            self.0.push((grid, Crowd::default()));
            self.0.len() - 1
        });
        let crowd = &mut self.0[index].1;
        crowd.follow(table, grid);
        crowd
    }

    /// Gives the memory back.
    pub(crate) fn clear(&mut self) {
        self.0 = Vec::new();
    }

    /// Gives the memory of those back that nobody looks at any more.
    pub(crate) fn keep(&mut self, is_looked_at: impl Fn(Option<Grid>) -> bool) {
        self.0.retain(|(grid, _)| is_looked_at(*grid));
    }

    /// Bytes that they hold.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|(_, crowd)| crowd.bytes()).sum()
    }
}
