//! Images of chats in slices: whatever happens while they travel, a mirror holds in the end what the
//! owner holds, and nobody is served before.

use skein_engine::limits::{Limits, MIRROR_LINGER_MS};
use skein_engine::request::ChatRequest;
use skein_wire::error::Code;
use skein_wire::ids::{RequestNumber, SessionId, ShareNumber};
use skein_wire::request::{Delivery, Request, ShareStop};
use skein_wire::update::Update;

use crate::dice::Dice;
use crate::members::assert_changed;
use crate::peer::Peer;
use crate::rig::{Rig, chat, user};

/// Rows and members of a slice: every scenario has several slices.
const SLICE: usize = 2;

/// Ended rows are forgotten soon.
const TOMBSTONE_AGE_MS: u64 = 1_000;

/// Runs with changes at random.
const SEEDS: u64 = 300;

/// A chat with some sessions, whose sender sits with the owner.
struct Scene {
    rig: Rig,
    owner: u16,
    other: u16,
    sender: Peer,
    shares: Vec<(ShareNumber, SessionId)>,
    starts: u64,
    counter: u64,
}

impl Scene {
    fn new(shards: u16, sessions: u64, slice: usize) -> Self {
        let limits = Limits {
            image_rows_per_pass: slice,
            sessions_per_user_max: 64,
            trail_points: 3,
            tombstones_per_chat_max: 3,
            tombstone_age_ms_max: TOMBSTONE_AGE_MS,
            ..Limits::default()
        };
        let mut rig = Rig::with_limits(shards, limits).with_members();
        let (owner, other) = rig.owner_and_other();
        let sender = rig.connect(owner, "ana");
        let mut scene = Self {
            rig,
            owner,
            other,
            sender,
            shares: Vec::new(),
            starts: 0,
            counter: 0,
        };
        for _ in 0..sessions {
            scene.start();
            scene.point(scene.shares.len() - 1);
        }
        scene.rig.settle();
        scene
    }

    /// Bob asks for a watch, and the question comes to the owner.
    fn ask(&mut self, shard: u16) -> Peer {
        let viewer = self.rig.connect(shard, "bob");
        self.ask_as(viewer);
        viewer
    }

    fn ask_as(&mut self, viewer: Peer) {
        self.rig.expect_viewer(viewer);
        self.rig
            .send_only(viewer, Rig::watch_frame(None, Delivery::Every));
        self.rig.carry(viewer.shard);
    }

    /// A session begins, within the pass of the owner and no more.
    fn start(&mut self) {
        self.starts += 1;
        let key = self.starts.to_string();
        self.rig.send_only(self.sender, Rig::share_start(&key, 900));
        self.rig.pass(self.owner);
        self.collect();
    }

    fn stop(&mut self, index: usize) {
        let (share, _) = self.shares.remove(index);
        let stop = ShareStop {
            request: RequestNumber(9),
            share,
        };
        self.rig.send_only(self.sender, Request::ShareStop(stop));
    }

    fn point(&mut self, index: usize) {
        self.counter += 1;
        let point = Rig::point_frame(self.shares[index].0, self.counter);
        self.rig.send_only(self.sender, point);
    }

    /// A newest point, and one from before it.
    fn history(&mut self, index: usize) {
        self.counter += 1;
        let missed = self.counter;
        self.point(index);
        let history = Rig::history_frame(self.shares[index].0, &[missed]);
        self.rig.send_only(self.sender, history);
    }

    fn collect(&mut self) {
        for update in self.rig.take_frames(self.sender) {
            if let Update::Shared(shared) = update {
                self.shares.push((shared.share, shared.session));
            }
        }
    }

    /// Something happens in the chat.
    fn change(&mut self, dice: &mut Dice) {
        let sessions = self.shares.len() as u64;
        if sessions == 0 {
            self.start();
            return;
        }
        let index = dice.roll(sessions) as usize;
        match dice.roll(10) {
            0..=3 => self.point(index),
            4 | 5 => self.history(index),
            6 => self.start(),
            7 | 8 => self.stop(index),
            _ => {
                let name = ["cem", "dan", "eve"][dice.roll(3) as usize];
                let (chat, user) = (chat(), user(name));
                let rights = dice.roll(4) as u8;
                let request = match rights {
                    0 => ChatRequest::RemoveMember {
                        chat,
                        user,
                        expected: None,
                    },
                    rights => ChatRequest::PutMember {
                        chat,
                        user,
                        rights,
                        expected: None,
                    },
                };
                self.rig.ask_only(request);
            }
        }
    }

    /// Time goes on, and the owner forgets ended rows.
    fn age(&mut self) {
        self.rig.now = self.rig.now.plus_ms(TOMBSTONE_AGE_MS * 2 / 3);
        let now = self.rig.now;
        self.rig.shards[usize::from(self.owner)].handle_timeout(now);
    }

    fn copied(&self) -> u64 {
        self.rig.shards[usize::from(self.owner)]
            .stats()
            .image_rows_copied
    }

    fn images(&self) -> u64 {
        self.rig.shards[usize::from(self.owner)].stats().images_sent
    }

