//! Viewers: joining late, mirrors and their end, demand, slow ones, coming back.

use skein_engine::limits::MIRROR_LINGER_MS;
use skein_engine::request::ChatRequest;
use skein_wire::error::Code;
use skein_wire::ids::{Cursor, RequestNumber};
use skein_wire::request::{Delivery, Request, ShareStop, Unwatch, Watch};
use skein_wire::update::{SessionState, Update};

use crate::members::assert_changed;
use crate::peer::Peer;
use crate::rig::{LOG, Rig, chat, user};
use crate::viewer::Saw;

fn demands(rig: &mut Rig, peer: Peer) -> Vec<u32> {
    rig.take_frames(peer)
        .into_iter()
        .filter_map(|update| match update {
            Update::Demand(demand) => Some(demand.interval_ms),
            _ => None,
        })
        .collect()
}

#[test]
fn a_late_viewer_gets_one_full_batch_and_then_what_changes() {
    let mut rig = Rig::new(2).with_members();
    let (owner, other) = rig.owner_and_other();
    let sender = rig.connect(owner, "ana");
    let shared = rig.share(sender, "");
    for counter in 1..=10 {
        rig.send_point(sender, shared.share, counter);
    }
    for shard in [owner, other] {
        let viewer = rig.connect(shard, "bob");
        rig.watch_from(viewer, None, Delivery::Latest);
        assert_eq!(rig.viewer(viewer).batches, [(0, 1)]);
        assert_eq!(rig.viewer(viewer).counters(shared.session), [10]);
    }
}

#[test]
fn a_mirror_that_begins_while_points_come_misses_none() {
    let mut rig = Rig::new(2).with_members();
    let (owner, other) = rig.owner_and_other();
    let sender = rig.connect(owner, "ana");
    let shared = rig.share(sender, "");
    let viewer = rig.connect(other, "bob");
    for counter in 1..=20 {
        rig.send_only(sender, Rig::point_frame(shared.share, counter));
        if counter == 10 {
            rig.watch(viewer);
        }
    }
    rig.settle();
    assert_eq!(
        rig.viewer(viewer).counters(shared.session),
        (10..=20).collect::<Vec<_>>()
    );
}

#[test]
fn a_second_chat_of_a_followed_partition_is_read_again_where_it_was_missed() {
    let mut rig = Rig::new(2).with_members();
    let (owner, other) = rig.owner_and_other();
    let partition = rig.partition();
    let second = (0..)
        .map(|number| skein_wire::ids::ChatName::new(&format!("second-{number}")).unwrap())
        .find(|name| skein_engine::placement::partition_of(name, 4) == partition)
        .unwrap();
    for name in ["ana", "bob"] {
        rig.ask(ChatRequest::PutMember {
            chat: second.clone(),
            user: user(name),
            rights: 3,
            expected: None,
        });
    }
    let first_viewer = rig.connect(other, "bob");
    rig.watch(first_viewer);
    let sender = rig.connect(owner, "ana");
    let Request::ShareStart(mut start) = Rig::share_start("", 900) else {
        unreachable!();
    };
    start.chat = second.clone();
    rig.send(sender, Request::ShareStart(start));
    let frames = rig.take_frames(sender);
    let Some(Update::Shared(shared)) = frames
        .into_iter()
        .find(|it| matches!(it, Update::Shared(_)))
    else {
        panic!("no session");
    };
    rig.send_point(sender, shared.share, 1);
    let viewer = rig.connect(other, "bob");
    let Request::Watch(watch) = Rig::watch_frame(None, Delivery::Every) else {
        unreachable!();
    };
    rig.expect_viewer(viewer);
    rig.send_only(
        viewer,
        Request::Watch(Watch {
            chat: second,
            ..watch
        }),
    );
    // The owner makes the image; before it arrives, a point is appended and followed.
    rig.carry(other);
    rig.pass(owner);
    rig.rings_are_full = true;
    rig.send_point(sender, shared.share, 2);
    rig.rings_are_full = false;
    rig.settle();
    for counter in 3..=5 {
        rig.send_point(sender, shared.share, counter);
    }
    let counters = rig.viewer(viewer).counters(shared.session);
    assert_eq!(counters, [2, 3, 4, 5], "the full batch has the newest");
}

