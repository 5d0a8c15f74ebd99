//! Points: acknowledgements, verdicts, history, durability, conflation.

use skein_engine::ids::RequestId;
use skein_engine::limits::{DURABLE_LAST_MS_MAX, DURABLE_WAITS_PER_SESSION_MAX, Limits};
use skein_engine::request::{Actor, ChatReply, ChatRequest, PointsRequest};
use skein_wire::error::Code;
use skein_wire::ids::{Counter, RequestNumber, SessionId, ShareNumber};
use skein_wire::point::{Payload, Point};
use skein_wire::request::{Heartbeat, Request, SharePoint, SharePoints, ShareStop};
use skein_wire::update::{Update, Verdict};

use crate::peer::Peer;
use crate::rig::{Rig, chat, point, user};

fn sharing(rig: &mut Rig) -> (Peer, ShareNumber, SessionId) {
    let (_, other) = rig.owner_and_other();
    let sender = rig.connect(other, "ana");
    let shared = rig.share(sender, "");
    (sender, shared.share, shared.session)
}

#[test]
fn acknowledgements_are_cumulative_and_at_most_every_two_seconds() {
    let mut rig = Rig::new(2).with_members();
    let (sender, share, _) = sharing(&mut rig);
    rig.send_point(sender, share, 1);
    let accepted = rig.take_accepted(sender);
    assert_eq!(accepted.len(), 1, "the first at once");
    for counter in 2..=100 {
        rig.advance(100);
        rig.send_point(sender, share, counter);
    }
    let accepted = rig.take_accepted(sender);
    assert!((4..=5).contains(&accepted.len()), "{}", accepted.len());
    assert!(accepted.is_sorted_by_key(|it| it.counter));
    rig.advance(2_000);
    let last = rig.take_accepted(sender);
    assert_eq!(last.last().map(|it| it.counter), Some(Counter(100)));
}

#[test]
fn what_is_acknowledged_is_in_the_log() {
    let mut rig = Rig::new(1).with_members();
    let (sender, share, _) = sharing(&mut rig);
    rig.send_only(sender, Rig::point_frame(share, 1));
    assert_eq!(rig.take_accepted(sender), [], "not appended yet");
    rig.settle();
    assert_eq!(rig.take_accepted(sender).len(), 1);
}

#[test]
fn older_live_points_are_superseded_without_haste() {
    let mut rig = Rig::new(2).with_members();
    let (sender, share, session) = sharing(&mut rig);
    let viewer = rig.connect(sender.shard, "bob");
    rig.watch(viewer);
    rig.send_point(sender, share, 5);
    rig.take_accepted(sender);
    rig.send_point(sender, share, 3);
    assert_eq!(rig.take_accepted(sender), [], "no haste");
    rig.advance(2_000);
    let accepted = rig.take_accepted(sender);
    let verdict = Verdict {
        counter: Counter(3),
        code: Code::Superseded,
    };
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].verdicts, [verdict]);
    assert_eq!(accepted[0].counter, Counter(5));
    assert_eq!(rig.viewer(viewer).counters(session), [5]);
}

#[test]
fn bad_points_have_verdicts_and_block_nothing() {
    let mut rig = Rig::new(2).with_members();
    let (sender, share, session) = sharing(&mut rig);
    let viewer = rig.connect(sender.shard, "bob");
    rig.watch(viewer);
    let mut out_of_range = point(2);
    if let Payload::Fix(fix) = &mut out_of_range.payload {
        fix.position.lat_e6 = 90_000_001;
    }
    let sealed = Point {
        payload: Payload::Sealed(bytes::Bytes::from_static(b"blob")),
        ..point(3)
    };
    rig.send(
        sender,
        Request::Points(SharePoints {
            share,
            historical: false,
            durable: false,
            points: vec![point(1), out_of_range, sealed, point(4)],
        }),
    );
    let mut verdicts: Vec<(u64, Code)> = rig
        .take_accepted(sender)
        .iter()
        .flat_map(|accepted| &accepted.verdicts)
        .map(|verdict| (verdict.counter.0, verdict.code))
        .collect();
    verdicts.sort_unstable();
    assert_eq!(verdicts, [(2, Code::BadPoint), (3, Code::WrongSealing)]);
    assert_eq!(rig.viewer(viewer).counters(session), [1, 4]);
}

