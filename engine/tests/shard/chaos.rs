//! Everything at once, from a seed: senders, viewers, members, full rings, a control log that refuses
//! or stalls, crashes that lose the tail. Then calm, and everything must have healed.

use std::collections::{BTreeMap, BTreeSet};

use skein_engine::geofence::ledger::GeofenceLedger;
use skein_engine::geofence::record::{GeofenceWish, Shape};
use skein_engine::limits::{Limits, PROPOSAL_RETRY_MS_MAX};
use skein_engine::request::{Actor, ChatReply, ChatRequest};
use skein_engine::rights::Rights;
use skein_wire::ids::{SessionId, ShareNumber};
use skein_wire::point::Payload;
use skein_wire::request::{Delivery, Request, ShareStop};
use skein_wire::update::Update;

use crate::coarse::grid;
use crate::dice::Dice;
use crate::geofence_stage::assert_alternating;
use crate::members::members_of;
use crate::peer::Peer;
use crate::rig::{Control, Rig, chat, user};
use crate::viewer::Saw;

/// Seeds of one run; a failing one is printed.
const SEEDS: u64 = 300;

const USERS: [&str; 4] = ["ana", "bob", "eve", "dan"];

/// What the world knows of what happens.
struct World {
    rig: Rig,
    dice: Dice,
    senders: Vec<(Peer, &'static str)>,
    shares: Vec<(Peer, ShareNumber, SessionId)>,
    viewers: Vec<Peer>,
    counters: BTreeMap<SessionId, u64>,
    /// Sessions whose end was promised to somebody.
    over: BTreeSet<SessionId>,
}

impl World {
    fn new(seed: u64) -> Self {
        let shards = 1 + (seed % 3) as u16;
        let limits = Limits {
            // Images come in slices, ended rows are forgotten and trails are full.
            image_rows_per_pass: 1 + (seed % 4) as usize,
            tombstones_per_chat_max: 3,
            trail_points: 4,
            ..Limits::default()
        };
        Self {
            rig: Rig::with_limits(shards, limits).with_members(),
            dice: Dice(seed),
            senders: Vec::new(),
            shares: Vec::new(),
            viewers: Vec::new(),
            counters: BTreeMap::new(),
            over: BTreeSet::new(),
        }
    }

    fn shard(&mut self) -> u16 {
        let shards = self.rig.shards.len() as u64;
        self.dice.roll(shards) as u16
    }

    fn step(&mut self) {
        match self.dice.roll(28) {
            0..=8 => self.point(),
            9 => self.history(),
            10 | 11 => self.start(),
            12 => self.stop(),
            13..=15 => self.watch(),
            16 => self.leave(),
            17 => self.change_member(),
            18 => self.rig.rings_are_full = self.dice.roll(2) == 0,
            19 => self.change_control(),
            20 => self.pause(),
            21 => self.checkpoint(),
            22 => self.crash(),
            23 => self.go_deaf(),
            24 => self.overtake(),
            25 => self.put_geofence(),
            26 => self.jump(),
            _ => self.rig.settle(),
        }
        self.look();
    }

    fn point(&mut self) {
        if self.shares.is_empty() {
            return;
        }
        let index = self.dice.roll(self.shares.len() as u64) as usize;
        let (peer, share, session) = self.shares[index];
        let counter = self.counters.entry(session).or_default();
        *counter += 1;
        self.rig.send_only(peer, Rig::point_frame(share, *counter));
        if self.dice.roll(2) == 0 {
            self.rig.one_pass_each();
        }
    }

    /// A geofence of the chat, or an alert, of one name each; now and then another one.
    fn put_geofence(&mut self) {
        let owner = (self.dice.roll(2) == 0).then(|| user(USERS[self.dice.roll(4) as usize]));
        let radius_m = 100 + 10 * self.dice.roll(2) as u32;
        let (lat_e6, lon_e6) = (45_000_000, 13_000_000);
        let shape = match self.dice.roll(2) {
            0 => Shape::Circle {
                lat_e6,
                lon_e6,
                radius_m,
            },
            _ => Shape::Around {
                session: 0,
                near_m: radius_m,
            },
        };
        let wish = GeofenceWish {
            chat: chat(),
            name: "gate".parse().unwrap(),
            duration_s: owner.as_ref().map(|_| 600),
            owner,
            shape,
            user: None,
            session: None,
            dwell_s: 0,
            once: self.dice.roll(4) == 0,
        };
        let actor = Actor::Control;
        self.rig.ask(ChatRequest::PutGeofence { actor, wish });
    }

    /// A point far away, and often back.
    fn jump(&mut self) {
        if self.shares.is_empty() {
            return;
        }
        let index = self.dice.roll(self.shares.len() as u64) as usize;
        let (peer, share, session) = self.shares[index];
        let counter = self.counters.entry(session).or_default();
        *counter += 1;
        let Request::Point(mut sent) = Rig::point_frame(share, *counter) else {
            unreachable!("it is a point");
        };
        if let Payload::Fix(fix) = &mut sent.point.payload {
            fix.position.lat_e6 += 10_000;
        }
        self.rig.send_only(peer, Request::Point(sent));
    }