#[test]
fn a_mirror_that_missed_records_asks_for_all_of_it_at_once() {
    let mut rig = Rig::new(2).with_members();
    rig.put_member("cem", 3);
    let (owner, other) = rig.owner_and_other();
    let sender = rig.connect(owner, "ana");
    let live = rig.share(sender, "one");
    let stopped = rig.share(sender, "two");
    rig.send_point(sender, live.share, 1);
    let (kept, lost) = (rig.connect(other, "bob"), rig.connect(other, "cem"));
    rig.watch_from(kept, None, Delivery::Latest);
    rig.watch(lost);
    rig.deaf = Some(other);
    rig.send_point(sender, live.share, 2);
    rig.send(
        sender,
        Request::ShareStop(ShareStop {
            request: RequestNumber(9),
            share: stopped.share,
        }),
    );
    let (removal, reply) = rig.ask(ChatRequest::RemoveMember {
        chat: chat(),
        user: user("cem"),
        expected: None,
    });
    assert_eq!(reply, None, "a shard has not heard of it");
    rig.deaf = None;
    rig.overtake(other);
    assert_eq!(rig.replies.get(&removal), None, "nor has it now");
    // Nothing changes, and yet it comes to what the owner has.
    rig.settle();
    assert_eq!(rig.viewer(kept).counters(live.session), [1, 2]);
    let end = Saw::State(stopped.session, SessionState::Stopped);
    assert_eq!(rig.viewer(kept).saw.last(), Some(&end));
    let frames = rig.take_frames(lost);
    let ended = frames.iter().any(
        |update| matches!(update, Update::WatchEnded(it) if it.code == Code::MembershipRevoked),
    );
    assert!(ended, "{frames:?}");
    assert_changed(rig.replies.get(&removal), true);
    rig.send_point(sender, live.share, 3);
    assert_eq!(rig.viewer(kept).counters(live.session), [1, 2, 3]);
}

#[test]
fn records_that_come_while_a_mirror_is_renewed_are_not_missed() {
    for is_cut_again in [false, true] {
        let mut rig = Rig::new(2).with_members();
        let (owner, other) = rig.owner_and_other();
        let sender = rig.connect(owner, "ana");
        let shared = rig.share(sender, "");
        let viewer = rig.connect(other, "bob");
        rig.watch_from(viewer, None, Delivery::Latest);
        rig.deaf = Some(other);
        rig.send_point(sender, shared.share, 1);
        rig.deaf = None;
        rig.overtake(other);
        // The owner makes the image; before it arrives, a point is appended and followed.
        rig.carry(other);
        rig.pass(owner);
        rig.rings_are_full = true;
        rig.send_point(sender, shared.share, 2);
        if is_cut_again {
            rig.cut = u64::MAX;
        }
        rig.rings_are_full = false;
        rig.settle();
        assert_eq!(rig.viewer(viewer).counters(shared.session).last(), Some(&2));
    }
}

#[test]
fn a_session_that_a_mirror_has_not_followed_yet_can_be_watched() {
    let mut rig = Rig::new(2).with_members();
    let (owner, other) = rig.owner_and_other();
    let first = rig.connect(other, "bob");
    rig.watch(first);
    let sender = rig.connect(owner, "ana");
    rig.deaf = Some(other);
    let shared = rig.share(sender, "");
    let Request::Watch(mut watch) = Rig::watch_frame(None, Delivery::Every) else {
        unreachable!();
    };
    watch.session = Some(shared.session);
    let viewer = rig.connect(other, "bob");
    rig.expect_viewer(viewer);
    rig.send(viewer, Request::Watch(watch.clone()));
    assert_eq!(rig.take_refusal(viewer), None, "it waits");
    let gone = rig.connect(other, "bob");
    rig.send(gone, Request::Watch(watch.clone()));
    rig.disconnect(gone);
    rig.deaf = None;
    rig.settle();
    rig.send_point(sender, shared.share, 1);
    assert_eq!(rig.viewer(viewer).counters(shared.session), [1]);
    // One that there is not is refused, without waiting for anything.
    rig.deaf = Some(other);
    watch.session = Some(skein_wire::ids::SessionId(12_345));
    rig.send(viewer, Request::Watch(watch));
    assert_eq!(rig.take_refusal(viewer), Some(Code::NotFound));
}

#[test]
fn a_viewer_that_comes_back_gets_only_what_changed() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let sender = rig.connect(other, "ana");
    let first = rig.share(sender, "one");
    let second = rig.share(sender, "two");
    rig.send_point(sender, first.share, 1);
    rig.send_point(sender, second.share, 1);
    let viewer = rig.connect(other, "bob");
    rig.watch(viewer);
    let viewer_before = rig.viewer(viewer).clone();
    let cursor = viewer_before.cursor;
    rig.disconnect(viewer);
    rig.send_point(sender, second.share, 2);
    let back = rig.connect(other, "bob");
    let watching = rig.watch_again(back, &viewer_before);
    assert_eq!(watching.from, cursor);
    let batches = &rig.viewer(back).batches;
    assert_eq!(batches.len(), 1);
    assert!((1..=cursor).contains(&batches[0].0), "{batches:?}");
    assert_eq!(rig.viewer(back).counters(second.session), [2]);
}

