//! A chat of few people, and how long each point of it takes to all of them: what a very large chat on the same
//! shard must not change.

use std::thread;
use std::time::{Duration, Instant};

use skein_wire::request::Delivery;

use crate::fleet::Fleet;
use crate::peer::Peer;
use crate::server::Server;
use crate::table::Table;
use crate::wait::PATIENCE;

/// Who watches.
const VIEWERS: usize = 5;

/// Pause between two points.
const PAUSE: Duration = Duration::from_millis(70);

/// One who shares, and those who watch.
pub struct SmallChat {
    fleet: Fleet,
    viewers: Vec<(Peer, Table)>,
}

impl SmallChat {
    /// All are there, and have the first point.
    ///
    /// # Panics
    /// If somebody is not let in, or the point does not come.
    pub fn gather(server: &Server, chat: &str) -> Self {
        let fleet = Fleet::start(server, chat, 1);
        let viewer = format!("viewer-of-{chat}");
        let added = server.put_member(chat, &viewer, &["watch"]);
        added.expect_success("a viewer");
        let token = server.quick_token(&viewer);
        let viewers = (0..VIEWERS)
            .map(|_| {
                let mut viewer = Peer::connect(server.ready.http, &token);
                viewer.watch(chat, None, Delivery::Latest);
                (viewer, Table::default())
            })
            .collect();
        let mut chat = Self { fleet, viewers };
        chat.point();
        chat
    }

    /// Sends a point, and says after what time all have it.
    ///
    /// # Panics
    /// If one of them does not get it.
    pub fn point(&mut self) -> Duration {
        let began = Instant::now();
        self.fleet.publish();
        let member = self.fleet.members().next().expect("a session");
        for (viewer, table) in &mut self.viewers {
            let is_there = |table: &Table| {
                let row = table.session(member.session);
                row.is_some_and(|row| row.counter == member.counter)
            };
            while !is_there(table) {
                table.apply(viewer.batch(PATIENCE).expect("a batch"));
            }
        }
        began.elapsed()
    }

    /// So many points with pauses, and what each took, the shortest first.
    ///
    /// # Panics
    /// As [`Self::point`].
    pub fn points(&mut self, count: usize) -> Vec<Duration> {
        let mut times: Vec<Duration> = (0..count)
            .map(|_| {
                thread::sleep(PAUSE);
                self.point()
            })
            .collect();
        times.sort_unstable();
        times
    }
}

/// 99 of 100 took no longer.
///
/// # Panics
/// If there are none.
pub fn p99(times: &[Duration]) -> Duration {
    times[(times.len() - 1) * 99 / 100]
}