#[test]
fn history_never_moves_a_marker() {
    let mut rig = Rig::new(2).with_members();
    let (sender, share, session) = sharing(&mut rig);
    rig.send_point(sender, share, 2_000);
    rig.send(
        sender,
        Rig::history_frame(share, &[1_998, 1_999, 1_998, 10]),
    );
    let verdicts: Vec<_> = rig
        .take_accepted(sender)
        .iter()
        .flat_map(|accepted| &accepted.verdicts)
        .map(|verdict| (verdict.counter.0, verdict.code))
        .collect();
    let outside = Code::OutsideWindow;
    assert_eq!(verdicts, [(1_998, outside), (10, outside)]);
    let asked = ChatRequest::Positions {
        chat: chat(),
        actor: Actor::User(user("bob").into()),
    };
    let Some(Ok(ChatReply::Positions { positions, .. })) = rig.ask(asked).1 else {
        panic!("no positions");
    };
    assert_eq!(positions[0].newest, Some(point(2_000)));
    let late = rig.connect(0, "bob");
    rig.watch(late);
    assert_eq!(rig.viewer(late).counters(session), [2_000]);
}

#[test]
fn a_lost_point_shows_in_the_next_heartbeat() {
    let mut rig = Rig::new(2).with_members();
    let (sender, share, _) = sharing(&mut rig);
    rig.send_point(sender, share, 1);
    rig.take_accepted(sender);
    let counter = Counter(2);
    rig.send(sender, Request::Heartbeat(Heartbeat { share, counter }));
    let accepted = rig.take_accepted(sender);
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].counter, Counter(1));
}

#[test]
fn durable_is_said_only_when_it_is() {
    let mut rig = Rig::new(2).with_members();
    let (sender, share, session) = sharing(&mut rig);
    rig.holds_durable = true;
    rig.send(
        sender,
        Request::Point(SharePoint {
            share,
            durable: true,
            point: point(1),
        }),
    );
    let api = rig.ask(ChatRequest::Points(PointsRequest {
        chat: chat(),
        session,
        actor: Actor::User(user("ana").into()),
        historical: false,
        durable: true,
        points: vec![point(2), point(2)],
    }));
    assert_eq!(api.1, None);
    let accepted = rig.take_accepted(sender);
    assert!(accepted.iter().all(|it| it.durable == Counter(0)));
    rig.holds_durable = false;
    rig.settle();
    let accepted = rig.take_accepted(sender);
    assert_eq!(accepted.last().map(|it| it.durable), Some(Counter(1)));
    let Some(Ok(ChatReply::Points(reply))) = rig.replies.get(&api.0) else {
        panic!("no reply");
    };
    assert!(reply.durable);
    assert_eq!((reply.accepted, reply.counter_last), (1, Counter(2)));
    assert_eq!(reply.verdicts.len(), 1);
}