    /// Everybody who follows the chat has what the owner has.
    fn check_equal(&mut self) {
        self.rig.settle();
        let truth = self.rig.shards[usize::from(self.owner)].content(&chat());
        let truth = truth.expect("the owner has it");
        for shard in &self.rig.shards {
            if let Some(content) = shard.content(&chat()) {
                assert_eq!(content, truth, "shard {:?}", shard.config().shard);
            }
        }
    }

    fn mirrors(&self) -> usize {
        let has = |shard: &&skein_engine::shard::Shard| shard.content(&chat()).is_some();
        self.rig.shards.iter().filter(has).count() - 1
    }
}

fn is_watching(rig: &Rig, viewer: Peer) -> bool {
    rig.watching_of(viewer).is_some()
}

#[test]
fn whatever_happens_while_slices_travel_a_mirror_comes_to_what_the_owner_has() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let slice = 1 + dice.roll(3) as usize;
        let mut scene = Scene::new(2, 1 + dice.roll(8), slice);
        let (owner, other) = (scene.owner, scene.other);
        let viewer = scene.ask(other);
        for _ in 0..12 {
            for _ in 0..dice.roll(4) {
                scene.change(&mut dice);
            }
            assert!(
                scene.images() > 0 || !is_watching(&scene.rig, viewer),
                "seed {seed}: served before the last slice was in"
            );
            if scene.images() == 0 && dice.roll(4) == 0 {
                scene.age();
            }
            match dice.roll(4) {
                0 => drop(scene.rig.pass(other)),
                _ => drop(scene.rig.pass(owner)),
            }
        }
        scene.check_equal();
        assert_eq!(scene.mirrors(), 1, "seed {seed}");
        for _ in 0..10 {
            scene.change(&mut dice);
        }
        scene.check_equal();
        let shown = scene.rig.viewer(viewer).shown().len();
        assert_eq!(shown, scene.rig.live_sessions().len(), "seed {seed}");
    }
}

#[test]
fn a_mirror_that_missed_records_comes_to_what_the_owner_has_in_slices() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let slice = 1 + dice.roll(3) as usize;
        let mut scene = Scene::new(2, 1 + dice.roll(8), slice);
        let (owner, other) = (scene.owner, scene.other);
        let viewer = scene.ask(other);
        scene.rig.settle();
        scene.rig.deaf = Some(other);
        for _ in 0..dice.roll(12) {
            scene.change(&mut dice);
        }
        scene.rig.pass(owner);
        scene.rig.deaf = None;
        scene.rig.overtake(other);
        let images = scene.images();
        for _ in 0..12 {
            let batches = scene.rig.viewer(viewer).batches.len();
            for _ in 0..dice.roll(4) {
                scene.change(&mut dice);
            }
            match dice.roll(4) {
                0 => drop(scene.rig.pass(other)),
                _ => drop(scene.rig.pass(owner)),
            }
            assert!(
                scene.images() > images || scene.rig.viewer(viewer).batches.len() == batches,
                "seed {seed}: served from what has a gap"
            );
            if scene.images() == images && dice.roll(4) == 0 {
                scene.age();
            }
            if dice.roll(20) == 0 {
                // Once more, with slices on their way.
                scene.rig.overtake(other);
            }
        }
        scene.check_equal();
        assert_eq!(scene.mirrors(), 1, "seed {seed}");
        let shown = scene.rig.viewer(viewer).shown().len();
        assert_eq!(shown, scene.rig.live_sessions().len(), "seed {seed}");
    }
}

#[test]
fn no_pass_copies_more_than_a_slice() {
    let mut scene = Scene::new(2, 9, SLICE);
    scene.ask(scene.other);
    let mut passes = 0;
    while scene.images() == 0 {
        let before = scene.copied();
        scene.rig.pass(scene.owner);
        assert!(scene.copied() - before <= SLICE as u64);
        passes += 1;
    }
    // Nine rows and two members.
    assert_eq!((scene.copied(), passes), (11, 6));
    scene.check_equal();
}

#[test]
fn a_chat_whose_rows_are_all_forgotten_has_its_heads() {
    let mut scene = Scene::new(2, 2, SLICE);
    scene.stop(0);
    scene.stop(0);
    scene.rig.settle();
    scene.age();
    scene.age();
    scene.ask(scene.other);
    scene.check_equal();
    assert_eq!(scene.mirrors(), 1);
    let content = scene.rig.shards[usize::from(scene.other)].content(&chat());
    let content = content.expect("a mirror");
    assert!(
        content.rows.is_empty() && content.heads[0] > 0,
        "{content:?}"
    );
}

#[test]
fn shards_that_ask_together_share_one_walk_and_later_ones_the_next() {
    let mut scene = Scene::new(4, 9, SLICE);
    let others: Vec<u16> = (0..4).filter(|shard| *shard != scene.owner).collect();
    let viewers = [0, 1, 2].map(|index| scene.rig.connect(others[index], "bob"));
    scene.ask_as(viewers[0]);
    scene.ask_as(viewers[1]);
    scene.rig.pass(scene.owner);
    scene.rig.pass(scene.owner);
    scene.ask_as(viewers[2]);
    scene.rig.settle();
    assert_eq!(scene.copied(), 2 * 11, "two walks for three shards");
    assert_eq!(scene.images(), 3);
    for viewer in viewers {
        assert_eq!(scene.rig.viewer(viewer).shown().len(), 9);
    }
    scene.check_equal();
    assert_eq!(scene.mirrors(), 3);
}

