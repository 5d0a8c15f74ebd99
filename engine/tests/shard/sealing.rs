//! Chats that take sealed sessions only.

use bytes::Bytes;
use skein_engine::request::{Actor, ChatReply, ChatRequest, ChatResult, ChatSettings};
use skein_wire::error::Code;
use skein_wire::ids::ShareNumber;
use skein_wire::point::{Payload, Point};
use skein_wire::request::{Request, SharePoint, ShareStart};
use skein_wire::update::{SessionState, Shared, Update};

use crate::peer::Peer;
use crate::rig::{Control, Rig, chat, point};
use crate::viewer::Saw;

fn seal(rig: &mut Rig, sealed: bool) -> Option<ChatResult> {
    let chat = chat();
    rig.ask(ChatRequest::SealChat { chat, sealed }).1
}

const fn done(durable: bool) -> Option<ChatResult> {
    Some(Ok(ChatReply::Done { durable }))
}

fn is_sealed(rig: &mut Rig) -> bool {
    let asked = ChatRequest::Settings {
        actor: Actor::Control,
        chat: chat(),
    };
    let reply = rig.ask(asked).1;
    for sealed in [true, false] {
        if reply == Some(Ok(ChatReply::Settings(ChatSettings { sealed }))) {
            return sealed;
        }
    }
    panic!("no settings but {reply:?}");
}

fn start_sealed(rig: &mut Rig, peer: Peer) -> Shared {
    let Request::ShareStart(start) = Rig::share_start("", 900) else {
        unreachable!("it is a start");
    };
    rig.send(
        peer,
        Request::ShareStart(ShareStart {
            sealed: true,
            ..start
        }),
    );
    let frames = rig.take_frames(peer);
    let shared = frames.iter().find_map(|update| match update {
        Update::Shared(shared) => Some(*shared),
        _ => None,
    });
    shared.unwrap_or_else(|| panic!("no session but {frames:?}"))
}

fn send_sealed(rig: &mut Rig, peer: Peer, share: ShareNumber, counter: u64) {
    let payload = Payload::Sealed(Bytes::from_static(b"blob"));
    let point = Point {
        payload,
        ..point(counter)
    };
    let durable = false;
    let sent = SharePoint {
        share,
        durable,
        point,
    };
    rig.send(peer, Request::Point(sent));
}

#[test]
fn a_sealed_chat_ends_plain_sessions_and_refuses_new_ones_until_it_is_opened() {
    for shards in [1, 2] {
        let mut rig = Rig::new(shards).with_members();
        let (_, other) = rig.owner_and_other();
        let (sender, viewer) = (rig.connect(other, "ana"), rig.connect(other, "bob"));
        rig.watch(viewer);
        let plain = rig.share(sender, "key");
        let sealed = start_sealed(&mut rig, sender);
        rig.send_point(sender, plain.share, 1);
        assert!(!is_sealed(&mut rig));

        assert_eq!(seal(&mut rig, true), done(true));
        assert!(is_sealed(&mut rig));
        assert_eq!(rig.live_sessions(), [sealed.session]);
        rig.send_point(sender, plain.share, 2);
        send_sealed(&mut rig, sender, sealed.share, 1);
        let seen = rig.viewer(viewer);
        assert_eq!(seen.counters(plain.session), [1]);
        assert_eq!(seen.counters(sealed.session), [1]);
        let stopped = Saw::State(plain.session, SessionState::Stopped);
        assert!(seen.saw.contains(&stopped), "{:?}", seen.saw);
        rig.take_frames(sender);

        for key in ["", "key"] {
            rig.send(sender, Rig::share_start(key, 900));
            assert_eq!(rig.take_refusal(sender), Some(Code::WrongSealing));
            let asked = rig.ask(Rig::start_request("ana", key)).1;
            let error = asked.expect("a reply").expect_err("refused");
            assert_eq!(error.code, Code::WrongSealing, "{error}");
        }
        rig.send_point(sender, sealed.share, 2);
        let verdicts = rig.take_accepted(sender);
        let verdicts = verdicts.iter().flat_map(|it| &it.verdicts);
        let codes: Vec<Code> = verdicts.map(|verdict| verdict.code).collect();
        assert_eq!(codes, [Code::WrongSealing], "plain in a sealed session");

        rig.restart(0);
        assert!(is_sealed(&mut rig), "a restart does not open it");
        let sender = rig.connect(other, "ana");
        rig.send(sender, Rig::share_start("", 900));
        assert_eq!(rig.take_refusal(sender), Some(Code::WrongSealing));

        assert_eq!(seal(&mut rig, false), done(true));
        assert!(!is_sealed(&mut rig));
        rig.share(sender, "");
    }
}

#[test]
fn a_plain_start_on_its_way_does_not_slip_in() {
    let mut rig = Rig::new(1).with_members();
    let sender = rig.connect(0, "ana");
    rig.control = Control::Hold;
    rig.send(sender, Rig::share_start("", 900));
    seal(&mut rig, true);
    rig.control = Control::Commit;
    rig.work_control();
    rig.settle();
    assert_eq!(rig.take_refusal(sender), Some(Code::WrongSealing));
    assert_eq!(rig.live_sessions(), []);
    let control = rig.control_state.chat("harbour").expect("the chat");
    assert!(control.sealed && control.sessions.is_empty());
}

#[test]
fn sealing_acts_before_it_is_durable_and_is_promised_later() {
    let mut rig = Rig::new(2).with_members();
    let sender = rig.connect(0, "ana");
    rig.share(sender, "");
    rig.control = Control::Reject;
    assert_eq!(seal(&mut rig, true), done(false));
    assert_eq!(rig.live_sessions(), []);
    assert!(is_sealed(&mut rig));
    // Opening is permissive: what is not durable does not act.
    let refused = seal(&mut rig, false).expect("a reply");
    assert!(refused.is_err(), "{refused:?}");
    assert!(is_sealed(&mut rig));
    rig.control = Control::Commit;
    rig.advance(10_000);
    let control = rig.control_state.chat("harbour").expect("the chat");
    assert!(control.sealed && control.sessions.is_empty());
}

#[test]
fn an_older_sealing_that_was_refused_does_not_undo_a_newer_opening() {
    let mut rig = Rig::new(1).with_members();
    rig.control = Control::Reject;
    assert_eq!(seal(&mut rig, true), done(false));
    rig.control = Control::Commit;
    assert_eq!(seal(&mut rig, false), done(true));
    rig.advance(20_000);
    assert!(!is_sealed(&mut rig));
    assert!(!rig.control_state.chat("harbour").expect("the chat").sealed);
}

#[test]
fn a_chat_that_nobody_has_named_can_be_sealed_before_anybody_shares() {
    let mut rig = Rig::new(1);
    assert_eq!(seal(&mut rig, true), done(true));
    assert!(is_sealed(&mut rig));
    let mut rig = Rig::new(1);
    let error = seal(&mut rig, false)
        .expect("a reply")
        .expect_err("refused");
    assert_eq!(error.code, Code::NotFound);
}
