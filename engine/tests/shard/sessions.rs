//! Start, extend, stop, expiry, silence.

use skein_engine::request::{Actor, ChatReply, ChatRequest};
use skein_wire::error::Code;
use skein_wire::ids::{RequestNumber, ShareNumber};
use skein_wire::request::{Heartbeat, Request, ShareExtend, ShareResume, ShareStop};
use skein_wire::update::{SessionState, Update};

use crate::peer::Peer;
use crate::rig::{Control, Rig, chat, user};
use crate::viewer::Saw;

fn stop(rig: &mut Rig, peer: Peer, share: ShareNumber) -> Vec<Update> {
    rig.send(
        peer,
        Request::ShareStop(ShareStop {
            request: RequestNumber(9),
            share,
        }),
    );
    rig.take_frames(peer)
}

fn is_done(frames: &[Update], durable: bool) -> bool {
    frames
        .iter()
        .any(|update| matches!(update, Update::Done(done) if done.durable == durable))
}

#[test]
fn a_session_is_seen_from_its_start_to_its_stop() {
    for shards in [1, 2] {
        for sender_is_with_owner in [true, false] {
            let mut rig = Rig::new(shards).with_members();
            let (owner, other) = rig.owner_and_other();
            let near = rig.connect(owner, "bob");
            let far = rig.connect(other, "bob");
            rig.watch(near);
            rig.watch(far);
            let home = if sender_is_with_owner { owner } else { other };
            let sender = rig.connect(home, "ana");
            let shared = rig.share(sender, "");
            for counter in 1..=3 {
                rig.send_point(sender, shared.share, counter);
            }
            let frames = stop(&mut rig, sender, shared.share);
            assert!(is_done(&frames, true), "{frames:?}");
            let ended = Update::ShareEnded(skein_wire::update::ShareEnded {
                share: shared.share,
                state: SessionState::Stopped,
            });
            assert!(frames.contains(&ended), "{frames:?}");
            for viewer in [near, far] {
                let seen = rig.viewer(viewer);
                assert_eq!(seen.counters(shared.session), [1, 2, 3]);
                let last = seen.saw.last();
                assert_eq!(
                    last,
                    Some(&Saw::State(shared.session, SessionState::Stopped))
                );
            }
            assert_eq!(rig.live_sessions(), []);
        }
    }
}

#[test]
fn one_key_is_one_session() {
    let mut rig = Rig::new(2).with_members();
    let (owner, other) = rig.owner_and_other();
    let first = rig.connect(owner, "ana");
    let second = rig.connect(other, "ana");
    let shared = rig.share(first, "key");
    assert_eq!(rig.share(second, "key").session, shared.session);
    let Some(Ok(ChatReply::Session(info))) = rig.ask(Rig::start_request("ana", "key")).1 else {
        panic!("no session");
    };
    assert_eq!(info.session, shared.session);
    rig.send(first, Rig::share_start("key", 60));
    assert_eq!(rig.take_refusal(first), Some(Code::KeyReused));
    assert_ne!(rig.share(first, "other key").session, shared.session);
    stop(&mut rig, first, shared.share);
    rig.send(first, Rig::share_start("key", 900));
    assert_eq!(rig.take_refusal(first), Some(Code::SessionEnded));
}

#[test]
fn one_key_asked_twice_at_once_is_one_session() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    rig.control = Control::Hold;
    rig.send(sender, Rig::share_start("key", 900));
    rig.send(sender, Rig::share_start("key", 900));
    rig.control = Control::Commit;
    rig.work_control();
    rig.settle();
    let frames = rig.take_frames(sender);
    let sessions: Vec<_> = frames
        .iter()
        .filter_map(|update| match update {
            Update::Shared(shared) => Some((shared.session, shared.share)),
            _ => None,
        })
        .collect();
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions[0], sessions[1]);
    assert_eq!(rig.live_sessions().len(), 1);
}

#[test]
fn a_session_expires_once_and_on_time() {
    let mut rig = Rig::new(2).with_members();
    let (owner, other) = rig.owner_and_other();
    let sender = rig.connect(other, "ana");
    let viewer = rig.connect(other, "bob");
    rig.watch(viewer);
    let shared = rig.share(sender, "");
    rig.send_point(sender, shared.share, 1);
    rig.advance(899_999);
    assert_eq!(rig.live_sessions(), [shared.session]);
    rig.advance(1);
    assert_eq!(rig.live_sessions(), []);
    rig.advance(3_600_000);
    let states = rig.viewer(viewer).states(shared.session);
    assert_eq!(states, [SessionState::Stale, SessionState::Expired]);
    let ended = rig.events.iter().filter(|it| it.contains("Ended")).count();
    assert_eq!(ended, 1, "{:?}", rig.events);
    let expired = rig.shards[usize::from(owner)].stats().sessions_expired;
    assert_eq!(expired, 1);
}

