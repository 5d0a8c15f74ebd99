//! Rights: what is taken away acts at once and everywhere, what is given when it is durable.

use skein_engine::command::Command;
use skein_engine::limits::PROPOSAL_RETRY_MS_MAX;
use skein_engine::request::{ChatReply, ChatRequest};
use skein_wire::error::Code;
use skein_wire::ids::SessionId;
use skein_wire::update::{SessionState, Update};

use crate::members::{assert_changed, members_of};
use crate::rig::{Control, Rig, chat};
use crate::viewer::Saw;

#[test]
fn a_removed_member_is_seen_no_more_and_sees_no_more() {
    for shards in [1, 2] {
        let mut rig = Rig::new(shards).with_members();
        let (owner, other) = rig.owner_and_other();
        let sender = rig.connect(other, "ana");
        let shared = rig.share(sender, "");
        let lost = [rig.connect(owner, "ana"), rig.connect(other, "ana")];
        let kept = [rig.connect(owner, "bob"), rig.connect(other, "bob")];
        for viewer in lost.into_iter().chain(kept) {
            rig.watch(viewer);
        }
        rig.send_point(sender, shared.share, 1);
        let reply = rig.remove_member("ana");
        assert_changed(reply.as_ref(), true);
        for counter in 2..=5 {
            rig.send_point(sender, shared.share, counter);
        }
        for viewer in kept {
            let seen = rig.viewer(viewer);
            assert_eq!(seen.counters(shared.session), [1]);
            assert_eq!(
                seen.saw.last(),
                Some(&Saw::State(shared.session, SessionState::Revoked))
            );
        }
        for viewer in lost {
            let frames = rig.take_frames(viewer);
            let ended = frames.iter().any(|update| {
                matches!(update, Update::WatchEnded(it) if it.code == Code::MembershipRevoked)
            });
            assert!(ended, "{frames:?}");
            assert!(rig.purged.iter().any(|(peer, _)| *peer == viewer));
            rig.send(viewer, Rig::watch_frame(None, Default::default()));
            assert_eq!(rig.take_refusal(viewer), Some(Code::NotFound));
        }
        rig.send(sender, Rig::share_start("", 900));
        assert_eq!(rig.take_refusal(sender), Some(Code::NotFound));
        let last = rig.events.last().map(String::as_str);
        assert_eq!(last, Some("MemberRemoved"));
    }
}

#[test]
fn a_point_on_its_way_does_not_pass_a_revocation() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let sender = rig.connect(other, "ana");
    let shared = rig.share(sender, "");
    let viewer = rig.connect(other, "bob");
    rig.watch(viewer);
    rig.rings_are_full = true;
    rig.send_only(sender, Rig::point_frame(shared.share, 1));
    rig.remove_member("ana");
    rig.rings_are_full = false;
    rig.settle();
    assert_eq!(rig.viewer(viewer).counters(shared.session), []);
    let frames = rig.take_frames(sender);
    let ended = frames.iter().any(
        |update| matches!(update, Update::ShareEnded(it) if it.state == SessionState::Revoked),
    );
    assert!(ended, "{frames:?}");
}

#[test]
fn a_shard_that_does_not_apply_a_revocation_is_named() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let viewer = rig.connect(other, "bob");
    rig.watch(viewer);
    rig.rings_are_full = true;
    let (id, reply) = rig.ask(ChatRequest::RemoveMember {
        chat: chat(),
        user: crate::rig::user("ana"),
        expected: None,
    });
    assert_eq!(reply, None, "not applied everywhere yet");
    rig.advance(1_000);
    let Some(Err(error)) = rig.replies.get(&id) else {
        panic!("no refusal");
    };
    assert_eq!(error.code, Code::NotAppliedEverywhere);
    assert!(error.text.contains(&format!("shard {other}")), "{error}");
    rig.rings_are_full = false;
    rig.settle();
    let again = rig.remove_member("ana");
    assert_changed(again.as_ref(), true);
}

#[test]
fn rights_taken_apart_act_apart() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let sender = rig.connect(other, "ana");
    let shared = rig.share(sender, "");
    let viewer = rig.connect(other, "ana");
    rig.watch(viewer);
    rig.put_member("ana", 2);
    assert_eq!(
        rig.viewer(viewer).states(shared.session),
        [SessionState::Revoked],
        "without the right to share the session is over, and its user sees it"
    );
    rig.put_member("ana", 1);
    let frames = rig.take_frames(viewer);
    let ended = frames.iter().any(|it| matches!(it, Update::WatchEnded(_)));
    assert!(ended, "{frames:?}");
    rig.share(sender, "");
    let Some(Ok(ChatReply::Members(members))) = rig.ask(members_of(chat())).1 else {
        panic!("no members");
    };
    let bits: Vec<(&str, u8)> = members
        .members
        .iter()
        .map(|it| (it.0.as_str(), it.1))
        .collect();
    assert_eq!(bits, [("ana", 1), ("bob", 3)]);
}

#[test]
fn a_right_that_is_not_durable_is_not_given() {
    let mut rig = Rig::new(1);
    rig.control = Control::Reject;
    let Some(Err(error)) = rig.put_member("ana", 3) else {
        panic!("no refusal");
    };
    assert_eq!(error.code, Code::NotDurable);
    rig.control = Control::Hold;
    assert_eq!(rig.put_member("ana", 3), None);
    let peer = rig.connect(0, "ana");
    rig.send(peer, Rig::share_start("", 900));
    assert_eq!(rig.take_refusal(peer), Some(Code::NotFound));
    rig.control = Control::Commit;
    rig.work_control();
    rig.settle();
    rig.share(peer, "");
}

