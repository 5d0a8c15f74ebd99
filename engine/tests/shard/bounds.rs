//! Bounds: what is reached is refused, what can be given back is, live ones are never dropped.

use skein_engine::limits::Limits;
use skein_wire::error::Code;
use skein_wire::ids::RequestNumber;
use skein_wire::request::{Request, ShareStop};

use crate::rig::Rig;

#[test]
fn sessions_per_user_and_chat_are_bounded() {
    let limits = Limits {
        sessions_per_user_max: 2,
        sessions_per_chat_max: 3,
        ..Limits::default()
    };
    let mut rig = Rig::with_limits(1, limits).with_members();
    let (ana, bob) = (rig.connect(0, "ana"), rig.connect(0, "bob"));
    let first = rig.share(ana, "");
    rig.share(ana, "");
    rig.send(ana, Rig::share_start("", 900));
    assert_eq!(rig.take_refusal(ana), Some(Code::LimitReached));
    rig.share(bob, "");
    rig.send(bob, Rig::share_start("", 900));
    assert_eq!(rig.take_refusal(bob), Some(Code::LimitReached));
    let stop = ShareStop {
        request: RequestNumber(1),
        share: first.share,
    };
    rig.send(ana, Request::ShareStop(stop));
    rig.take_frames(ana);
    rig.share(bob, "");
}

#[test]
fn watches_of_a_connection_are_bounded() {
    let limits = Limits {
        watches_per_connection_max: 0,
        ..Limits::default()
    };
    let mut rig = Rig::with_limits(2, limits).with_members();
    for shard in 0..2 {
        let viewer = rig.connect(shard, "bob");
        rig.send(viewer, Rig::watch_frame(None, Default::default()));
        assert_eq!(rig.take_refusal(viewer), Some(Code::LimitReached));
    }
}

#[test]
fn requests_that_wait_are_bounded() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let peer = rig.connect(other, "ana");
    rig.rings_are_full = true;
    let mut refused = 0;
    for _ in 0..40 {
        rig.send_only(peer, Rig::share_start("key", 900));
    }
    rig.settle();
    while rig.take_refusal(peer).is_some() {
        refused += 1;
    }
    assert_eq!(refused, 1);
    rig.rings_are_full = false;
    rig.settle();
    assert_eq!(rig.live_sessions().len(), 1);
}

#[test]
fn memory_is_given_back_in_order_and_then_sessions_are_refused() {
    let mut rig = Rig::with_limits(2, Limits::default()).with_members();
    let (owner, other) = rig.owner_and_other();
    let sender = rig.connect(owner, "ana");
    let viewer = rig.connect(other, "bob");
    rig.watch(viewer);
    let live = rig.share(sender, "");
    for counter in 1..=20 {
        rig.send_point(sender, live.share, counter);
    }
    let ended = rig.share(sender, "");
    let stop = ShareStop {
        request: RequestNumber(1),
        share: ended.share,
    };
    rig.send(sender, Request::ShareStop(stop));
    rig.advance(2_000);
    let stats = rig.shards[usize::from(owner)].stats().clone();
    assert_eq!((stats.tombstones, stats.give_backs), (1, 0));

    // The same data under a ceiling that nothing fits.
    rig.limits = Limits {
        memory_bytes_max: 1,
        ..Limits::default()
    };
    rig.restart(0);
    rig.advance(2_000);
    let stats = rig.shards[usize::from(owner)].stats().clone();
    assert_eq!(stats.tombstones, 0, "ended rows go first");
    assert!(stats.give_backs >= 3);
    assert_eq!(rig.live_sessions(), [live.session], "live ones stay");
    let sender = rig.connect(owner, "ana");
    rig.send(sender, Rig::share_start("", 900));
    assert_eq!(rig.take_refusal(sender), Some(Code::Busy));
}

#[test]
fn ended_rows_are_forgotten_after_their_time() {
    let limits = Limits {
        tombstone_age_ms_max: 60_000,
        ..Limits::default()
    };
    let mut rig = Rig::with_limits(2, limits).with_members();
    let (owner, other) = rig.owner_and_other();
    let viewer = rig.connect(other, "bob");
    rig.watch(viewer);
    let sender = rig.connect(owner, "ana");
    for _ in 0..3 {
        let shared = rig.share(sender, "");
        let stop = ShareStop {
            request: RequestNumber(1),
            share: shared.share,
        };
        rig.send(sender, Request::ShareStop(stop));
        rig.take_frames(sender);
        rig.advance(1_000);
    }
    rig.advance(30_000);
    for shard in &rig.shards {
        assert_eq!(shard.stats().tombstones, 3);
    }
    rig.advance(60_000);
    for shard in 0..2 {
        rig.shards[shard].handle_timeout(rig.now.plus_ms(2_000));
        assert_eq!(rig.shards[shard].stats().tombstones, 0);
    }
}

#[test]
fn a_still_shard_has_nothing_to_do() {
    let mut rig = Rig::new(2).with_members();
    let (owner, other) = rig.owner_and_other();
    let viewer = rig.connect(other, "bob");
    rig.watch(viewer);
    let sender = rig.connect(owner, "ana");
    rig.share(sender, "");
    rig.advance(60_000);
    let outputs = rig.outputs;
    for shard in &rig.shards {
        let due = shard.poll_timeout();
        assert!(due.is_none_or(|due| due.0 > rig.now.0 + 1_000), "{due:?}");
    }
    rig.advance(5_000);
    assert_eq!(rig.outputs, outputs);
}

#[test]
fn connections_that_come_and_go_leave_no_timers() {
    const VISITS: u64 = 20_000;
    let mut rig = Rig::new(1).with_members();
    let stays = rig.connect(0, "bob");
    // Tokens of a day; a visit each second.
    for _ in 0..VISITS {
        let visitor = rig.connect(0, "ana");
        rig.disconnect(visitor);
        rig.advance(1_000);
    }
    let timers = rig.shards[0].stats().timers;
    assert!(timers < 400, "{timers} timers after {VISITS} visits");
    // The one who stayed is still there, and gone when the day is over.
    assert!(!rig.closed.contains_key(&stays));
    rig.advance(24 * 3_600_000 - VISITS * 1_000 - 1_000);
    assert!(!rig.closed.contains_key(&stays));
    rig.advance(2_000);
    assert_eq!(rig.closed.get(&stays), Some(&Code::TokenExpired));
}