#[test]
fn a_cursor_of_another_log_or_of_the_future_gets_a_full_batch() {
    let mut rig = Rig::new(2).with_members();
    let (owner, other) = rig.owner_and_other();
    let sender = rig.connect(owner, "ana");
    let shared = rig.share(sender, "");
    rig.send_point(sender, shared.share, 1);
    for (log, epoch, offset) in [(8, 1, 2), (LOG, 1, 1_000), (LOG, 9, 2)] {
        for shard in [owner, other] {
            let viewer = rig.connect(shard, "bob");
            let cursor = Cursor { log, epoch, offset };
            let watching = rig.watch_from(viewer, Some(cursor), Delivery::Latest);
            assert_eq!(watching.from, 0, "{cursor}");
        }
    }
}

#[test]
fn a_slow_viewer_catches_up_with_one_batch() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    let shared = rig.share(sender, "");
    let viewer = rig.connect(0, "bob");
    rig.watch_from(viewer, None, Delivery::Latest);
    rig.stalled.push(viewer);
    for counter in 1..=100 {
        rig.send_point(sender, shared.share, counter);
    }
    rig.stalled.clear();
    rig.shards[0].handle_writable(skein_engine::ids::ConnectionId(viewer.number));
    let before = rig.viewer(viewer).batches.len();
    rig.settle();
    assert_eq!(rig.viewer(viewer).batches.len(), before + 1);
    assert_eq!(rig.viewer(viewer).counters(shared.session), [100]);
}

#[test]
fn a_mirror_is_given_back_after_its_last_viewer() {
    let mut rig = Rig::new(2).with_members();
    let (owner, other) = rig.owner_and_other();
    let viewer = rig.connect(other, "bob");
    let watching = rig.watch(viewer);
    let partition = rig.partition();
    let owner_shard = usize::from(owner);
    assert_eq!(rig.shards[owner_shard].mirrors_of(partition).len(), 1);
    rig.send(
        viewer,
        Request::Unwatch(Unwatch {
            request: RequestNumber(5),
            chat: watching.chat,
        }),
    );
    rig.advance(MIRROR_LINGER_MS - 1);
    assert_eq!(rig.shards[owner_shard].mirrors_of(partition).len(), 1);
    rig.advance(1);
    assert_eq!(rig.shards[owner_shard].mirrors_of(partition).len(), 0);
    let stats = rig.shards[usize::from(other)].stats();
    assert_eq!(stats.chats_mirrored, 0);
    // And it begins anew.
    let sender = rig.connect(owner, "ana");
    let shared = rig.share(sender, "");
    rig.send_point(sender, shared.share, 1);
    rig.watch(viewer);
    assert_eq!(rig.viewer(viewer).counters(shared.session), [1]);
}

#[test]
fn senders_are_told_how_often_it_is_worth_it() {
    let mut rig = Rig::new(2).with_members();
    let (owner, other) = rig.owner_and_other();
    let sender = rig.connect(owner, "ana");
    rig.send(sender, Rig::share_start("", 900));
    assert_eq!(demands(&mut rig, sender), [0], "nobody watches");
    let viewer = rig.connect(other, "bob");
    let Request::Watch(mut watch) = Rig::watch_frame(None, Delivery::Latest) else {
        unreachable!();
    };
    watch.interval_ms = 4_000;
    rig.expect_viewer(viewer);
    rig.send(viewer, Request::Watch(watch));
    rig.advance(2_000);
    assert_eq!(demands(&mut rig, sender), [5_000]);
    let eager = rig.connect(owner, "bob");
    rig.watch(eager);
    rig.advance(2_000);
    assert_eq!(demands(&mut rig, sender), [1_000]);
    rig.disconnect(eager);
    rig.disconnect(viewer);
    rig.advance(2_000);
    let told = demands(&mut rig, sender);
    assert_eq!(told.last(), Some(&0), "{told:?}");
}

#[test]
fn demand_is_told_at_most_once_a_second() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    rig.share(sender, "");
    rig.take_frames(sender);
    for _ in 0..20 {
        let viewer = rig.connect(0, "bob");
        rig.watch(viewer);
        rig.advance(50);
        rig.disconnect(viewer);
        rig.advance(50);
    }
    rig.advance(1_000);
    let told = demands(&mut rig, sender);
    assert!(told.len() <= 4, "{told:?}");
    assert_eq!(told.last(), Some(&0));
}

#[test]
fn a_watch_of_one_session_shows_that_one() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let sender = rig.connect(other, "ana");
    let first = rig.share(sender, "one");
    let second = rig.share(sender, "two");
    let viewer = rig.connect(other, "bob");
    let Request::Watch(mut watch) = Rig::watch_frame(None, Delivery::Latest) else {
        unreachable!();
    };
    watch.session = Some(second.session);
    rig.expect_viewer(viewer);
    rig.send(viewer, Request::Watch(watch.clone()));
    rig.send_point(sender, first.share, 1);
    rig.send_point(sender, second.share, 1);
    assert_eq!(rig.viewer(viewer).shown(), [second.session]);
    watch.session = Some(skein_wire::ids::SessionId(12_345));
    rig.send(viewer, Request::Watch(watch));
    assert_eq!(rig.take_refusal(viewer), Some(Code::NotFound));
}
