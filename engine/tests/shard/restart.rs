//! Restart: replay, checkpoints, and the control log against the partitions.

use skein_engine::limits::Limits;
use skein_engine::request::{Actor, ChatReply, ChatRequest};
use skein_wire::error::Code;
use skein_wire::ids::{RequestNumber, SessionId};
use skein_wire::request::{Delivery, Request, ShareResume, ShareStop};
use skein_wire::update::{SessionState, Shared, Update};

use crate::members::members_of;
use crate::peer::Peer;
use crate::rig::{Control, Rig, chat, user};

fn resume(rig: &mut Rig, peer: Peer, session: SessionId) -> Result<Shared, Code> {
    rig.send(
        peer,
        Request::ShareResume(ShareResume {
            request: RequestNumber(4),
            chat: chat(),
            session,
        }),
    );
    let frames = rig.take_frames(peer);
    frames
        .into_iter()
        .find_map(|update| match update {
            Update::Shared(shared) => Some(Ok(shared)),
            Update::Refused(refused) => Some(Err(refused.code)),
            _ => None,
        })
        .expect("an answer")
}

fn newest(rig: &mut Rig) -> Vec<Option<u64>> {
    let asked = ChatRequest::Positions {
        chat: chat(),
        actor: Actor::User(user("bob").into()),
    };
    let Some(Ok(ChatReply::Positions { positions, .. })) = rig.ask(asked).1 else {
        panic!("no positions");
    };
    positions
        .iter()
        .map(|it| it.newest.as_ref().map(|point| point.counter.0))
        .collect()
}

#[test]
fn sessions_members_points_and_admission_survive() {
    for with_checkpoint in [false, true] {
        let mut rig = Rig::new(2).with_members();
        let (owner, other) = rig.owner_and_other();
        let sender = rig.connect(other, "ana");
        let shared = rig.share(sender, "key");
        let stopped = rig.share(sender, "stopped");
        rig.send_point(sender, shared.share, 10);
        rig.send(sender, Rig::history_frame(shared.share, &[5]));
        rig.send(
            sender,
            Request::ShareStop(ShareStop {
                request: RequestNumber(9),
                share: stopped.share,
            }),
        );
        if with_checkpoint {
            let partition = rig.partition();
            rig.shards[usize::from(owner)].begin_checkpoint(partition);
            rig.settle();
            assert!(rig.checkpoints[&partition].0 > 1);
        }
        rig.send_point(sender, shared.share, 11);
        rig.send(sender, Rig::history_frame(shared.share, &[6]));
        let viewer = rig.connect(other, "bob");
        rig.watch(viewer);
        let before = rig.viewer(viewer).clone();

        rig.restart(0);
        assert_eq!(
            newest(&mut rig),
            [Some(11)],
            "checkpoint: {with_checkpoint}"
        );
        let back = rig.connect(other, "bob");
        let watching = rig.watch_again(back, &before);
        assert_eq!(watching.from, before.cursor);
        assert_eq!(rig.viewer(back).batches, [], "nothing changed");

        let sender = rig.connect(owner, "ana");
        assert_eq!(
            resume(&mut rig, sender, stopped.session),
            Err(Code::SessionEnded)
        );
        let again = resume(&mut rig, sender, shared.session).expect("it lives");
        assert_eq!(again.counter_last.0, 11);
        assert_eq!(rig.share(sender, "key").session, shared.session);
        rig.send(sender, Rig::history_frame(again.share, &[5, 6, 7, 11]));
        let refused: Vec<u64> = rig
            .take_accepted(sender)
            .iter()
            .flat_map(|accepted| accepted.verdicts.iter().map(|it| it.counter.0))
            .collect();
        assert_eq!(refused, [5, 6, 11], "seen before");
        rig.send_point(sender, again.share, 12);
        assert_eq!(newest(&mut rig), [Some(12)]);
    }
}