#[test]
fn a_removal_that_is_not_durable_acts_and_is_repeated() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let viewer = rig.connect(other, "ana");
    rig.watch(viewer);
    rig.control = Control::Reject;
    let reply = rig.remove_member("ana");
    assert_changed(reply.as_ref(), false);
    let frames = rig.take_frames(viewer);
    assert!(frames.iter().any(|it| matches!(it, Update::WatchEnded(_))));
    rig.control = Control::Commit;
    rig.advance(1_000);
    let members = &rig.control_state.chat("harbour").unwrap().members;
    assert!(!members.contains_key("ana"));
}

#[test]
fn a_control_log_that_is_out_of_order_for_long_is_not_flooded() {
    let mut rig = Rig::new(1).with_members();
    rig.control = Control::Reject;
    rig.remove_member("ana");
    let before = rig.shards[0].stats().proposals;
    const HOUR_MS: u64 = 60 * 60 * 1_000;
    rig.advance(HOUR_MS);
    let tries = rig.shards[0].stats().proposals - before;
    let most = 2 * HOUR_MS / PROPOSAL_RETRY_MS_MAX + 10;
    assert!((100..most).contains(&tries), "{tries} tries in an hour");
    rig.control = Control::Commit;
    rig.advance(PROPOSAL_RETRY_MS_MAX);
    let members = &rig.control_state.chat("harbour").unwrap().members;
    assert!(!members.contains_key("ana"), "the promise is made soon");
}

#[test]
fn an_old_removal_does_not_undo_a_newer_membership() {
    let mut rig = Rig::new(1).with_members();
    rig.control = Control::Reject;
    rig.remove_member("ana");
    rig.control = Control::Hold;
    assert_eq!(rig.put_member("ana", 3), None);
    // The removal would be tried again now; the newer grant is on its way.
    rig.advance(3_000);
    rig.control = Control::Commit;
    rig.work_control();
    rig.settle();
    rig.advance(10_000);
    let members = &rig.control_state.chat("harbour").unwrap().members;
    assert_eq!(members.get("ana"), Some(&3));
    let peer = rig.connect(0, "ana");
    rig.share(peer, "");
}

#[test]
fn a_grant_on_its_way_does_not_pass_a_newer_removal() {
    let mut rig = Rig::new(1).with_members();
    rig.control = Control::Hold;
    rig.put_member("eve", 3);
    rig.remove_member("eve");
    rig.control = Control::Commit;
    rig.work_control();
    rig.settle();
    let peer = rig.connect(0, "eve");
    rig.send(peer, Rig::watch_frame(None, Default::default()));
    assert_eq!(rig.take_refusal(peer), Some(Code::NotFound));
    assert!(
        !rig.control_state
            .chat("harbour")
            .unwrap()
            .members
            .contains_key("eve")
    );
}

#[test]
fn a_start_that_was_promised_after_a_removal_does_not_act() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    rig.control = Control::Hold;
    rig.send(sender, Rig::share_start("", 900));
    rig.remove_member("ana");
    rig.control = Control::Commit;
    rig.work_control();
    rig.settle();
    assert_eq!(rig.take_refusal(sender), Some(Code::NotFound));
    assert_eq!(rig.live_sessions(), []);
    assert!(
        rig.control_state
            .chat("harbour")
            .unwrap()
            .sessions
            .is_empty()
    );
}

#[test]
fn commands_that_this_shard_did_not_propose_act_too() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    let shared = rig.share(sender, "");
    rig.commit(Command::PutMember {
        chat: "harbour".into(),
        user: "eve".into(),
        rights: 3,
    });
    let eve = rig.connect(0, "eve");
    rig.watch(eve);
    let session = 77;
    rig.commit(Command::StartSession {
        chat: "harbour".into(),
        session,
        user: "bob".into(),
        started_at_ms: rig.now.0,
        expires_at_ms: rig.now.0 + 60_000,
        duration_s: 60,
        idempotency_key: String::new(),
        sealed: false,
    });
    assert!(rig.live_sessions().contains(&SessionId(session)));
    rig.commit(Command::EndSession {
        chat: "harbour".into(),
        session,
        state: SessionState::Stopped as u8,
        at_ms: rig.now.0,
        user: "bob".into(),
    });
    assert_eq!(rig.live_sessions(), [shared.session]);
    for user in ["ana", "eve"] {
        rig.commit(Command::RemoveMember {
            chat: "harbour".into(),
            user: user.into(),
        });
    }
    assert_eq!(rig.live_sessions(), []);
    let frames = rig.take_frames(eve);
    assert!(frames.iter().any(|it| matches!(it, Update::WatchEnded(_))));
}

#[test]
fn what_a_superseded_removal_ended_stays_ended() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    rig.share(sender, "");
    rig.control = Control::Hold;
    rig.send(sender, Rig::share_start("", 900));
    rig.control = Control::Reject;
    // The second start was on its way before; it is refused like everything now.
    rig.remove_member("ana");
    rig.control = Control::Commit;
    rig.put_member("ana", 3);
    rig.advance(5_000);
    assert_eq!(rig.live_sessions(), []);
    let promised = &rig.control_state.chat("harbour").unwrap().sessions;
    assert!(promised.is_empty(), "{promised:?}");
}
