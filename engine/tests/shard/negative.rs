//! Every verb, asked by those who must not: another's session, another chat, a guessed id, a session
//! that is over, a right that is gone. Absent and forbidden look the same.

use skein_engine::request::{Actor, ChatReply, ChatRequest, PointsRequest, StartRequest};
use skein_wire::error::Code;
use skein_wire::ids::{ChatName, RequestNumber, SessionId, ShareNumber};
use skein_wire::request::{
    Delivery, Heartbeat, Request, ShareExtend, ShareResume, ShareStart, ShareStop, Unwatch, Watch,
};

use crate::members::members_of;
use crate::rig::{Rig, chat, point, user};

fn other_chat() -> ChatName {
    ChatName::new("elsewhere").unwrap()
}

fn code(reply: Option<Result<ChatReply, skein_wire::error::WireError>>) -> Option<Code> {
    reply.map(|reply| reply.err().map_or(Code::Ok, |error| error.code))
}

/// Every request of the API about a session.
fn about_session(name: &ChatName, session: SessionId, actor: &Actor) -> Vec<ChatRequest> {
    vec![
        ChatRequest::Extend {
            chat: name.clone(),
            session,
            actor: actor.clone(),
            duration_s: 60,
        },
        ChatRequest::Points(PointsRequest {
            chat: name.clone(),
            session,
            actor: actor.clone(),
            historical: false,
            durable: false,
            points: vec![point(1_000)],
        }),
        ChatRequest::Stop {
            chat: name.clone(),
            session,
            actor: actor.clone(),
        },
        ChatRequest::OwnSession {
            chat: name.clone(),
            session,
            actor: actor.clone(),
        },
    ]
}

#[test]
fn api_verbs_find_nothing_that_is_not_theirs() {
    let mut rig = Rig::new(2).with_members();
    let sender = rig.connect(0, "ana");
    let session = rig.share(sender, "").session;
    let cases = [
        (chat(), session, "bob"),
        (chat(), session, "eve"),
        (chat(), SessionId(99), "ana"),
        (other_chat(), session, "ana"),
    ];
    for (name, session, who) in cases {
        let actor = Actor::User(user(who).into());
        for request in about_session(&name, session, &actor) {
            let text = format!("{request:?}");
            assert_eq!(code(rig.ask(request).1), Some(Code::NotFound), "{text}");
        }
    }
    assert_eq!(rig.live_sessions(), [session]);
}

#[test]
fn api_verbs_of_a_chat_find_nothing_for_strangers() {
    let mut rig = Rig::new(2).with_members();
    for (name, who) in [(chat(), "eve"), (other_chat(), "ana")] {
        let actor = Actor::User(user(who).into());
        let start = |actor: &Actor| {
            ChatRequest::Start(StartRequest {
                chat: name.clone(),
                actor: actor.clone(),
                user: user(who),
                duration_s: 60,
                idempotency_key: String::new(),
                sealed: false,
            })
        };
        let requests = [
            start(&actor),
            start(&Actor::Control),
            ChatRequest::Positions {
                chat: name.clone(),
                actor: actor.clone(),
            },
            ChatRequest::Sessions {
                chat: name.clone(),
                actor: actor.clone(),
            },
            ChatRequest::Look {
                chat: name.clone(),
                actor: actor.clone(),
            },
            ChatRequest::Settings {
                chat: name.clone(),
                actor: actor.clone(),
            },
            ChatRequest::Geofences {
                chat: name.clone(),
                actor: actor.clone(),
            },
            ChatRequest::Audit {
                chat: name.clone(),
                session: SessionId(99),
                actor: actor.clone(),
            },
        ];
        for request in requests {
            let text = format!("{request:?}");
            assert_eq!(code(rig.ask(request).1), Some(Code::NotFound), "{text}");
        }
    }
    let members = members_of(other_chat());
    assert_eq!(code(rig.ask(members).1), Some(Code::NotFound));
    let for_another = ChatRequest::Start(StartRequest {
        chat: chat(),
        actor: Actor::User(user("ana").into()),
        user: user("bob"),
        duration_s: 60,
        idempotency_key: String::new(),
        sealed: false,
    });
    assert_eq!(code(rig.ask(for_another).1), Some(Code::NotFound));
}

