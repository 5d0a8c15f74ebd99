//! Holds changes back for as long as more of them are there already, and drops points that a newer
//! one of the same session has overtaken.
//!
//! A process that was stopped finds everything that the kernel held for it. Whoever asked for the
//! latest wants the end of that, not the film.

use skein_client::change::{Change, Event};

/// Turns that the runtime gets to bring what is there already, before what was held back is
/// shown: one for the sockets, one for the transport's own task, one to spare.
const TURNS: usize = 3;

/// Changes that are held back.
#[derive(Debug, Default)]
pub struct Newest {
    held: Vec<Change>,
    /// Points of a session that has just come into view are its trail: none overtakes another.
    has_trails: bool,
}

impl Newest {
    /// Holds nothing yet. `has_trails` tells whether trails were asked for.
    pub fn new(has_trails: bool) -> Self {
        Self {
            held: Vec::new(),
            has_trails,
        }
    }

    /// Holds a change back; a point takes the place of an older one of its session.
    pub fn hold(&mut self, change: Change) {
        if is_live_point(&change) && !self.is_trail(&change) {
            let overtaken = |held: &Change| is_live_point(held) && held.subject == change.subject;
            self.held.retain(|held| !overtaken(held));
        }
        self.held.push(change);
    }

    /// Whether a point belongs to a session whose start is held back too, where trails are wanted.
    fn is_trail(&self, point: &Change) -> bool {
        let is_start = |held: &Change| matches!(held.event, Event::Started { .. });
        let mut held = self.held.iter();
        self.has_trails && held.any(|held| is_start(held) && held.subject == point.subject)
    }

    /// What was held back, in order.
    pub fn take(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.held)
    }

    /// Resolves when something is held back and nothing more is there at the moment.
    pub async fn settled(&self) {
        if self.held.is_empty() {
            std::future::pending::<()>().await;
        }
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }
}

fn is_live_point(change: &Change) -> bool {
    matches!(
        change.event,
        Event::Point {
            historical: false,
            ..
        }
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skein_client::change::{Change, Event, ShownPoint, Subject};
    use skein_wire::ids::{ChatName, Counter, Cursor, SessionId, UserName};
    use skein_wire::point::{Fix, Payload};

    use crate::cli::newest::Newest;

    fn change(session: u64, event: Event) -> Change {
        let user = UserName::new("ana").expect("a name");
        Change {
            chat: ChatName::new("hike").expect("a name"),
            subject: Some(Arc::new(Subject {
                session: SessionId(session),
                user,
            })),
            cursor: Cursor::default(),
            event,
        }
    }

    fn point(session: u64, counter: u64) -> Change {
        let point = ShownPoint {
            counter: Counter(counter),
            captured_at_ms: 0,
            payload: Payload::Fix(Fix::default()),
        };
        let historical = false;
        change(session, Event::Point { point, historical })
    }

    #[test]
    fn only_overtaken_points_are_dropped() {
        let stale = || change(1, Event::Stale { at_ms: 5 });
        let mut newest = Newest::default();
        for change in [point(1, 1), point(2, 1), stale(), point(1, 2), point(1, 3)] {
            newest.hold(change);
        }
        assert_eq!(newest.take(), [point(2, 1), stale(), point(1, 3)]);
        assert_eq!(newest.take(), []);
    }

    #[test]
    fn a_trail_is_kept_when_its_session_comes_into_view() {
        let started = || {
            let event = Event::Started {
                started_at_ms: 1,
                expires_at_ms: 2,
                sealed: false,
            };
            change(1, event)
        };
        let all = [started(), point(1, 1), point(1, 2)];
        for (has_trails, kept) in [(true, &all[..]), (false, &[started(), point(1, 2)][..])] {
            let mut newest = Newest::new(has_trails);
            all.iter().for_each(|change| newest.hold(change.clone()));
            assert_eq!(newest.take(), kept);
            newest.hold(point(1, 3));
            newest.hold(point(1, 4));
            assert_eq!(newest.take(), [point(1, 4)]);
        }
    }
}
