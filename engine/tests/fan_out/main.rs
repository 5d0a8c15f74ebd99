//! Scenarios of the fan-out, each named by what could go wrong.

mod bounds;
mod pace;
mod rig;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{HashMap, HashSet};

use rig::{CHAT, EPOCH, Rig, spec};
use skein_engine::batch_builder::Scope;
use skein_engine::fan_out::{BATCHES_PER_SCOPE_MAX, VIEWER_BYTES_MAX, WatchSpec};
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_engine::journal::Entry;
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::Offer;
use skein_wire::ids::{Cell, ChatHandle, SessionId};
use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
use skein_wire::request::{CursorReport, Delivery};
use skein_wire::update::SessionState;
use support::{Known, Viewer};

const OTHER: ChatHandle = ChatHandle(2);

fn report(epoch: u32, offset: u64) -> CursorReport {
    CursorReport {
        chat: CHAT,
        cell: Cell(0),
        epoch,
        offset,
    }
}

#[test]
fn viewers_at_the_same_cursor_share_the_same_bytes() {
    let mut rig = Rig::with_sessions(10);
    for connection in 0..100 {
        rig.watch(CHAT, connection);
    }
    for round in 2..5 {
        let offers = rig.pass_all();
        assert_eq!(offers.len(), 100);
        let distinct: HashSet<*const u8> = offers
            .iter()
            .map(|(_, _, batch)| batch.websocket().as_ptr())
            .collect();
        assert_eq!(distinct.len(), 1);
        rig.wait(1_000);
        rig.point(CHAT, 3, round);
    }
}

#[test]
fn a_full_batch_has_every_live_session_once_and_no_ended_one() {
    let mut rig = Rig::with_sessions(10);
    let session = SessionId(4);
    rig.record(
        CHAT,
        &Entry::Ended {
            session,
            state: SessionState::Stopped,
            at_ms: 1,
        },
    );
    rig.watch(CHAT, 1);
    let offers = rig.pass_all();
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].2.from(), 0);
    let mut viewer = Viewer::new(CHAT, EPOCH, 0);
    viewer.receive(offers[0].2.frames());
    assert_eq!(viewer.sessions.len(), 9);
    assert!(!viewer.sessions.contains_key(&session));
    assert!(viewer.sessions.values().all(|known| known.shown.is_some()));
    let named = |(id, known): (&SessionId, &Known)| known.user.as_str() == format!("user-{}", id.0);
    assert!(viewer.sessions.iter().all(named));
}

#[test]
fn however_far_apart_viewers_are_few_batches_are_built() {
    let mut rig = Rig::with_sessions(50);
    // Many walks, so that there are many cursors.
    rig.watch(CHAT, 0);
    for round in 2..200 {
        rig.point(CHAT, round % 50, round);
        rig.wait(10);
        rig.pass_all();
    }
    for cursor in 0..rig.offset {
        rig.watch_from(CHAT, 1 + cursor, cursor);
    }
    rig.point(CHAT, 7, 1_000);
    rig.wait(1_000);
    let mut built = 0;
    loop {
        let report = rig.pass();
        built += report.batches as usize;
        if !report.more {
            break;
        }
    }
    assert!(built > 2, "{built} batches");
    assert!(built <= BATCHES_PER_SCOPE_MAX, "{built} batches");
}

/// A chat of 50 sessions that move one after the other in 300 walks, seen by one viewer; where the
/// walks ended.
fn many_walks() -> (Rig, Vec<u64>) {
    let mut rig = Rig::with_sessions(50);
    rig.watch(CHAT, 0);
    let walk = |round| {
        rig.point(CHAT, round % 50, round);
        rig.wait(10);
        rig.pass_all();
        rig.offset
    };
    let ends = (2..302).map(walk).collect();
    (rig, ends)
}

#[test]
fn who_was_away_for_a_hundred_walks_gets_only_what_changed() {
    let mut rig = Rig::with_sessions(50);
    rig.watch(CHAT, 0);
    rig.pass_all();
    let cursor = rig.offset;
    for counter in 2..152 {
        rig.point(CHAT, 7, counter);
        rig.wait(10);
        rig.pass_all();
    }
    // Nothing changes when it is back: it is served without a walk, and with the next one.
    for connection in 1..3 {
        rig.watch_from(CHAT, connection, cursor);
        let offers = rig.pass_all();
        let (_, _, batch) = &offers[0];
        assert_eq!(batch.from(), cursor);
        let batch = decode(batch);
        assert_eq!(batch.entries.len(), 1, "one session has moved");
        rig.watch_from(CHAT, 10 + connection, cursor);
        rig.point(CHAT, 7, 1_000 + connection);
    }
    let offers = rig.pass_all();
    let returned = offers.iter().find(|(to, _, _)| *to == ConnectionId(12));
    assert_eq!(returned.unwrap().2.from(), cursor);
}