    fn history(&mut self) {
        if self.shares.is_empty() {
            return;
        }
        let index = self.dice.roll(self.shares.len() as u64) as usize;
        let (peer, share, session) = self.shares[index];
        // Counters that the live points leave out are the backlog.
        let counter = self.counters.entry(session).or_default();
        *counter += 2;
        let (missed, newest) = (*counter - 1, *counter);
        self.rig.send_only(peer, Rig::point_frame(share, newest));
        self.rig
            .send_only(peer, Rig::history_frame(share, &[missed]));
    }

    fn start(&mut self) {
        let shard = self.shard();
        let name = USERS[self.dice.roll(4) as usize];
        let peer = self.rig.connect(shard, name);
        self.senders.push((peer, name));
        self.rig.send(peer, Rig::share_start("", 900));
        self.collect();
    }

    fn stop(&mut self) {
        if self.shares.is_empty() {
            return;
        }
        let index = self.dice.roll(self.shares.len() as u64) as usize;
        let (peer, share, _) = self.shares[index];
        let stop = ShareStop {
            request: skein_wire::ids::RequestNumber(9),
            share,
        };
        self.rig.send(peer, Request::ShareStop(stop));
        self.collect();
    }

    fn watch(&mut self) {
        let shard = self.shard();
        let name = USERS[self.dice.roll(4) as usize];
        let peer = self.rig.connect(shard, name);
        self.rig.expect_viewer(peer);
        self.rig
            .send_only(peer, Rig::watch_frame(None, Delivery::Every));
        self.viewers.push(peer);
    }

    fn leave(&mut self) {
        if self.viewers.is_empty() {
            return;
        }
        let index = self.dice.roll(self.viewers.len() as u64) as usize;
        let peer = self.viewers.swap_remove(index);
        self.rig.disconnect(peer);
    }

    fn change_member(&mut self) {
        let name = USERS[1 + self.dice.roll(3) as usize];
        let coarse = Rights::WATCH.on_grid(grid()).expect("a size of members");
        let rights = [
            Rights::NONE,
            Rights::SHARE,
            Rights::WATCH,
            Rights::ALL,
            coarse,
            coarse.or(Rights::SHARE),
        ];
        let rights = rights[self.dice.roll(rights.len() as u64) as usize];
        if rights.is_none() {
            self.rig.remove_member(name);
        } else {
            self.rig.put_member(name, rights.bits());
        }
    }

    fn change_control(&mut self) {
        self.rig.control = match self.dice.roll(4) {
            0 => Control::Reject,
            1 => Control::Hold,
            _ => Control::Commit,
        };
        self.rig.work_control();
    }

    fn pause(&mut self) {
        let ms = self.dice.roll(40_000);
        self.rig.advance(ms);
    }

    fn checkpoint(&mut self) {
        let partition = self.rig.partition();
        for shard in &mut self.rig.shards {
            shard.begin_checkpoint(partition);
        }
    }

    /// A shard that is not the owner falls behind.
    fn go_deaf(&mut self) {
        let (owner, other) = self.rig.owner_and_other();
        if owner != other {
            self.rig.deaf = Some(other);
        }
    }

    /// It goes on, and finds that the log does not have everything any more.
    fn overtake(&mut self) {
        if let Some(shard) = self.rig.deaf.take() {
            self.rig.overtake(shard);
        }
    }

    fn crash(&mut self) {
        let lost = self.dice.roll(4) as usize;
        self.collect();
        self.rig.crash(lost);
        self.senders.clear();
        self.shares.clear();
        self.viewers.clear();
    }

    /// Reads what connections were told.
    fn collect(&mut self) {
        for (peer, _) in self.senders.clone() {
            for update in self.rig.take_frames(peer) {
                match update {
                    Update::Shared(shared) => {
                        self.shares.push((peer, shared.share, shared.session));
                    }
                    Update::ShareEnded(ended) => {
                        self.shares
                            .retain(|(of, share, _)| (*of, *share) != (peer, ended.share));
                    }
                    _ => {}
                }
            }
        }
        let promised = &self.rig.control_state;
        if let Some(chat) = promised.chat("harbour") {
            let known: Vec<SessionId> = self.counters.keys().copied().collect();
            let over = known
                .into_iter()
                .filter(|session| !chat.sessions.contains_key(&session.0));
            self.over.extend(over);
        }
    }

    /// What must hold at every moment.
    fn look(&self) {
        for peer in &self.viewers {
            let mut ended = BTreeSet::new();
            for saw in &self.rig.viewer(*peer).saw {
                match saw {
                    Saw::State(session, state) if state.is_ended() => {
                        ended.insert(*session);
                    }
                    Saw::State(session, state) => {
                        assert!(!ended.contains(session), "{session} came back as {state:?}");
                    }
                    Saw::Point(session, _) => {
                        assert!(
                            !ended.contains(session),
                            "a point of {session} after its end"
                        );
                    }
                }
            }
        }
    }

