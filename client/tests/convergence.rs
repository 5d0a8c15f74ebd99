//! A viewer behind a network that loses, repeats and reorders ends up with what the server has, and
//! in `every` mode has been told each point exactly once or counted it as skipped.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use skein_client::change::Event;
use skein_client::viewer_state::{ViewerState, WatchId, WatchOptions};
use skein_wire::ids::SessionId;
use skein_wire::request::{Delivery, Request};
use skein_wire::update::{SessionState, Update};
use support::{Server, chat, watch_request, watching, welcome};

#[derive(Clone, Debug)]
enum Step {
    Start,
    Publish {
        slot: usize,
        ahead: u64,
    },
    Late {
        slot: usize,
        back: u64,
    },
    Mark {
        slot: usize,
        state: SessionState,
    },
    Extend {
        slot: usize,
    },
    /// A batch from so many offsets before the head, in pages of so many rows.
    Send {
        back: u64,
        page_rows: Option<usize>,
    },
    Deliver {
        index: usize,
        keep: bool,
    },
    Lose {
        index: usize,
    },
    Reconnect {
        accept: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let states = prop_oneof![
        Just(SessionState::Stale),
        Just(SessionState::Stationary),
        Just(SessionState::Stopped),
    ];
    prop_oneof![
        2 => Just(Step::Start),
        12 => (0..8usize, prop_oneof![9 => 1..4u64, 1 => 1..3_000u64])
            .prop_map(|(slot, ahead)| Step::Publish { slot, ahead }),
        2 => (0..8usize, 1..6u64).prop_map(|(slot, back)| Step::Late { slot, back }),
        2 => (0..8usize, states).prop_map(|(slot, state)| Step::Mark { slot, state }),
        1 => (0..8usize).prop_map(|slot| Step::Extend { slot }),
        10 => (0..12u64, prop::option::of(1..3usize))
            .prop_map(|(back, page_rows)| Step::Send { back, page_rows }),
        12 => (0..64usize, any::<bool>()).prop_map(|(index, keep)| Step::Deliver { index, keep }),
        3 => (0..64usize).prop_map(|index| Step::Lose { index }),
        1 => any::<bool>().prop_map(|accept| Step::Reconnect { accept }),
    ]
}

struct World {
    server: Server,
    viewer: ViewerState,
    id: WatchId,
    now: u64,
    network: Vec<Update>,
    /// Points told and skipped, per session.
    told: BTreeMap<SessionId, Vec<u64>>,
    skipped: BTreeMap<SessionId, u64>,
}

impl World {
    fn new(delivery: Delivery, trail: usize) -> Self {
        let mut viewer = ViewerState::new();
        let mut options = WatchOptions::new(chat());
        options.delivery = delivery;
        let id = viewer.watch(options);
        let mut world = Self {
            server: Server::new(delivery, trail),
            viewer,
            id,
            now: 1_000_000,
            network: Vec::new(),
            told: BTreeMap::new(),
            skipped: BTreeMap::new(),
        };
        world.connect(true);
        world
    }

    fn connect(&mut self, accept: bool) {
        self.viewer.handle_disconnected();
        self.network.clear();
        self.give(&welcome());
        let requests: Vec<Request> = std::iter::from_fn(|| self.viewer.poll_request()).collect();
        let (request, cursor) = watch_request(&requests);
        let from = if accept { cursor } else { 0 };
        self.give(&watching(request, self.server.epoch, from));
    }

    fn give(&mut self, update: &Update) {
        self.now += 1;
        self.viewer
            .handle(self.now, update)
            .expect("a server by the rules");
        while let Some(change) = self.viewer.poll_change() {
            let Some(subject) = change.subject else {
                continue;
            };
            match change.event {
                Event::Point { point, .. } => {
                    self.told
                        .entry(subject.session)
                        .or_default()
                        .push(point.counter.0);
                }
                Event::Skipped { count } => {
                    *self.skipped.entry(subject.session).or_default() += count
                }
                _ => {}
            }
        }
    }

    fn run(&mut self, step: Step) {
        let rows = self.server.rows.len();
        let live = |server: &Server, slot: usize| {
            server
                .rows
                .get(slot)
                .is_some_and(|row| !row.state.state.is_ended())
        };
        match step {
            Step::Start if rows < 8 => {
                self.server.start();
            }
            Step::Publish { slot, ahead } if live(&self.server, slot) => {
                self.server.publish(slot, ahead);
            }
            Step::Late { slot, back } if live(&self.server, slot) => {
                let last = self.server.rows[slot].descriptor.counter.0;
                self.server.publish_late(slot, last.saturating_sub(back));
            }
            Step::Mark { slot, state } if live(&self.server, slot) => self.server.mark(slot, state),
            Step::Extend { slot } if live(&self.server, slot) => self.server.extend(slot),
            Step::Send { back, page_rows } => {
                let from = self.server.head.saturating_sub(back);
                let frames = self.server.batch(from, page_rows);
                self.network.extend(frames);
            }
            Step::Deliver { index, keep } if index < self.network.len() => {
                let frame = self.network[index].clone();
                if !keep {
                    self.network.swap_remove(index);
                }
                self.give(&frame);
            }
            Step::Lose { index } if index < self.network.len() => {
                self.network.swap_remove(index);
            }
            Step::Reconnect { accept } => self.connect(accept),
            _ => {}
        }
    }

