//! What a viewer of a part of the map knows beside its rows: which cells they are of, and how many others
//! there are elsewhere.

use skein_wire::ids::Cell;
use skein_wire::update::{Cluster, Clusters, Viewing};

/// A view of the map.
#[derive(Debug, Default)]
pub(crate) struct MapState {
    /// As the server told last, on this connection or before.
    viewing: Option<Viewing>,
    /// Whether it was told on this connection: numbers of another one mean nothing here.
    is_bound: bool,
    clusters: Vec<Cluster>,
    /// Epoch and offset of the clusters.
    as_of: (u32, u64),
}

impl MapState {
    /// The number that batches of this view carry, once it is known.
    pub(crate) fn cell(&self) -> Option<Cell> {
        let viewing = self.viewing.as_ref().filter(|_| self.is_bound);
        viewing.map(|viewing| viewing.cell)
    }

    /// What is shown, as far as it was told.
    pub(crate) fn viewing(&self) -> Option<&Viewing> {
        self.viewing.as_ref()
    }

    /// The others, counted.
    pub(crate) fn clusters(&self) -> &[Cluster] {
        &self.clusters
    }

    /// A number is still to be told.
    pub(crate) fn unbind(&mut self) {
        self.is_bound = false;
    }

    /// Other cells from here on. What was counted stays until it is counted anew.
    pub(crate) fn show(&mut self, viewing: Viewing) {
        self.viewing = Some(viewing);
        self.is_bound = true;
        self.as_of = (0, 0);
    }

    /// Takes what was counted; false if it is of other cells, or older than what is there.
    pub(crate) fn count(&mut self, clusters: Clusters) -> bool {
        let as_of = (clusters.epoch, clusters.to);
        let is_news = self.cell() == Some(clusters.cell) && as_of > self.as_of;
        if is_news {
            self.as_of = as_of;
            self.clusters = clusters.clusters;
        }
        is_news
    }
}
