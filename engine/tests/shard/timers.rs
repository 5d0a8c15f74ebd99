//! Timers: what happens often leaves one behind, and it fires when it has to.

use skein_engine::limits::MIRROR_LINGER_MS;
use skein_wire::ids::{ChatHandle, RequestNumber};
use skein_wire::request::{Delivery, Request, ShareStop, Unwatch, Watch};

use crate::peer::Peer;
use crate::rig::{Rig, chat};

/// How often each thing happens.
const TIMES: u64 = 50;

fn timers(rig: &mut Rig, shard: u16) -> u64 {
    rig.settle();
    rig.shards[usize::from(shard)].stats().timers
}

fn unwatch(rig: &mut Rig, peer: Peer, chat: ChatHandle) {
    let request = RequestNumber(9);
    rig.send(peer, Request::Unwatch(Unwatch { request, chat }));
}

#[test]
fn a_mirror_that_viewers_leave_again_and_again_has_one_timer_and_lingers_after_the_last() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let viewer = rig.connect(other, "bob");
    let come_and_go = |rig: &mut Rig| {
        let watching = rig.watch(viewer);
        unwatch(rig, viewer, watching.chat);
    };
    // The demand is told anew once a second, and has a timer meanwhile.
    come_and_go(&mut rig);
    rig.advance(1_100);
    let before = timers(&mut rig, other);
    for _ in 0..TIMES {
        come_and_go(&mut rig);
        rig.advance(1_100 * MIRROR_LINGER_MS / TIMES / 2_000);
    }
    assert!(timers(&mut rig, other) <= before + 1);

    let mirrored = |rig: &Rig| rig.shards[usize::from(other)].stats().chats_mirrored;
    come_and_go(&mut rig);
    rig.advance(MIRROR_LINGER_MS - 1);
    assert_eq!(mirrored(&rig), 1);
    rig.advance(1);
    assert_eq!(mirrored(&rig), 0);
}

#[test]
fn wishes_that_change_within_a_second_have_one_timer_and_the_last_is_told() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    rig.share(sender, "");
    let viewer = rig.connect(0, "bob");
    rig.expect_viewer(viewer);
    let wish = |rig: &mut Rig, interval_ms| {
        let watch = Watch {
            request: RequestNumber(2),
            chat: chat(),
            session: None,
            view: None,
            cursor: None,
            delivery: Delivery::Latest,
            trail: 0,
            interval_ms,
        };
        rig.send(viewer, Request::Watch(watch));
    };
    wish(&mut rig, 1_000);
    let before = timers(&mut rig, 0);
    for _ in 0..TIMES {
        wish(&mut rig, 2_000);
        wish(&mut rig, 5_000);
    }
    assert!(timers(&mut rig, 0) <= before + 1);
    for last_ms in [5_000, 2_000, 1_000] {
        wish(&mut rig, last_ms);
        rig.take_frames(sender);
        wish(&mut rig, 30_000);
        rig.advance(1_000);
        let told = rig.told_demand(sender);
        assert_eq!(told, Some(30_000), "after {last_ms}");
        rig.advance(1_000);
    }
}

#[test]
fn a_chat_whose_ended_sessions_are_given_back_again_and_again_has_one_timer_for_them() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    for _ in 0..TIMES {
        let share = rig.share(sender, "").share;
        let request = RequestNumber(9);
        rig.send(sender, Request::ShareStop(ShareStop { request, share }));
        rig.take_frames(sender);
        rig.shards[0].forget_sessions(&chat(), None);
        rig.advance(1_000);
    }
    // The times of the sessions are over, those of what is remembered of their ends are not.
    rig.advance(900_000);
    let left = timers(&mut rig, 0);
    assert!(left < TIMES / 2, "{left} timers");
}