#[test]
fn what_should_have_expired_meanwhile_expires_at_once() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let sender = rig.connect(other, "ana");
    let shared = rig.share(sender, "");
    rig.send_point(sender, shared.share, 1);
    let viewer = rig.connect(other, "bob");
    rig.watch(viewer);
    let before = rig.viewer(viewer).clone();
    rig.now = rig.now.plus_ms(3_600_000);
    rig.restart(0);
    assert_eq!(rig.live_sessions(), []);
    let back = rig.connect(other, "bob");
    rig.watch_again(back, &before);
    assert_eq!(
        rig.viewer(back).states(shared.session),
        [SessionState::Expired]
    );
    assert!(
        rig.control_state
            .chat("harbour")
            .unwrap()
            .sessions
            .is_empty()
    );
}

#[test]
fn cursors_before_the_beginning_of_a_cut_log_begin_anew() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    let shared = rig.share(sender, "key");
    let viewer = rig.connect(0, "bob");
    rig.watch(viewer);
    let early = rig.viewer(viewer).clone();
    rig.send_point(sender, shared.share, 1);
    rig.send_point(sender, shared.share, 2);
    let late = rig.viewer(viewer).clone();
    // The first record that is left is the second point, and no checkpoint tells of what was
    // before.
    let first = late.cursor;
    rig.checkpoints.insert(rig.partition(), (first, first));
    rig.restart(0);
    let back = rig.connect(0, "bob");
    assert_eq!(rig.watch_again(back, &early).from, 0);
    let back = rig.connect(0, "bob");
    assert_eq!(rig.watch_again(back, &late).from, late.cursor);
}

#[test]
fn a_promised_session_whose_row_was_lost_gets_one() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    let shared = rig.share(sender, "key");
    rig.restart(1);
    assert_eq!(rig.live_sessions(), [shared.session]);
    let sender = rig.connect(0, "ana");
    let again = resume(&mut rig, sender, shared.session).expect("it lives");
    rig.send_point(sender, again.share, 1);
    assert_eq!(newest(&mut rig), [Some(1)]);
}

#[test]
fn a_promised_end_whose_row_was_lost_ends_the_row() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    let shared = rig.share(sender, "");
    rig.send(
        sender,
        Request::ShareStop(ShareStop {
            request: RequestNumber(9),
            share: shared.share,
        }),
    );
    rig.restart(1);
    assert_eq!(rig.live_sessions(), []);
    let sender = rig.connect(0, "ana");
    assert_eq!(
        resume(&mut rig, sender, shared.session),
        Err(Code::SessionEnded)
    );
}

#[test]
fn an_end_that_was_seen_but_not_promised_wins() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    let shared = rig.share(sender, "");
    rig.control = Control::Hold;
    rig.send(
        sender,
        Request::ShareStop(ShareStop {
            request: RequestNumber(9),
            share: shared.share,
        }),
    );
    rig.control = Control::Commit;
    rig.restart(0);
    assert_eq!(rig.live_sessions(), []);
    assert!(
        rig.control_state
            .chat("harbour")
            .unwrap()
            .sessions
            .is_empty()
    );
}

/// Nothing in the partition but the record of an end says that it ended, and the row is forgotten: the
/// next checkpoint must not take the record's place before the control log says so, too.
#[test]
fn a_checkpoint_waits_for_the_promise_of_an_end_whose_row_is_forgotten() {
    let limits = Limits {
        tombstones_per_chat_max: 1,
        ..Limits::default()
    };
    let mut rig = Rig::with_limits(1, limits).with_members();
    let partition = rig.partition();
    for comes_too_late in [true, false] {
        let sender = rig.connect(0, "ana");
        let shares: Vec<Shared> = (0..3).map(|_| rig.share(sender, "")).collect();
        rig.control = Control::Hold;
        for (number, shared) in (9..).zip(&shares) {
            let stop = ShareStop {
                request: RequestNumber(number),
                share: shared.share,
            };
            rig.send(sender, Request::ShareStop(stop));
        }
        rig.checkpoints.clear();
        rig.shards[0].begin_checkpoint(partition);
        rig.settle();
        assert_eq!(rig.checkpoints.get(&partition), None, "nothing is promised");
        if !comes_too_late {
            rig.control = Control::Commit;
            rig.work_control();
            rig.settle();
            assert!(rig.checkpoints.contains_key(&partition), "all is promised");
        }
        rig.crash(0);
        assert_eq!(rig.live_sessions(), []);
    }
}