#[test]
fn a_crowd_that_returns_shares_one_batch_from_its_smallest_cursor() {
    let (mut rig, ends) = many_walks();
    // More than one slice serves, so that walks begin in between.
    for connection in 0..600 {
        let walk = 40 + connection as usize * 37 % 100;
        rig.watch_from(CHAT, 1 + connection, ends[walk]);
    }
    let smallest = ends[40];
    rig.sink.offers.clear();
    let mut built = 0;
    loop {
        let report = rig.pass();
        built += report.batches;
        if !report.more {
            break;
        }
    }
    assert_eq!(built, 1);
    assert_eq!(rig.sink.offers.len(), 600);
    assert!(rig.sink.offers.iter().all(|o| o.2.from() == smallest));
}

#[test]
fn a_crowd_that_is_served_in_several_walks_never_falls_back_to_the_horizon() {
    let (mut rig, ends) = many_walks();
    for connection in 0..3_000 {
        let walk = 40 + connection as usize * 37 % 100;
        rig.watch_from(CHAT, 1 + connection, ends[walk]);
    }
    rig.sink.offers.clear();
    // A walk a pass, and every pass serves a part of the crowd.
    for counter in 1_000..1_008 {
        rig.point(CHAT, 3, counter);
        rig.wait(1_000);
        let report = rig.pass();
        assert!(report.batches as usize <= 4 * BATCHES_PER_SCOPE_MAX);
    }
    let offers = &rig.sink.offers;
    let served: HashSet<ConnectionId> = offers.iter().map(|(to, _, _)| *to).collect();
    assert_eq!(served.len(), 3_001);
    for (to, _, batch) in offers {
        assert!(batch.from() >= ends[40], "{to:?} from {}", batch.from());
    }
}

#[test]
fn who_complains_after_a_hundred_walks_gets_only_what_changed() {
    let (mut rig, ends) = many_walks();
    let viewer = rig.watch_from(CHAT, 1, rig.offset);
    rig.pass_all();
    let report = report(EPOCH, ends[150]);
    rig.fan_out.complain(viewer, &report, &rig.tables[&CHAT]);
    let offers = rig.pass_all();
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].2.from(), ends[150]);
}

#[test]
fn viewers_of_a_quiet_session_get_nothing_twice_when_it_moves_again() {
    let mut rig = Rig::with_sessions(50);
    let scope = Scope {
        session: Some(SessionId(3)),
        ..Scope::whole(Delivery::Every)
    };
    for connection in 0..10 {
        let spec = WatchSpec {
            scope,
            ..spec(CHAT, connection)
        };
        rig.fan_out.register(&spec, &rig.tables[&CHAT]);
    }
    rig.pass_all();
    let cursor = rig.offset;
    rig.watch(CHAT, 100);
    for counter in 2..152 {
        rig.point(CHAT, 7, counter);
        rig.wait(10);
        rig.pass_all();
    }
    rig.point(CHAT, 3, 2);
    rig.wait(10);
    let offers = rig.pass_all();
    let of_one = offers.iter().filter(|o| o.0 != ConnectionId(100));
    let froms: Vec<u64> = of_one.map(|o| o.2.from()).collect();
    assert_eq!(froms, [cursor; 10]);
}

#[test]
fn a_quiet_chats_change_goes_out_at_once_and_the_next_one_waits_for_the_floor() {
    let mut rig = Rig::with_sessions(1_000);
    for connection in 0..1_000 {
        rig.watch(CHAT, connection);
    }
    rig.pass_all();
    rig.wait(10_000);
    rig.point(CHAT, 1, 2);
    assert_eq!(rig.timeout_ms(), Some(0));
    assert_eq!(rig.pass_all().len(), 1_000);
    // 1,000 viewers of 1,000 rows: about a tenth of a second.
    rig.point(CHAT, 1, 3);
    assert_eq!(rig.pass_all().len(), 0);
    let floor_ms = rig.timeout_ms().unwrap();
    assert!((50..200).contains(&floor_ms), "{floor_ms}");
    rig.wait(floor_ms - 1);
    assert_eq!(rig.pass_all().len(), 0);
    rig.wait(1);
    assert_eq!(rig.pass_all().len(), 1_000);
}

