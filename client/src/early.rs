//! What has overtaken the frame that says what it is of: kept for a while, in order.

use std::collections::VecDeque;

use skein_wire::batch::Batch;
use skein_wire::ids::{Cell, ChatHandle};
use skein_wire::update::Clusters;

use crate::limits::{EARLY_BATCHES_MAX, EARLY_BYTES_MAX};

/// A batch, or what stands in front of one.
#[derive(Debug)]
pub(crate) enum News {
    /// Rows.
    Batch(Batch),
    /// The others, counted.
    Clusters(Clusters),
}

impl News {
    /// Which chat.
    pub(crate) fn chat(&self) -> ChatHandle {
        match self {
            Self::Batch(batch) => batch.header.chat,
            Self::Clusters(clusters) => clusters.chat,
        }
    }

    /// Which part of it.
    pub(crate) fn cell(&self) -> Cell {
        match self {
            Self::Batch(batch) => batch.header.cell,
            Self::Clusters(clusters) => clusters.cell,
        }
    }
}

/// News and their bytes, oldest first; the oldest give way.
#[derive(Debug, Default)]
pub(crate) struct Early(VecDeque<(News, usize)>);

impl Early {
    /// Keeps some news.
    pub(crate) fn keep(&mut self, news: News, bytes: usize) {
        self.0.push_back((news, bytes));
        let mut bytes: usize = self.0.iter().map(|(_, bytes)| bytes).sum();
        while self.0.len() > EARLY_BATCHES_MAX || bytes > EARLY_BYTES_MAX {
            let Some((_, dropped)) = self.0.pop_front() else {
                break;
            };
            bytes -= dropped;
        }
    }

    /// Takes what is of a chat out.
    pub(crate) fn take(&mut self, chat: ChatHandle) -> VecDeque<(News, usize)> {
        let all = std::mem::take(&mut self.0).into_iter();
        let (own, others) = all.partition(|(news, _)| news.chat() == chat);
        self.0 = others;
        own
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