/// The disk is full: nobody waits for it to come back, and what was on its way to the file before is
/// still waited for.
#[test]
fn who_waits_for_what_will_not_be_durable_is_told_at_once() {
    let mut rig = Rig::new(2).with_members();
    let (sender, share, session) = sharing(&mut rig);
    rig.holds_durable = true;
    let durable = |counter| {
        Request::Point(SharePoint {
            share,
            durable: true,
            point: point(counter),
        })
    };
    rig.send(sender, durable(1));
    let (partition, owner) = (rig.partition(), rig.owner_of(&chat()));
    let head = rig.head(partition);
    rig.send(sender, durable(2));
    let (asked, answer) = rig.ask(ChatRequest::Points(PointsRequest {
        chat: chat(),
        session,
        actor: Actor::User(user("ana").into()),
        historical: false,
        durable: true,
        points: vec![point(3)],
    }));
    assert_eq!(answer, None);
    rig.take_accepted(sender);

    rig.shards[usize::from(owner)].handle_lost_from(partition, head + 1);
    rig.settle();
    let Some(Ok(ChatReply::Points(reply))) = rig.replies.get(&asked) else {
        panic!("no reply");
    };
    assert!(!reply.durable);
    let told: Vec<_> = rig
        .take_accepted(sender)
        .into_iter()
        .flat_map(|accepted| accepted.verdicts)
        .map(|verdict| (verdict.counter, verdict.code))
        .collect();
    assert_eq!(told, [(Counter(2), Code::NotDurable)]);
    rig.holds_durable = false;
    rig.settle();
    let accepted = rig.take_accepted(sender);
    assert_eq!(accepted.last().map(|it| it.durable), Some(Counter(1)));
}

fn api_point(session: SessionId, counter: u64) -> ChatRequest {
    ChatRequest::Points(PointsRequest {
        chat: chat(),
        session,
        actor: Actor::User(user("ana").into()),
        historical: false,
        durable: true,
        points: vec![point(counter)],
    })
}

/// Whether the points of a request are durable, or why it was refused.
fn durable(rig: &Rig, asked: RequestId) -> Result<bool, Code> {
    match rig.replies.get(&asked).expect("an answer") {
        Ok(ChatReply::Points(reply)) => Ok(reply.durable),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code),
    }
}

#[test]
fn a_caller_whose_point_was_dropped_is_answered_with_the_next_point() {
    let mut rig = Rig::new(2).with_members();
    let (_, _, session) = sharing(&mut rig);
    rig.drops_points = true;
    let (lost, answer) = rig.ask(api_point(session, 1));
    assert_eq!(answer, None);
    rig.drops_points = false;
    let (kept, _) = rig.ask(api_point(session, 2));
    assert_eq!(durable(&rig, kept), Ok(true));
    assert_eq!(durable(&rig, lost), Ok(false));
}

#[test]
fn a_caller_whose_point_was_dropped_is_answered_with_the_end_of_the_session() {
    let mut rig = Rig::new(2).with_members();
    let (sender, share, session) = sharing(&mut rig);
    rig.drops_points = true;
    let (lost, answer) = rig.ask(api_point(session, 1));
    assert_eq!(answer, None);
    let request = RequestNumber(9);
    rig.send(sender, Request::ShareStop(ShareStop { request, share }));
    assert_eq!(durable(&rig, lost), Err(Code::NotDurable));
}

#[test]
fn callers_that_wait_for_the_log_are_bounded() {
    let limits = Limits {
        points_per_second_max: 1_000,
        points_burst_max: 2 * DURABLE_WAITS_PER_SESSION_MAX as u32,
        ..Limits::default()
    };
    let mut rig = Rig::with_limits(1, limits).with_members();
    let (sender, share, session) = sharing(&mut rig);
    rig.drops_points = true;
    let asked = |rig: &mut Rig, counter| rig.ask_only(api_point(session, counter));
    let max = DURABLE_WAITS_PER_SESSION_MAX as u64;
    let waiting: Vec<_> = (1..=max).map(|it| asked(&mut rig, it)).collect();
    let beyond = asked(&mut rig, max + 1);
    rig.settle();
    assert_eq!(durable(&rig, beyond), Err(Code::Busy));
    assert!(waiting.iter().all(|it| !rig.replies.contains_key(it)));
    let request = RequestNumber(9);
    rig.send(sender, Request::ShareStop(ShareStop { request, share }));
    for lost in waiting {
        assert_eq!(durable(&rig, lost), Err(Code::NotDurable));
    }
}