#[test]
fn an_idle_shard_asks_for_no_wake_up() {
    let mut rig = Rig::with_sessions(100);
    for connection in 0..100 {
        rig.watch(CHAT, connection);
    }
    rig.pass_all();
    // Batches kept for joiners are given back, and then nothing is left to do.
    let mut wake_ups = 0;
    while let Some(due) = rig.fan_out.poll_timeout() {
        rig.now = rig.now.max(due);
        assert_eq!(rig.pass_all().len(), 0);
        wake_ups += 1;
        assert!(wake_ups < 3, "still asking at {}", rig.now);
    }
}

#[test]
fn a_very_large_chat_does_not_delay_another() {
    let mut rig = Rig::with_sessions(1);
    for connection in 0..20_000 {
        rig.watch(CHAT, connection);
    }
    rig.start(OTHER, 900);
    rig.pass_all();
    rig.watch(OTHER, 50_000);
    rig.pass_all();
    rig.wait(10_000);
    rig.point(CHAT, 0, 2);
    rig.point(OTHER, 900, 1);
    rig.sink.offers.clear();
    let report = rig.pass();
    assert!(report.more);
    assert!(
        report.sent <= 2_000,
        "a bounded share of work: {}",
        report.sent
    );
    let other = rig
        .sink
        .offers
        .iter()
        .any(|(connection, ..)| *connection == ConnectionId(50_000));
    assert!(other, "the small chat had its turn in the first pass");
    // And everybody of the large one is served in the end, each once.
    let mut served: Vec<ConnectionId> = rig.sink.offers.iter().map(|(it, ..)| *it).collect();
    served.extend(rig.pass_all().iter().map(|(connection, ..)| *connection));
    served.sort_unstable();
    assert_eq!(served.len(), 20_001);
    served.dedup();
    assert_eq!(served.len(), 20_001);
}

#[test]
fn walks_begin_at_another_viewer_each_time() {
    let mut rig = Rig::with_sessions(1);
    for connection in 0..10 {
        rig.watch(CHAT, connection);
    }
    rig.pass_all();
    let mut first = HashSet::new();
    for counter in 2..12 {
        rig.wait(100);
        rig.point(CHAT, 0, counter);
        first.insert(rig.pass_all()[0].0);
    }
    assert!(first.len() > 4, "{first:?}");
}

#[test]
fn a_full_viewer_costs_nothing_and_then_gets_one_conflated_batch() {
    let mut rig = Rig::with_sessions(20);
    let slow = rig.watch(CHAT, 1);
    rig.pass_all();
    rig.sink.offer = Some(Offer::Full);
    rig.wait(100);
    rig.point(CHAT, 0, 2);
    assert_eq!(rig.pass_all().len(), 1);
    let bytes = rig.tables[&CHAT].bytes();
    for counter in 3..500 {
        rig.wait(100);
        for session in 0..20 {
            rig.point(CHAT, session, counter);
        }
        assert_eq!(
            rig.pass_all().len(),
            0,
            "nothing is offered to a full viewer"
        );
    }
    // Trails are bounded; nothing else may have grown.
    let trails: usize = rig.tables[&CHAT]
        .rows()
        .map(|row| row.trail().bytes())
        .sum();
    assert!(rig.tables[&CHAT].bytes() <= bytes + trails);
    rig.sink.offer = None;
    rig.fan_out.writable(slow);
    let offers = rig.pass_all();
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].2.to(), rig.offset);
    assert_eq!(rig.fan_out.cursor_of(slow), Some(rig.offset));
    let mut viewer = Viewer::new(CHAT, EPOCH, offers[0].2.from());
    viewer.cursor = offers[0].2.from();
    // Every session's newest point, once.
    let batch = decode(&offers[0].2);
    assert_eq!(batch.entries.len(), 20);
    assert!(batch.entries.iter().all(|entry| entry.earlier.is_empty()));
}