    /// Faults are over.
    fn calm(&mut self) {
        self.rig.rings_are_full = false;
        self.rig.deaf = None;
        self.rig.control = Control::Commit;
        self.rig.work_control();
        self.rig.settle();
        // Long enough for every retry and every told state, too short for anything to grow stale.
        self.rig.advance(PROPOSAL_RETRY_MS_MAX + 1_000);
        self.collect();
    }

    /// What must hold when all is calm.
    fn check(&mut self) {
        let live: BTreeSet<SessionId> = self.rig.live_sessions().into_iter().collect();
        let promised = self.rig.control_state.chat("harbour").unwrap().clone();
        let active: BTreeSet<SessionId> =
            promised.sessions.keys().copied().map(SessionId).collect();
        assert_eq!(live, active, "log and control log agree about sessions");
        for session in &live {
            assert!(!self.over.contains(session), "{session} is back");
        }
        let Some(Ok(ChatReply::Members(members))) = self.rig.ask(members_of(chat())).1 else {
            panic!("no members");
        };
        let members: BTreeMap<String, u8> = members
            .members
            .into_iter()
            .map(|(user, rights)| (user.as_str().to_owned(), rights))
            .collect();
        assert_eq!(members, promised.members, "and about members");
        assert_alternating(&self.rig);
        self.check_geofences(&promised.geofences);
        self.check_viewers(&live);
    }

    /// What the owner holds of geofences is what was promised.
    fn check_geofences(&mut self, promised: &GeofenceLedger) {
        let (chat, actor) = (chat(), Actor::Control);
        let asked = ChatRequest::Geofences {
            chat: chat.clone(),
            actor: actor.clone(),
        };
        let Some(Ok(ChatReply::Geofences {
            geofences: mut held,
            ..
        })) = self.rig.ask(asked).1
        else {
            panic!("no geofences");
        };
        let Some(Ok(ChatReply::Alerts(alerts, _))) =
            self.rig.ask(ChatRequest::Alerts { chat, actor }).1
        else {
            panic!("no alerts");
        };
        held.extend(alerts);
        let mut held: Vec<_> = held
            .iter()
            .map(|it| {
                (
                    it.record.name.clone(),
                    it.record.owner.clone(),
                    it.inside_total,
                )
            })
            .collect();
        let promised = promised.iter().map(|(_, entry)| entry);
        let mut promised: Vec<_> = promised
            .map(|it| {
                (
                    it.record.name.clone(),
                    it.record.owner.clone(),
                    it.inside.len(),
                )
            })
            .collect();
        held.sort();
        promised.sort();
        assert_eq!(held, promised, "geofences and who is inside");
    }

    /// Who is on a grid has seen nothing finer since the watch began.
    fn check_places(&self, peer: Peer, name: &str) {
        let promised = self.rig.control_state.chat("harbour").expect("a chat");
        let rights = Rights::from_bits(promised.members.get(name).copied().unwrap_or(0));
        if let Some(grid) = rights.grid() {
            for place in &self.rig.viewer(peer).places {
                assert_eq!(*place, grid.snap(*place), "{name} sees more than a cell");
            }
        }
    }

    fn check_viewers(&mut self, live: &BTreeSet<SessionId>) {
        let asked = ChatRequest::Positions {
            chat: chat(),
            actor: Actor::Control,
        };
        let Some(Ok(ChatReply::Positions { positions, .. })) = self.rig.ask(asked).1 else {
            panic!("no positions");
        };
        let newest: BTreeMap<SessionId, u64> = positions
            .iter()
            .filter_map(|it| Some((it.session.session, it.newest.as_ref()?.counter.0)))
            .collect();
        for shard in 0..self.rig.shards.len() as u16 {
            let late = self.rig.connect(shard, "ana");
            self.rig.watch(late);
            self.viewers.push(late);
        }
        self.check_mirrors();
        for peer in self.viewers.clone() {
            let name = self.rig.user_of(peer).to_owned();
            let ended = self
                .rig
                .take_frames(peer)
                .iter()
                .any(|it| matches!(it, Update::WatchEnded(_) | Update::Refused(_)));
            if ended {
                continue;
            }
            self.check_places(peer, &name);
            let viewer = self.rig.viewer(peer);
            let shown: BTreeSet<SessionId> = viewer.shown().into_iter().collect();
            assert_eq!(&shown, live, "viewer {peer:?} of {name}");
            for (session, counter) in &newest {
                let last = viewer.counters(*session).into_iter().max();
                assert_eq!(last, Some(*counter), "{session} at {peer:?}");
            }
        }
    }

    /// Every shard holds what the owner holds.
    fn check_mirrors(&self) {
        let contents: Vec<_> = self
            .rig
            .shards
            .iter()
            .map(|shard| shard.content(&chat()))
            .collect();
        let (owner, _) = self.rig.owner_and_other();
        for content in &contents {
            assert_eq!(content, &contents[usize::from(owner)]);
        }
    }
}

#[test]
fn everything_heals() {
    for seed in 0..SEEDS {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..120 {
                world.step();
            }
            world.calm();
            world.check();
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}