#[test]
fn who_is_removed_while_slices_travel_never_watches() {
    // How many slices are under way when the member goes.
    for slices in 0..8 {
        let mut scene = Scene::new(2, 9, SLICE);
        let (owner, other) = (scene.owner, scene.other);
        let viewer = scene.ask(other);
        for _ in 0..slices {
            scene.rig.pass(owner);
        }
        let removal = scene.rig.ask_only(ChatRequest::RemoveMember {
            chat: chat(),
            user: user("bob"),
            expected: None,
        });
        scene.rig.settle();
        let reply = scene.rig.replies.get(&removal);
        assert_changed(reply, true);
        let told = scene.rig.take_frames(viewer);
        let refused = told.iter().any(
            |update| matches!(update, Update::Refused(refused) if refused.code == Code::NotFound),
        );
        let ended = told
            .iter()
            .any(|update| matches!(update, Update::WatchEnded(_)));
        assert!(refused || ended, "after {slices} slices: {told:?}");
        scene.point(0);
        scene.rig.settle();
        let counters = scene.rig.viewer(viewer).counters(scene.shares[0].1);
        assert!(!counters.contains(&scene.counter), "after {slices} slices");
        scene.check_equal();
    }
}

#[test]
fn a_revocation_waits_for_a_mirror_that_has_all_slices_and_not_what_came_after() {
    let mut scene = Scene::new(2, 9, SLICE);
    let (owner, other) = (scene.owner, scene.other);
    let viewer = scene.ask(other);
    scene.rig.rings_are_full = true;
    // All slices are on their way, with something to be read again; then the removal; then the
    // question whether it has acted.
    while scene.images() == 0 {
        scene.point(0);
        scene.rig.pass(owner);
    }
    let removal = scene.rig.ask_only(ChatRequest::RemoveMember {
        chat: chat(),
        user: user("bob"),
        expected: None,
    });
    scene.rig.pass(owner);
    scene.rig.rings_are_full = false;
    scene.rig.deaf = Some(other);
    scene.rig.settle();
    assert!(is_watching(&scene.rig, viewer));
    let reply = scene.rig.replies.get(&removal);
    assert_eq!(reply, None, "the mirror has not heard of it");
    scene.rig.deaf = None;
    scene.rig.settle();
    let reply = scene.rig.replies.get(&removal);
    assert_changed(reply, true);
    let told = scene.rig.take_frames(viewer);
    assert!(
        matches!(told.last(), Some(Update::WatchEnded(_))),
        "{told:?}"
    );
}

#[test]
fn viewers_that_leave_while_slices_travel_leave_a_mirror_that_is_given_back() {
    let mut scene = Scene::new(2, 9, SLICE);
    let (owner, other) = (scene.owner, scene.other);
    let viewer = scene.ask(other);
    scene.rig.pass(owner);
    scene.rig.pass(owner);
    scene.rig.disconnect(viewer);
    scene.check_equal();
    assert_eq!(scene.mirrors(), 1);
    let partition = scene.rig.partition();
    scene.rig.advance(MIRROR_LINGER_MS);
    assert_eq!(scene.mirrors(), 0);
    let owner = &scene.rig.shards[usize::from(owner)];
    assert_eq!(owner.mirrors_of(partition), []);
}

#[test]
fn a_mirror_that_is_given_back_while_its_image_travels_begins_anew() {
    // How many slices have been made when the mirror goes.
    for slices in 0..8 {
        let mut scene = Scene::new(2, 9, SLICE);
        let (owner, other) = (scene.owner, scene.other);
        let viewer = scene.ask(other);
        let next = scene.rig.connect(other, "bob");
        scene.rig.disconnect(viewer);
        scene.rig.deaf = Some(other);
        scene.point(0);
        scene.rig.settle();
        scene.rig.deaf = None;
        scene.rig.overtake(other);
        scene.rig.carry(other);
        // Slices are made, and stay where they are made.
        scene.rig.rings_are_full = true;
        for _ in 0..slices {
            scene.rig.pass(owner);
        }
        scene.rig.now = scene.rig.now.plus_ms(MIRROR_LINGER_MS);
        scene.rig.pass(other);
        assert_eq!(scene.mirrors(), 0);
        if slices % 2 == 0 {
            // Nobody comes, and nothing is kept of what was on its way.
            scene.rig.rings_are_full = false;
            scene.rig.advance(2_000);
            let stats = scene.rig.shards[usize::from(other)].stats();
            assert_eq!(stats.memory_bytes, 0, "after {slices} slices");
        }
        scene.ask_as(next);
        scene.rig.rings_are_full = false;
        scene.check_equal();
        assert_eq!(scene.mirrors(), 1, "after {slices} slices");
        assert_eq!(scene.rig.viewer(next).shown().len(), 9);
    }
}