#[test]
fn nothing_follows_an_open_stream() {
    let mut rig = Rig::with_sessions(3);
    let viewer = rig.watch(CHAT, 1);
    rig.sink.offer = Some(Offer::Streaming);
    assert_eq!(rig.pass_all().len(), 1);
    assert_eq!(rig.fan_out.cursor_of(viewer), Some(0));
    let to = rig.offset;
    rig.wait(1_000);
    rig.point(CHAT, 0, 2);
    assert_eq!(rig.pass_all().len(), 0);
    // A complaint is about what is on its way.
    let table = &rig.tables[&CHAT];
    rig.fan_out.complain(viewer, &report(EPOCH, 0), table);
    rig.fan_out.writable(viewer);
    assert_eq!(rig.pass_all().len(), 0);
    rig.sink.offer = None;
    rig.fan_out.stream_done(viewer);
    assert_eq!(rig.fan_out.cursor_of(viewer), Some(to));
    let offers = rig.pass_all();
    assert_eq!(offers.len(), 1);
    assert!(offers[0].2.from() > 0 && offers[0].2.from() <= to);
    assert_eq!(offers[0].2.to(), rig.offset);
}

#[test]
fn the_head_is_told_three_times_after_datagrams_and_never_again() {
    let mut rig = Rig::with_sessions(2);
    rig.watch(CHAT, 1);
    rig.sink.offer = Some(Offer::Datagram);
    rig.pass_all();
    rig.wait(400);
    rig.point(CHAT, 0, 2);
    rig.pass_all();
    let mut told = Vec::new();
    let last = rig.now;
    while let Some(due) = rig.fan_out.poll_timeout() {
        rig.now = rig.now.max(due);
        rig.pass_all();
        told.extend(rig.sink.heads.drain(..).map(|_| rig.now.since_ms(last)));
    }
    assert_eq!(told, [500, 1_000, 2_500]);
    // The frame says where the viewer should be.
    rig.point(CHAT, 0, 3);
    rig.pass_all();
    rig.wait(500);
    rig.pass_all();
    let mut viewer = Viewer::new(CHAT, EPOCH, rig.offset);
    viewer.receive(rig.sink.heads[0].1.clone());
    assert!(!viewer.gap, "the head is what the last batch brought");
    viewer.cursor -= 1;
    viewer.receive(rig.sink.heads[0].1.clone());
    assert!(viewer.gap);
}

#[test]
fn viewers_on_ordered_transports_are_told_no_heads() {
    let mut rig = Rig::with_sessions(2);
    rig.watch(CHAT, 1);
    rig.pass_all();
    for _ in 0..10 {
        rig.wait(1_000);
        rig.pass_all();
    }
    assert!(rig.sink.heads.is_empty());
}

#[test]
fn a_complaint_lowers_the_cursor_and_nonsense_begins_anew() {
    let mut rig = Rig::with_sessions(3);
    let viewer = rig.watch(CHAT, 1);
    rig.sink.offer = Some(Offer::Datagram);
    rig.pass_all();
    let first = rig.offset;
    rig.wait(1_000);
    rig.point(CHAT, 0, 2);
    rig.pass_all();
    let complain = |rig: &mut Rig, epoch, offset| {
        let table = &rig.tables[&CHAT];
        rig.fan_out.complain(viewer, &report(epoch, offset), table);
        rig.fan_out.cursor_of(viewer).unwrap()
    };
    // It never moves forward.
    let head = rig.offset;
    assert_eq!(complain(&mut rig, EPOCH, head), head);
    assert_eq!(rig.pass_all().len(), 0);
    // It lost the last one.
    assert_eq!(complain(&mut rig, EPOCH, first), first);
    let offers = rig.pass_all();
    assert_eq!(offers.len(), 1);
    assert!(offers[0].2.from() <= first && offers[0].2.from() > 0);
    // The future, another epoch: everything.
    assert_eq!(complain(&mut rig, EPOCH, head + 1), 0);
    assert_eq!(rig.pass_all()[0].2.from(), 0);
    assert_eq!(complain(&mut rig, EPOCH + 1, first), 0);
    assert_eq!(rig.pass_all()[0].2.from(), 0);
}

#[test]
fn a_wanted_interval_is_kept() {
    let mut rig = Rig::with_sessions(1);
    let spec = WatchSpec {
        interval_ms: 1_000,
        ..spec(CHAT, 1)
    };
    rig.fan_out.register(&spec, &rig.tables[&CHAT]);
    assert_eq!(rig.fan_out.interval_ms_min(CHAT), Some(1_000));
    rig.pass_all();
    let mut at = Vec::new();
    let begin = rig.now;
    for counter in 2..50 {
        rig.wait(100);
        rig.point(CHAT, 0, counter);
        if !rig.pass_all().is_empty() {
            at.push(rig.now.since_ms(begin));
        }
    }
    assert_eq!(at, [1_000, 2_000, 3_000, 4_000]);
}