/// What a sender is told at its end, in order.
fn farewell(rig: &mut Rig, sender: Peer) -> Vec<String> {
    let frames = rig.take_frames(sender).into_iter();
    let told = frames.filter_map(|update| match update {
        Update::Accepted(it) if it.durable.0 > 0 => Some(format!("durable {}", it.durable)),
        Update::ShareEnded(it) => Some(format!("ended {}", it.state.name())),
        Update::Done(it) => Some(format!("done, durable {}", it.durable)),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_stop_right_behind_a_durable_point_loses_no_acknowledgement() {
    for owner_holds_it in [false, true] {
        let mut rig = Rig::new(2).with_members();
        let (owner, other) = rig.owner_and_other();
        let sender = rig.connect(if owner_holds_it { owner } else { other }, "ana");
        let share = rig.share(sender, "").share;
        let durable = |counter| {
            Request::Point(SharePoint {
                share,
                durable: true,
                point: point(counter),
            })
        };
        let stop = Request::ShareStop(ShareStop {
            request: RequestNumber(9),
            share,
        });
        rig.holds_durable = true;
        rig.send(sender, durable(1));
        rig.send_only(sender, durable(2));
        rig.send(sender, stop);
        assert_eq!(farewell(&mut rig, sender), [] as [&str; 0]);
        rig.holds_durable = false;
        rig.settle();
        assert_eq!(
            farewell(&mut rig, sender),
            ["durable 2", "ended stopped", "done, durable true"]
        );
        // And it was told once.
        rig.advance(DURABLE_LAST_MS_MAX);
        assert_eq!(farewell(&mut rig, sender), [] as [&str; 0]);
    }
}

#[test]
fn an_end_does_not_wait_for_ever_for_a_disk() {
    let mut rig = Rig::new(2).with_members();
    let (sender, share, _) = sharing(&mut rig);
    rig.holds_durable = true;
    rig.send_only(
        sender,
        Request::Point(SharePoint {
            share,
            durable: true,
            point: point(1),
        }),
    );
    rig.send(
        sender,
        Request::ShareStop(ShareStop {
            request: RequestNumber(9),
            share,
        }),
    );
    rig.advance(DURABLE_LAST_MS_MAX);
    assert_eq!(
        farewell(&mut rig, sender),
        ["ended stopped", "done, durable true"]
    );
    assert!(rig.live_sessions().is_empty());
    rig.holds_durable = false;
    rig.settle();
}

#[test]
fn a_flood_is_limited_and_says_so() {
    let mut rig = Rig::new(1).with_members();
    let (sender, share, _) = sharing(&mut rig);
    for counter in 1..=300 {
        rig.send_only(sender, Rig::point_frame(share, counter));
    }
    rig.settle();
    let limited: usize = rig
        .take_accepted(sender)
        .iter()
        .flat_map(|accepted| &accepted.verdicts)
        .filter(|verdict| verdict.code == Code::RateLimited)
        .count();
    assert_eq!(limited, 100);
}

#[test]
fn a_full_ring_keeps_the_newest_point_and_says_what_it_dropped() {
    let mut rig = Rig::new(2).with_members();
    let (sender, share, session) = sharing(&mut rig);
    let (owner, _) = rig.owner_and_other();
    let viewer = rig.connect(owner, "bob");
    rig.watch(viewer);
    rig.rings_are_full = true;
    // Fill the outbox with what is never dropped.
    let heartbeat = Request::Heartbeat(Heartbeat {
        share,
        counter: Counter(0),
    });
    for _ in 0..skein_engine::limits::OUTBOX_MESSAGES_SOFT {
        rig.send_only(sender, heartbeat.clone());
    }
    for counter in 1..=50 {
        rig.send_only(sender, Rig::point_frame(share, counter));
    }
    rig.rings_are_full = false;
    rig.settle();
    rig.advance(2_000);
    assert_eq!(rig.viewer(viewer).counters(session), [50]);
    let accepted = rig.take_accepted(sender);
    let superseded: Vec<u64> = accepted
        .iter()
        .flat_map(|accepted| &accepted.verdicts)
        .map(|verdict| verdict.counter.0)
        .collect();
    assert_eq!(superseded, (1..50).collect::<Vec<_>>());
    assert_eq!(accepted.last().map(|it| it.counter), Some(Counter(50)));
}
