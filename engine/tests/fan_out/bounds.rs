//! What a pass may look at, counted in steps and not in time.

use std::collections::HashSet;

use skein_engine::batch_builder::Scope;
use skein_engine::fan_out::WatchSpec;
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_engine::sink::Offer;
use skein_wire::ids::{ChatHandle, SessionId};
use skein_wire::request::Delivery;

use crate::rig::{CHAT, EPOCH, Rig, spec};

/// Viewers that one pass looks at.
const VIEWERS_PER_PASS: usize = 1_024;

/// Scopes that are looked at for the price of a viewer.
const SCOPES_PER_VIEWER: usize = 8;

/// A chat with so many viewers that have everything.
fn settled(viewers: u64) -> (Rig, Vec<ViewerId>) {
    let mut rig = Rig::with_sessions(2);
    let ids = (0..viewers).map(|it| rig.watch(CHAT, it)).collect();
    rig.pass_all();
    rig.wait(10_000);
    (rig, ids)
}

#[test]
fn a_new_epoch_of_a_very_large_chat_is_told_in_bounded_passes() {
    let (mut rig, ids) = settled(5_000);
    let before = rig.offset;
    rig.tables.get_mut(&CHAT).unwrap().set_epoch(EPOCH + 1);
    rig.point(CHAT, 0, 2);
    let mut untouched = ids.len();
    loop {
        let report = rig.pass();
        let of_before = |id: &&ViewerId| rig.fan_out.cursor_of(**id) == Some(before);
        let now = ids.iter().filter(of_before).count();
        assert!(
            untouched - now <= VIEWERS_PER_PASS,
            "{untouched}, then {now}"
        );
        untouched = now;
        if !report.more {
            break;
        }
    }
    assert_eq!(untouched, 0);
    let offers = &rig.sink.offers;
    assert_eq!(offers.len(), ids.len());
    assert!(offers.iter().all(|(_, _, batch)| batch.from() == 0));
}

/// A relay's upstream has started again: every chat has another epoch.
#[test]
fn new_epochs_of_many_chats_cost_each_its_own_viewers() {
    const CHATS: u32 = 200;
    const VIEWERS: u64 = 10;
    let mut rig = Rig::new();
    for chat in 1..=CHATS {
        rig.start(ChatHandle(chat), u64::from(chat));
        for viewer in 0..VIEWERS {
            rig.watch(ChatHandle(chat), u64::from(chat) * VIEWERS + viewer);
        }
    }
    rig.pass_all();
    rig.wait(10_000);
    for chat in 1..=CHATS {
        let chat = ChatHandle(chat);
        rig.tables.get_mut(&chat).unwrap().set_epoch(EPOCH + 1);
        rig.fan_out.mark_changed(chat);
    }
    let mut steps = 0;
    rig.sink.offers.clear();
    loop {
        let report = rig.pass();
        steps += report.steps;
        if !report.more {
            break;
        }
    }
    let served: HashSet<ConnectionId> = rig.sink.offers.iter().map(|it| it.0).collect();
    assert_eq!(served.len() as u64, u64::from(CHATS) * VIEWERS);
    // Each viewer once, and the places for kinds of watches.
    assert!(steps < 2 * u64::from(CHATS) * VIEWERS, "{steps} steps");
}

#[test]
fn who_resumes_in_a_new_epoch_keeps_its_cursor() {
    let (mut rig, _) = settled(1);
    rig.tables.get_mut(&CHAT).unwrap().set_epoch(EPOCH + 1);
    rig.point(CHAT, 0, 2);
    let cursor = rig.offset - 1;
    rig.watch_from(CHAT, 7, cursor);
    let offers = rig.pass_all();
    let from = |connection| {
        let offer = offers.iter().find(|it| it.0 == ConnectionId(connection));
        offer.unwrap().2.from()
    };
    assert_eq!(from(0), 0, "it was served in the old epoch");
    assert_eq!(from(7), cursor);
}

/// Each viewer of one session is a kind of its own.
#[test]
fn heads_among_very_many_kinds_of_watches_are_looked_for_in_bounded_passes() {
    const KINDS: u64 = 10_000;
    let mut rig = Rig::with_sessions(1);
    let watch_one = |rig: &mut Rig, session: u64| {
        let scope = Scope {
            session: Some(SessionId(session)),
            ..Scope::whole(Delivery::Latest)
        };
        let spec = WatchSpec {
            scope,
            ..spec(CHAT, session)
        };
        rig.fan_out.register(&spec, &rig.tables[&CHAT]);
    };
    (1..KINDS).for_each(|session| watch_one(&mut rig, session));
    rig.pass_all();
    // Only the last one gets datagrams, and so is told heads.
    rig.sink.offer = Some(Offer::Datagram);
    watch_one(&mut rig, KINDS);
    assert_eq!(rig.pass_all().len(), 1);
    let begun = rig.now;
    let mut told = Vec::new();
    let mut cut_off = 0;
    while let Some(due) = rig.fan_out.poll_timeout() {
        rig.now = rig.now.max(due);
        let report = rig.pass();
        let most = (VIEWERS_PER_PASS * SCOPES_PER_VIEWER) as u64;
        assert!(report.steps <= most, "{} steps", report.steps);
        cut_off += u32::from(report.more);
        told.extend(rig.sink.heads.drain(..).map(|_| rig.now.since_ms(begun)));
    }
    assert_eq!(told, [500, 1_000, 2_500]);
    assert!(cut_off >= 3, "each search took more than a pass");
}

/// A change of one session passes by all the others.
#[test]
fn a_walk_past_very_many_kinds_of_watches_is_cut_off() {
    const KINDS: u64 = 10_000;
    let mut rig = Rig::with_sessions(2);
    for session in 1..=KINDS {
        let scope = Scope {
            session: Some(SessionId(session)),
            ..Scope::whole(Delivery::Latest)
        };
        let spec = WatchSpec {
            scope,
            ..spec(CHAT, session)
        };
        rig.fan_out.register(&spec, &rig.tables[&CHAT]);
    }
    rig.pass_all();
    rig.wait(10_000);
    rig.point(CHAT, 1, 2);
    rig.sink.offers.clear();
    let report = rig.pass();
    assert!(report.more);
    assert!(report.steps <= (VIEWERS_PER_PASS * SCOPES_PER_VIEWER) as u64);
    while rig.pass().more {}
    assert_eq!(rig.sink.offers.len(), 1);
}