    /// The network is whole from now on: what the viewer asks for comes.
    fn heal(&mut self) {
        self.network.clear();
        let head = skein_wire::update::Head {
            chat: support::CHAT,
            cell: skein_wire::ids::Cell(0),
            epoch: self.server.epoch,
            to: self.server.head,
        };
        for _ in 0..50 {
            self.give(&Update::Head(head));
            let requests: Vec<Request> =
                std::iter::from_fn(|| self.viewer.poll_request()).collect();
            for request in requests {
                if let Request::Cursor(report) = request {
                    for frame in self.server.batch(report.offset, None) {
                        self.give(&frame);
                    }
                }
            }
            if self.is_whole() {
                return;
            }
            self.now = self.viewer.poll_timeout().expect("it goes on asking");
            self.viewer.handle_timeout(self.now);
        }
        panic!("it does not heal");
    }

    fn is_whole(&self) -> bool {
        let view = self.viewer.views(self.id).next().expect("a view");
        view.cursor().offset == self.server.head && !view.is_behind()
    }

    fn check_rows(&self) {
        let view = self.viewer.views(self.id).next().expect("a view");
        let shown: BTreeMap<_, _> = view
            .rows()
            .filter(|row| !row.state().state.is_ended())
            .map(|row| {
                let point = row
                    .point()
                    .map(|point| (point.counter, point.captured_at_ms));
                let session = row.subject().session;
                (session, (row.expires_at_ms(), row.state().state, point))
            })
            .collect();
        let rows = self
            .server
            .rows
            .iter()
            .filter(|row| !row.state.state.is_ended());
        let expected: BTreeMap<_, _> = rows
            .map(|row| {
                let point = row
                    .newest()
                    .map(|(_, point)| (point.counter, point.captured_at_ms));
                let descriptor = &row.descriptor;
                (
                    descriptor.session,
                    (descriptor.expires_at_ms, row.state.state, point),
                )
            })
            .collect();
        assert_eq!(shown, expected);
    }

    fn check_points(&self, every: bool) {
        for row in &self.server.rows {
            let session = row.descriptor.session;
            let empty = Vec::new();
            let told = self.told.get(&session).unwrap_or(&empty);
            let distinct: BTreeSet<u64> = told.iter().copied().collect();
            assert_eq!(distinct.len(), told.len(), "{session} told twice: {told:?}");
            let real: BTreeSet<u64> = row
                .points
                .iter()
                .map(|(_, point)| point.counter.0)
                .collect();
            assert!(
                distinct.is_subset(&real),
                "{session}: {distinct:?} of {real:?}"
            );
            if !every {
                assert!(told.is_sorted(), "{session} moved back: {told:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_viewer_converges_whatever_the_network_does(
        every in any::<bool>(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let delivery = if every { Delivery::Every } else { Delivery::Latest };
        let mut world = World::new(delivery, 8);
        for step in steps {
            world.run(step);
        }
        world.heal();
        world.check_rows();
        world.check_points(every);
    }

    #[test]
    fn every_point_is_told_or_counted_as_skipped(
        trail in 0..6usize,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(Delivery::Every, trail);
        // From here on nothing is before the viewer's time.
        world.server.start();
        world.give(&world.server.clone().batch(0, None)[0]);
        for step in steps {
            // Without resyncs and late points the sum is exact.
            match step {
                Step::Reconnect { accept: false } | Step::Late { .. } => {}
                Step::Mark { state: SessionState::Stopped, .. } => {}
                Step::Send { back, page_rows } if back < world.server.head => {
                    world.run(Step::Send { back, page_rows });
                }
                Step::Send { .. } => {}
                step => world.run(step),
            }
        }
        world.heal();
        for row in &world.server.rows {
            let session = row.descriptor.session;
            let told = world.told.get(&session).map_or(0, Vec::len) as u64;
            let skipped = world.skipped.get(&session).copied().unwrap_or(0);
            prop_assert_eq!(told + skipped, row.points.len() as u64, "{}", session);
        }
    }
}
