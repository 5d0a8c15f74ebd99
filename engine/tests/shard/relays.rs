//! Relays among the connections: what they are told, and what waits for their answers.

use skein_engine::identity::Grant;
use skein_engine::limits::FENCE_MS_MAX;
use skein_engine::request::ChatRequest;
use skein_wire::error::Code;
use skein_wire::ids::{ChatHandle, RequestNumber};
use skein_wire::request::{MembersAsk, MembersSeen, Request};
use skein_wire::update::{Members, Update};

use crate::peer::Peer;
use crate::rig::{Rig, chat, user};

/// A relay on a shard, which watches the chat and has taken what it was told so far.
fn relay(rig: &mut Rig, shard: u16) -> (Peer, ChatHandle) {
    let relay = rig.connect_as(shard, "relay", Some(Grant::Relay));
    let handle = rig.watch(relay).chat;
    rig.take_frames(relay);
    (relay, handle)
}

fn members(frames: Vec<Update>) -> Option<Members> {
    frames.into_iter().find_map(|update| match update {
        Update::Members(members) => Some(members),
        _ => None,
    })
}

fn remove_ana() -> ChatRequest {
    ChatRequest::RemoveMember {
        chat: chat(),
        user: user("ana"),
        expected: None,
    }
}

#[test]
fn a_relay_learns_the_members_page_by_page() {
    let mut rig = Rig::new(2).with_members();
    let (relay, chat) = relay(&mut rig, 0);
    let ask = |after| {
        Request::MembersAsk(MembersAsk {
            request: RequestNumber(5),
            chat,
            after,
        })
    };
    rig.send(relay, ask(None));
    let page = members(rig.take_frames(relay)).expect("a page");
    assert_eq!(page.request, RequestNumber(5));
    assert_eq!(page.members, [(user("ana"), 3), (user("bob"), 3)]);
    assert!(!page.more);
    rig.send(relay, ask(Some(user("ana"))));
    let page = members(rig.take_frames(relay)).expect("a page");
    assert_eq!(page.members, [(user("bob"), 3)]);
}

#[test]
fn a_removal_waits_for_the_relays_wherever_they_are() {
    for shard in [0, 1] {
        let mut rig = Rig::new(2).with_members();
        let (relay, chat) = relay(&mut rig, shard);
        let (removal, reply) = rig.ask(remove_ana());
        assert_eq!(reply, None, "nothing is said before the relay has answered");
        let told = members(rig.take_frames(relay)).expect("it is told");
        assert_eq!(told.members, [(user("ana"), 0)]);
        // The answer to an older change is none to this one.
        let offset = told.offset - 1;
        rig.send(relay, Request::MembersSeen(MembersSeen { chat, offset }));
        assert_eq!(rig.replies.get(&removal), None);
        let offset = told.offset;
        rig.send(relay, Request::MembersSeen(MembersSeen { chat, offset }));
        let reply = rig.replies.get(&removal).expect("a reply");
        assert!(reply.is_ok(), "{reply:?}");
    }
}

#[test]
fn a_relay_that_does_not_answer_is_cut_and_the_removal_says_so() {
    let mut rig = Rig::new(2).with_members();
    let (relay, _) = relay(&mut rig, 1);
    let (removal, _) = rig.ask(remove_ana());
    rig.advance(FENCE_MS_MAX + 1);
    assert_eq!(rig.closed.get(&relay), Some(&Code::Deadline));
    let reply = rig.replies.get(&removal).expect("a reply");
    let code = reply.as_ref().err().map(|error| error.code);
    assert_eq!(code, Some(Code::NotAppliedEverywhere));
    // Repeated, it is met: nobody is left who could show anything.
    let (_, again) = rig.ask(remove_ana());
    assert!(again.expect("a reply").is_ok());
}

#[test]
fn a_relay_that_goes_is_waited_for_no_longer() {
    let mut rig = Rig::new(2).with_members();
    let (relay, _) = relay(&mut rig, 1);
    let (removal, reply) = rig.ask(remove_ana());
    assert_eq!(reply, None);
    rig.disconnect(relay);
    assert!(rig.replies.get(&removal).expect("a reply").is_ok());
}