#[test]
fn an_extended_session_ends_at_its_new_end() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let sender = rig.connect(other, "ana");
    let shared = rig.share(sender, "");
    rig.advance(600_000);
    for (duration_s, left_ms) in [(900, 900_000), (60, 60_000)] {
        let extend = ShareExtend {
            request: RequestNumber(3),
            share: shared.share,
            duration_s,
        };
        rig.send(sender, Request::ShareExtend(extend));
        let frames = rig.take_frames(sender);
        let expires = frames.iter().find_map(|update| match update {
            Update::Shared(shared) => Some(shared.expires_at_ms),
            _ => None,
        });
        assert_eq!(expires, Some(rig.now.0 + left_ms), "{frames:?}");
    }
    rig.advance(59_999);
    assert_eq!(rig.live_sessions().len(), 1);
    rig.advance(1);
    assert_eq!(rig.live_sessions().len(), 0);
}

#[test]
fn a_silent_sender_is_stale_once_and_alive_at_its_next_word() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let sender = rig.connect(other, "ana");
    let viewer = rig.connect(other, "bob");
    rig.watch(viewer);
    let shared = rig.share(sender, "");
    rig.send_point(sender, shared.share, 1);
    rig.advance(100_000);
    assert_eq!(
        rig.viewer(viewer).states(shared.session),
        [SessionState::Stale]
    );
    let heartbeat = Request::Heartbeat(Heartbeat {
        share: shared.share,
        counter: skein_wire::ids::Counter(1),
    });
    rig.send(sender, heartbeat.clone());
    for _ in 0..10 {
        rig.advance(10_000);
        rig.send(sender, heartbeat.clone());
    }
    let states = rig.viewer(viewer).states(shared.session);
    assert_eq!(states[..2], [SessionState::Stale, SessionState::Stationary]);
    let confirmed = states.len() - 1;
    assert!((5..=6).contains(&confirmed), "every 20 s: {states:?}");
    assert!(!states[1..].contains(&SessionState::Stale), "{states:?}");
    rig.advance(5_000);
    rig.send_point(sender, shared.share, 2);
    let states = rig.viewer(viewer).states(shared.session);
    assert_eq!(states.last(), Some(&SessionState::Live));
}

#[test]
fn a_start_that_cannot_be_promised_is_refused_and_leaves_nothing() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let sender = rig.connect(other, "ana");
    rig.control = Control::Reject;
    rig.send(sender, Rig::share_start("key", 900));
    assert_eq!(rig.take_refusal(sender), Some(Code::NotDurable));
    assert_eq!(rig.live_sessions(), []);
    rig.control = Control::Commit;
    rig.share(sender, "key");
    assert_eq!(rig.live_sessions().len(), 1);
}

#[test]
fn a_stop_acts_at_once_and_its_promise_is_repeated() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let sender = rig.connect(other, "ana");
    let shared = rig.share(sender, "");
    rig.control = Control::Reject;
    let frames = stop(&mut rig, sender, shared.share);
    assert!(is_done(&frames, false), "{frames:?}");
    assert_eq!(rig.live_sessions(), []);
    rig.advance(5_000);
    assert_eq!(rig.control_state.chat("harbour").unwrap().sessions.len(), 1);
    rig.control = Control::Commit;
    rig.advance(1_000);
    assert_eq!(rig.control_state.chat("harbour").unwrap().sessions.len(), 0);
    let again = rig.ask(ChatRequest::Stop {
        chat: chat(),
        session: shared.session,
        actor: Actor::User(user("ana").into()),
    });
    assert_eq!(again.1, Some(Ok(ChatReply::Done { durable: true })));
}

#[test]
fn a_stop_is_answered_only_when_it_is_durable() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    let viewer = rig.connect(0, "bob");
    rig.watch(viewer);
    let shared = rig.share(sender, "");
    rig.control = Control::Hold;
    let frames = stop(&mut rig, sender, shared.share);
    assert!(!frames.iter().any(|it| matches!(it, Update::Done(_))));
    let states = rig.viewer(viewer).states(shared.session);
    assert_eq!(states, [SessionState::Stopped], "it acts at once");
    rig.control = Control::Commit;
    rig.work_control();
    rig.settle();
    assert!(is_done(&rig.take_frames(sender), true));
}

#[test]
fn a_sender_that_lost_its_connection_goes_on() {
    let mut rig = Rig::new(2).with_members();
    let (owner, other) = rig.owner_and_other();
    let sender = rig.connect(other, "ana");
    let shared = rig.share(sender, "");
    rig.send_point(sender, shared.share, 41);
    rig.disconnect(sender);
    let again = rig.connect(owner, "ana");
    rig.send(
        again,
        Request::ShareResume(ShareResume {
            request: RequestNumber(4),
            chat: chat(),
            session: shared.session,
        }),
    );
    let frames = rig.take_frames(again);
    let resumed = frames.iter().find_map(|update| match update {
        Update::Shared(shared) => Some(*shared),
        _ => None,
    });
    let resumed = resumed.expect("a session");
    assert_eq!(resumed.counter_last.0, 41);
    rig.send_point(again, resumed.share, 42);
    let accepted = rig.take_accepted(again);
    assert_eq!(accepted.len(), 1, "at once after a resume");
    assert_eq!(accepted[0].counter.0, 42);
}