#[test]
fn ended_sessions_take_nothing_more() {
    let mut rig = Rig::new(2).with_members();
    let sender = rig.connect(0, "ana");
    let session = rig.share(sender, "").session;
    rig.advance(900_000);
    let actor = Actor::User(user("ana").into());
    let codes: Vec<_> = about_session(&chat(), session, &actor)
        .into_iter()
        .map(|request| code(rig.ask(request).1))
        .collect();
    let ended = Some(Code::SessionEnded);
    assert_eq!(
        codes,
        [ended, ended, Some(Code::Ok), ended],
        "a stop is met"
    );
}

#[test]
fn a_removed_sharer_cannot_tell_an_ended_session_from_one_that_never_was() {
    for shards in [1, 2] {
        let mut rig = Rig::new(shards).with_members();
        let (owner, other) = rig.owner_and_other();
        let sender = rig.connect(other, "ana");
        let session = rig.share(sender, "").session;
        let actor = Actor::User(user("ana").into());
        let answers = |rig: &mut Rig, session| {
            let requests = about_session(&chat(), session, &actor).into_iter();
            let mut codes: Vec<_> = requests.map(|request| code(rig.ask(request).1)).collect();
            for shard in [owner, other] {
                let peer = rig.connect(shard, "ana");
                let resume = Request::ShareResume(ShareResume {
                    request: RequestNumber(5),
                    chat: chat(),
                    session,
                });
                rig.send(peer, resume);
                codes.push(rig.take_refusal(peer));
            }
            codes
        };
        // Who is a member still, if only to watch, is told that it is over.
        rig.put_member("ana", 2);
        assert_eq!(answers(&mut rig, session)[4], Some(Code::SessionEnded));
        rig.remove_member("ana");
        let of_own = answers(&mut rig, session);
        assert_eq!(of_own, vec![Some(Code::NotFound); 6]);
        assert_eq!(answers(&mut rig, SessionId(99)), of_own);
    }
}

#[test]
fn frames_about_what_a_connection_does_not_have_are_refused() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let sender = rig.connect(other, "ana");
    let session = rig.share(sender, "").session;
    let stranger = rig.connect(other, "bob");
    let request = RequestNumber(5);
    let share = ShareNumber(1);
    let cases = [
        (Rig::point_frame(share, 1), Code::UnknownShare),
        (Rig::history_frame(share, &[1]), Code::UnknownShare),
        (
            Request::Heartbeat(Heartbeat {
                share,
                counter: Default::default(),
            }),
            Code::UnknownShare,
        ),
        (
            Request::ShareExtend(ShareExtend {
                request,
                share,
                duration_s: 60,
            }),
            Code::UnknownShare,
        ),
        (
            Request::ShareStop(ShareStop { request, share }),
            Code::UnknownShare,
        ),
        (
            Request::ShareResume(ShareResume {
                request,
                chat: chat(),
                session,
            }),
            Code::NotFound,
        ),
        (
            Request::ShareResume(ShareResume {
                request,
                chat: other_chat(),
                session,
            }),
            Code::NotFound,
        ),
        (
            Request::Unwatch(Unwatch {
                request,
                chat: skein_wire::ids::ChatHandle(1),
            }),
            Code::UnknownWatch,
        ),
        (
            Request::Cursor(skein_wire::request::CursorReport {
                chat: skein_wire::ids::ChatHandle(1),
                cell: Default::default(),
                epoch: 1,
                offset: 1,
            }),
            Code::UnknownWatch,
        ),
        (Rig::share_start("", 0), Code::BadDuration),
        (Rig::share_start("", 24 * 3_600 + 1), Code::BadDuration),
    ];
    for (frame, expected) in cases {
        let text = format!("{frame:?}");
        rig.send(stranger, frame);
        assert_eq!(rig.take_refusal(stranger), Some(expected), "{text}");
    }
    assert_eq!(rig.live_sessions(), [session]);
}

#[test]
fn absent_and_forbidden_chats_look_the_same_to_a_viewer() {
    let mut rig = Rig::new(2).with_members();
    for shard in 0..2 {
        let eve = rig.connect(shard, "eve");
        let Request::Watch(watch) = Rig::watch_frame(None, Default::default()) else {
            unreachable!();
        };
        let elsewhere = Request::Watch(Watch {
            chat: other_chat(),
            ..watch.clone()
        });
        let mut answers = Vec::new();
        for frame in [Request::Watch(watch), elsewhere] {
            rig.send(eve, frame);
            answers.push(format!("{:?}", rig.take_frames(eve).last()));
        }
        assert!(answers[0].contains("NotFound"), "{answers:?}");
        assert_eq!(answers[0], answers[1]);
    }
}