/// A batch is built for each beat of an interval, not for each change.
#[test]
fn viewers_with_the_same_interval_share_batches() {
    let mut rig = Rig::with_sessions(1);
    let (mut offers, mut batches) = (0, 0);
    for step in 0..650 {
        if step < 50 {
            let spec = WatchSpec {
                interval_ms: 1_000,
                ..spec(CHAT, step)
            };
            rig.fan_out.register(&spec, &rig.tables[&CHAT]);
        }
        rig.wait(20);
        rig.point(CHAT, 0, 2 + step);
        let taken = rig.pass_all();
        if step >= 150 {
            let bytes = taken.iter().map(|(_, _, batch)| batch.websocket().as_ptr());
            batches += bytes.collect::<HashSet<_>>().len();
            offers += taken.len();
        }
    }
    assert_eq!(offers, 10 * 50);
    assert!(batches <= 10 * 4, "{batches} batches");
}

#[test]
fn a_viewer_that_left_is_served_no_more_and_its_id_is_dead() {
    let mut rig = Rig::with_sessions(1);
    let gone = rig.watch(CHAT, 1);
    rig.pass_all();
    rig.fan_out.remove(gone);
    assert_eq!(rig.fan_out.viewers_of(CHAT), 0);
    let newcomer = rig.watch(CHAT, 2);
    assert_eq!(gone.index, newcomer.index);
    rig.fan_out.stream_done(gone);
    rig.fan_out.writable(gone);
    rig.fan_out.remove(gone);
    assert_eq!(rig.fan_out.viewers_of(CHAT), 1);
    let offers = rig.pass_all();
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].0, ConnectionId(2));
}

#[test]
fn a_new_epoch_begins_anew_for_everybody() {
    let mut rig = Rig::with_sessions(2);
    for connection in 0..3 {
        rig.watch(CHAT, connection);
    }
    rig.pass_all();
    rig.wait(1_000);
    rig.tables.get_mut(&CHAT).unwrap().set_epoch(EPOCH + 1);
    rig.point(CHAT, 0, 2);
    let offers = rig.pass_all();
    assert_eq!(offers.len(), 3);
    assert!(offers.iter().all(|(_, _, batch)| batch.from() == 0));
    assert_eq!(decode(&offers[0].2).header.epoch, EPOCH + 1);
}

#[test]
fn a_batch_larger_than_a_frame_comes_in_pages() {
    let mut rig = Rig::with_sessions(5_000);
    rig.watch(CHAT, 1);
    let offers = rig.pass_all();
    let batch = &offers[0].2;
    assert!(batch.frame_count() > 2);
    assert!(batch.frames_len() > 2 * SERVER_FRAME_BYTES_MAX);
    let mut viewer = Viewer::new(CHAT, EPOCH, 0);
    viewer.receive(batch.frames());
    assert_eq!(viewer.applied, 1);
    assert_eq!(viewer.sessions.len(), 5_000);
    assert_eq!(viewer.cursor, rig.offset);
}

#[test]
fn a_joiner_gets_the_trail_it_asked_for() {
    let mut rig = Rig::with_sessions(1);
    for counter in 2..=20 {
        rig.point(CHAT, 0, counter);
    }
    for (trail, delivery) in [(3, Delivery::Latest), (5, Delivery::Every)] {
        let scope = Scope::whole(delivery);
        let spec = WatchSpec {
            trail,
            scope,
            ..spec(CHAT, 1)
        };
        rig.fan_out.register(&spec, &rig.tables[&CHAT]);
        let offers = rig.pass_all();
        let batch = decode(&offers[0].2);
        assert_eq!(batch.entries.len(), 1);
        let rounded = usize::from(trail).next_power_of_two().max(4);
        assert_eq!(batch.entries[0].earlier.len(), rounded);
        // The next one is a change like any other.
        rig.wait(1_000);
        rig.point(CHAT, 0, 20 + u64::from(trail));
        let offers = rig.pass_all();
        let last = decode(&offers.last().unwrap().2);
        assert!(last.entries[0].earlier.len() <= 1);
        rig.wait(1_000);
    }
}