#[test]
fn members_are_those_of_the_control_log() {
    let mut rig = Rig::new(2).with_members();
    rig.put_member("eve", 2);
    rig.remove_member("eve");
    rig.put_member("dan", 3);
    for lost in [1, 2, 3] {
        rig.restart(lost);
        let Some(Ok(ChatReply::Members(members))) = rig.ask(members_of(chat())).1 else {
            panic!("no members");
        };
        let names: Vec<&str> = members.members.iter().map(|it| it.0.as_str()).collect();
        assert_eq!(names, ["ana", "bob", "dan"]);
    }
}

#[test]
fn an_unfinished_checkpoint_harms_nothing() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    let shared = rig.share(sender, "");
    rig.send_point(sender, shared.share, 1);
    let partition = rig.partition();
    rig.shards[0].begin_checkpoint(partition);
    rig.settle();
    rig.send_point(sender, shared.share, 2);
    rig.shards[0].begin_checkpoint(partition);
    rig.settle();
    rig.restart(3);
    assert_eq!(newest(&mut rig), [Some(2)]);
}

#[test]
fn a_checkpoint_waits_for_records_that_have_not_come_back() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    let shared = rig.share(sender, "");
    rig.send_point(sender, shared.share, 1);
    // The newest point is in the log and not yet in the table: a row written now would stand behind
    // it in the log and know nothing of it.
    rig.deaf = Some(0);
    rig.send_only(sender, Rig::point_frame(shared.share, 2));
    rig.one_pass_each();
    let partition = rig.partition();
    rig.shards[0].begin_checkpoint(partition);
    for _ in 0..3 {
        rig.one_pass_each();
    }
    rig.deaf = None;
    rig.settle();
    assert!(rig.checkpoints.contains_key(&partition), "it is written");
    rig.restart(0);
    assert_eq!(newest(&mut rig), [Some(2)]);
}

#[test]
fn a_checkpoint_of_a_busy_chat_is_whole() {
    let mut rig = Rig::new(2).with_members();
    let (owner, _) = rig.owner_and_other();
    let mut senders = Vec::new();
    for number in 0..200 {
        let name = format!("walker-{number}");
        rig.put_member(&name, 3);
        let sender = rig.connect(number % 2, &name);
        let shared = rig.share(sender, "");
        senders.push((sender, shared));
    }
    for counter in 1..=40 {
        for (sender, shared) in &senders {
            rig.send_only(*sender, Rig::point_frame(shared.share, counter));
        }
        rig.settle();
        rig.advance(100);
    }
    let partition = rig.partition();
    rig.shards[usize::from(owner)].begin_checkpoint(partition);
    // Points go on while it is written, slice by slice.
    for counter in 41..=60 {
        for (sender, shared) in &senders {
            rig.send_only(*sender, Rig::point_frame(shared.share, counter));
        }
        rig.one_pass_each();
    }
    rig.settle();
    assert!(rig.checkpoints.contains_key(&partition), "it is written");
    rig.restart(0);
    assert_eq!(newest(&mut rig), vec![Some(60); 200]);
    let viewer = rig.connect(0, "bob");
    rig.watch_from(viewer, None, Delivery::Every);
    let seen = rig.viewer(viewer).counters(senders[7].1.session);
    assert_eq!(seen.last(), Some(&60));
}
