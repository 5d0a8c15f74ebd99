//! Who sees me: present viewers of a session, and views that begin and end once.

use skein_engine::identity::Person;
use skein_engine::limits::{Limits, VIEWERS_LISTED_MAX};
use skein_engine::request::{Actor, ChatReply, ChatRequest};
use skein_engine::view::{View, Viewers};
use skein_wire::error::Code;
use skein_wire::ids::{RequestNumber, SessionId};
use skein_wire::request::{Delivery, Request, Unwatch};

use crate::rig::{Rig, chat, user};

fn rig(shards: u16) -> Rig {
    let limits = Limits {
        views_recorded: true,
        ..Limits::default()
    };
    Rig::with_limits(shards, limits).with_members()
}

fn viewers(rig: &mut Rig, session: SessionId, except: &str) -> Viewers {
    let ask = ChatRequest::Viewers {
        chat: chat(),
        session,
        except: user(except),
    };
    match rig.ask(ask).1 {
        Some(Ok(ChatReply::Viewers(viewers))) => viewers,
        other => panic!("not viewers: {other:?}"),
    }
}

fn begun(rig: &Rig) -> Vec<(String, Option<SessionId>)> {
    let begun = rig.views.iter().filter_map(|view| match view {
        View::Begun(begun) => Some((begun.user.as_str().to_owned(), begun.session)),
        View::Ended { .. } => None,
    });
    begun.collect()
}

fn open(rig: &Rig) -> usize {
    let ended = rig.views.len() - begun(rig).len();
    begun(rig).len() - ended
}

#[test]
fn present_viewers_are_others_that_are_shown_the_session() {
    let mut rig = rig(1);
    let sender = rig.connect(0, "ana");
    let shared = rig.share(sender, "");
    rig.watch(sender);
    assert_eq!(viewers(&mut rig, shared.session, "ana"), Viewers::default());
    let since = rig.now.0;
    let peers = [rig.connect(0, "bob"), rig.connect(0, "bob")];
    for peer in peers {
        rig.watch(peer);
    }
    let expect = Viewers {
        total: 2,
        listed: vec![(user("bob"), since), (user("bob"), since)],
        looked: Vec::new(),
    };
    assert_eq!(viewers(&mut rig, shared.session, "ana"), expect);
    rig.disconnect(peers[0]);
    assert_eq!(viewers(&mut rig, shared.session, "ana").total, 1);
    const { assert!(VIEWERS_LISTED_MAX >= 2) };
}

#[test]
fn only_the_sharer_and_operators_may_ask() {
    let mut rig = rig(1);
    let sender = rig.connect(0, "ana");
    let session = rig.share(sender, "").session;
    let mut ask = |actor, session| {
        let ask = ChatRequest::OwnSession {
            chat: chat(),
            session,
            actor,
        };
        let reply = rig.ask(ask).1.expect("a reply");
        reply.map_err(|error| error.code)
    };
    let person = |name| Actor::User(Person::from(user(name)));
    for actor in [person("ana"), Actor::Control] {
        let reply = ask(actor, session).expect("the session");
        let ChatReply::Session(info) = reply else {
            panic!("not a session: {reply:?}");
        };
        assert_eq!((info.session, info.user), (session, user("ana")));
    }
    for name in ["bob", "stranger"] {
        assert_eq!(ask(person(name), session), Err(Code::NotFound), "{name}");
    }
    assert_eq!(ask(person("ana"), SessionId(5)), Err(Code::NotFound));
}

#[test]
fn a_view_begins_and_ends_once() {
    let mut rig = rig(1);
    let sender = rig.connect(0, "ana");
    rig.share(sender, "");
    let bob = rig.connect(0, "bob");
    let watching = rig.watch(bob);
    assert_eq!(begun(&rig), [("bob".to_owned(), None)]);
    // Who watches anew goes on seeing it.
    rig.watch(bob);
    assert_eq!((begun(&rig).len(), open(&rig)), (1, 1), "{:?}", rig.views);
    let unwatch = Unwatch {
        request: RequestNumber(9),
        chat: watching.chat,
    };
    rig.send(bob, Request::Unwatch(unwatch));
    assert_eq!((begun(&rig).len(), open(&rig)), (1, 0), "{:?}", rig.views);
    // However it ends.
    rig.watch(bob);
    rig.remove_member("bob");
    assert_eq!((begun(&rig).len(), open(&rig)), (2, 0), "{:?}", rig.views);
    let ana = rig.connect(0, "ana");
    rig.watch(ana);
    rig.disconnect(ana);
    assert_eq!((begun(&rig).len(), open(&rig)), (3, 0), "{:?}", rig.views);
    // A look at all positions is a view of a moment.
    let look = ChatRequest::Positions {
        chat: chat(),
        actor: Actor::User(Person::from(user("ana"))),
    };
    rig.ask(look);
    assert_eq!((begun(&rig).len(), open(&rig)), (4, 0), "{:?}", rig.views);
}

#[test]
fn where_no_record_is_kept_nothing_is_told() {
    let mut rig = Rig::new(1).with_members();
    let bob = rig.connect(0, "bob");
    rig.watch(bob);
    rig.disconnect(bob);
    assert_eq!(rig.views, []);
}

#[test]
fn a_record_is_for_members_and_their_own_sessions() {
    let mut rig = rig(2);
    let sender = rig.connect(0, "ana");
    let session = rig.share(sender, "").session;
    let audit = |rig: &mut Rig, session: SessionId, who: &str| {
        let asked = ChatRequest::Audit {
            chat: chat(),
            session,
            actor: Actor::User(user(who).into()),
        };
        match rig.ask(asked).1.expect("an answer") {
            Ok(ChatReply::Audit(live)) => Ok(live.is_some()),
            Err(error) => Err(error.code),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(audit(&mut rig, session, "ana"), Ok(true));
    // Another's and one that is not there are the same: only the record can tell of own ones.
    assert_eq!(audit(&mut rig, session, "bob"), Ok(false));
    assert_eq!(audit(&mut rig, SessionId(99), "bob"), Ok(false));
    assert_eq!(audit(&mut rig, session, "eve"), Err(Code::NotFound));
    rig.remove_member("ana");
    assert_eq!(audit(&mut rig, session, "ana"), Err(Code::NotFound));
}

#[test]
fn the_sharer_is_not_counted_behind_those_that_are_listed_either() {
    let mut rig = rig(1);
    let sender = rig.connect(0, "ana");
    let session = rig.share(sender, "").session;
    for _ in 0..VIEWERS_LISTED_MAX {
        let peer = rig.connect(0, "bob");
        rig.expect_viewer(peer);
        rig.send_only(peer, Rig::watch_frame(None, Delivery::Latest));
    }
    rig.settle();
    for _ in 0..2 {
        let own = rig.connect(0, "ana");
        rig.watch(own);
    }
    let seen = viewers(&mut rig, session, "ana");
    assert_eq!(seen.total, VIEWERS_LISTED_MAX as u64);
    assert_eq!(seen.listed.len(), VIEWERS_LISTED_MAX);
    assert_eq!(viewers(&mut rig, session, "eve").total, seen.total + 2);
}