#[test]
fn a_viewer_of_one_session_hears_of_no_other() {
    let mut rig = Rig::with_sessions(3);
    let scope = Scope {
        session: Some(SessionId(1)),
        ..Scope::whole(Delivery::Latest)
    };
    let spec = WatchSpec {
        scope,
        ..spec(CHAT, 1)
    };
    rig.fan_out.register(&spec, &rig.tables[&CHAT]);
    assert_eq!(decode(&rig.pass_all()[0].2).entries.len(), 1);
    rig.wait(1_000);
    rig.point(CHAT, 0, 2);
    assert_eq!(rig.pass_all().len(), 0);
    rig.point(CHAT, 1, 2);
    assert_eq!(decode(&rig.pass_all()[0].2).entries.len(), 1);
}

/// Their batches are more than a chat usually has, and are found by their keys.
#[test]
fn viewers_of_many_sessions_share_with_their_like_and_with_nobody_else() {
    // Enough bytes that they are kept for who joins.
    const SESSIONS: u64 = 100;
    let mut rig = Rig::with_sessions(SESSIONS);
    let of_one = |rig: &mut Rig, connection: u64| {
        let scope = Scope {
            session: Some(SessionId(connection % SESSIONS)),
            ..Scope::whole(Delivery::Latest)
        };
        let spec = WatchSpec {
            scope,
            ..spec(CHAT, connection)
        };
        rig.fan_out.register(&spec, &rig.tables[&CHAT])
    };
    let ids: Vec<_> = (0..3 * SESSIONS).map(|it| of_one(&mut rig, it)).collect();
    let check = |offers: Vec<(ConnectionId, ViewerId, SharedBatch)>, viewers: usize| {
        assert_eq!(offers.len(), viewers);
        let mut bytes = HashMap::new();
        for (ConnectionId(connection), _, batch) in offers {
            let session = connection % SESSIONS;
            let entries = decode(&batch).entries;
            let slots: Vec<_> = entries
                .iter()
                .map(|entry| u64::from(entry.slot.0))
                .collect();
            assert_eq!(slots, [session], "sessions have their slots in order");
            let first = *bytes.entry(session).or_insert(batch.websocket().as_ptr());
            assert_eq!(first, batch.websocket().as_ptr(), "they share one batch");
        }
    };
    check(rig.pass_all(), ids.len());
    // Some scopes go, and with them their batches.
    let gone = |id: &&ViewerId| (id.index % SESSIONS as u32).is_multiple_of(3);
    ids.iter()
        .filter(gone)
        .for_each(|id| rig.fan_out.remove(*id));
    let joined = (0..SESSIONS).filter(|it| it % 3 != 0);
    let joined: Vec<_> = joined.map(|it| of_one(&mut rig, it)).collect();
    check(rig.pass_all(), joined.len());
    let left = joined.len() + ids.iter().filter(|id| !gone(id)).count();
    rig.wait(1_000);
    (0..SESSIONS).for_each(|session| rig.point(CHAT, session, 2));
    check(rig.pass_all(), left);
    of_one(&mut rig, 1);
    check(rig.pass_all(), 1);
}

#[test]
fn an_interval_of_weeks_counts_as_ten_minutes() {
    let mut rig = Rig::with_sessions(1);
    let spec = WatchSpec {
        interval_ms: u32::MAX,
        ..spec(CHAT, 1)
    };
    rig.fan_out.register(&spec, &rig.tables[&CHAT]);
    assert_eq!(rig.fan_out.interval_ms_min(CHAT), Some(600_000));
}

#[test]
fn a_flood_of_joiners_is_served_from_one_encoding() {
    let mut rig = Rig::with_sessions(1_000);
    for connection in 0..200 {
        rig.watch(CHAT, connection);
    }
    rig.pass_all();
    rig.wait(10_000);
    rig.point(CHAT, 0, 2);
    rig.pass_all();
    // Points go on while they join, within one floor interval.
    let mut built = 0;
    for connection in 0..50 {
        rig.point(CHAT, connection, 3);
        rig.watch(CHAT, 1_000 + connection);
        built += rig.pass().batches;
    }
    assert_eq!(built, 1);
}

#[test]
fn a_viewer_is_a_cache_line() {
    assert_eq!(VIEWER_BYTES_MAX, 64);
}

fn decode(batch: &SharedBatch) -> skein_wire::batch::Batch {
    let mut frames = batch.frames();
    let frame = skein_wire::splitter::split_first_shared(&mut frames, SERVER_FRAME_BYTES_MAX)
        .unwrap()
        .unwrap();
    match skein_wire::frame::decode_update(frame).unwrap() {
        Some(skein_wire::update::Update::Batch(body)) => {
            skein_wire::batch::Batch::decode(&body).unwrap()
        }
        other => panic!("{other:?}"),
    }
}