#[test]
fn a_member_that_waits_beside_a_stranger_is_served() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let eve = rig.connect(other, "eve");
    let bob = rig.connect(other, "bob");
    rig.send_only(eve, Rig::watch_frame(None, Default::default()));
    rig.watch(bob);
    assert_eq!(rig.take_refusal(eve), Some(Code::NotFound));
}

#[test]
fn another_user_on_the_same_connection_ends_it() {
    let mut rig = Rig::new(1).with_members();
    let peer = rig.connect(0, "ana");
    let identity = skein_engine::identity::Identity {
        person: user("bob").into(),
        expires_at_ms: u64::MAX,
    };
    let connection = skein_engine::ids::ConnectionId(peer.number);
    rig.shards[0].handle_identity(rig.now, connection, identity);
    rig.settle();
    assert_eq!(rig.closed.get(&peer), Some(&Code::BadToken));
    rig.send(peer, Request::Ping(1));
    let frames = rig.take_frames(peer);
    assert!(
        !frames
            .iter()
            .any(|it| matches!(it, skein_wire::update::Update::Pong(_)))
    );
}

#[test]
fn an_expired_token_ends_the_connection_unless_it_was_renewed() {
    let mut rig = Rig::new(1).with_members();
    let day_ms = 24 * 3_600_000;
    let (gone, kept) = (rig.connect(0, "ana"), rig.connect(0, "bob"));
    rig.advance(day_ms - 1);
    let identity = skein_engine::identity::Identity {
        person: user("bob").into(),
        expires_at_ms: rig.now.0 + day_ms,
    };
    let connection = skein_engine::ids::ConnectionId(kept.number);
    rig.shards[0].handle_identity(rig.now, connection, identity);
    rig.advance(1);
    assert_eq!(rig.closed.get(&gone), Some(&Code::TokenExpired));
    assert_eq!(rig.closed.get(&kept), None);
}

/// A chat that is not there and belongs to the same shard as the one that is.
fn absent_beside(rig: &Rig) -> ChatName {
    let owner = |name: &ChatName| rig.owner_of(name);
    (0..)
        .map(|number| ChatName::new(&format!("nowhere-{number}")).unwrap())
        .find(|name| owner(name) == owner(&chat()))
        .unwrap()
}

#[test]
fn absent_and_forbidden_take_the_same_way_to_the_same_answer() {
    for is_mirrored in [false, true] {
        let mut rig = Rig::new(2).with_members();
        let (owner, other) = rig.owner_and_other();
        if is_mirrored {
            let viewer = rig.connect(other, "bob");
            rig.watch(viewer);
        }
        let absent = absent_beside(&rig);
        for shard in [owner, other] {
            let stranger = rig.connect(shard, "eve");
            rig.take_frames(stranger);
            let mut tries = Vec::new();
            for name in [chat(), absent.clone()] {
                for request in [watch_of(&name), start_of(&name), resume_of(&name)] {
                    let messages = rig.messages;
                    rig.send(stranger, request);
                    rig.settle();
                    tries.push((rig.messages - messages, rig.take_frames(stranger)));
                }
            }
            let (forbidden, not_there) = tries.split_at(3);
            assert_eq!(
                forbidden, not_there,
                "mirrored: {is_mirrored}, shard {shard}"
            );
            assert!(
                tries.iter().all(|(_, frames)| frames.len() == 1),
                "{tries:?}"
            );
        }
    }
}

fn watch_of(chat: &ChatName) -> Request {
    Request::Watch(Watch {
        request: RequestNumber(9),
        chat: chat.clone(),
        session: None,
        view: None,
        cursor: None,
        delivery: Delivery::Latest,
        trail: 0,
        interval_ms: 0,
    })
}

fn start_of(chat: &ChatName) -> Request {
    Request::ShareStart(ShareStart {
        request: RequestNumber(9),
        chat: chat.clone(),
        duration_s: 60,
        idempotency_key: String::new(),
        sealed: false,
    })
}

fn resume_of(chat: &ChatName) -> Request {
    Request::ShareResume(ShareResume {
        request: RequestNumber(9),
        chat: chat.clone(),
        session: SessionId(5),
    })
}
