//! Sessions that a viewer has been told are over: a shared batch may repeat an end, with all that
//! came before it, to a viewer that knows it already.

use std::collections::{HashSet, VecDeque};

use skein_wire::ids::SessionId;

use crate::limits::ENDS_REMEMBERED_MAX;

/// The newest ends, bounded; the oldest is forgotten first.
#[derive(Debug, Default)]
pub(crate) struct RecentEnds {
    order: VecDeque<SessionId>,
    known: HashSet<SessionId>,
}

impl RecentEnds {
    /// The viewer was told that this session is over.
    pub(crate) fn add(&mut self, session: SessionId) {
        if !self.known.insert(session) {
            return;
        }
        self.order.push_back(session);
        if self.order.len() > ENDS_REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// The session is there again: its end was lost in a power failure.
    pub(crate) fn remove(&mut self, session: SessionId) {
        if self.known.remove(&session) {
            self.order.retain(|known| *known != session);
        }
    }

    /// Whether the viewer knows that this session is over.
    pub(crate) fn contains(&self, session: SessionId) -> bool {
        self.known.contains(&session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_forgets_the_oldest_first() {
        let mut ends = RecentEnds::default();
        for session in 0..=ENDS_REMEMBERED_MAX as u64 {
            ends.add(SessionId(session));
            ends.add(SessionId(session));
        }
        assert!(!ends.contains(SessionId(0)));
        assert!(ends.contains(SessionId(1)));
        ends.remove(SessionId(1));
        assert!(!ends.contains(SessionId(1)));
    }
}
