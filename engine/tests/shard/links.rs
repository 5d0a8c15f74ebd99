//! Links for guests that have nothing to show any more: they end by themselves, as a promise.

use skein_engine::guest::{GuestGrant, GuestRecord, guest_user};
use skein_engine::identity::Grant;
use skein_engine::ids::GuestId;
use skein_engine::limits::{LINK_LINGER_MS, Limits};
use skein_engine::request::{ChatReply, ChatRequest};
use skein_wire::ids::{RequestNumber, SessionId};
use skein_wire::request::{Delivery, Request, ShareStop, Unwatch};

use crate::peer::Peer;
use crate::rig::{Control, Rig, chat};

const TOMBSTONE_AGE_MS: u64 = 10_000;

fn rig(shards: u16) -> Rig {
    let limits = Limits {
        tombstone_age_ms_max: TOMBSTONE_AGE_MS,
        ..Limits::default()
    };
    Rig::with_limits(shards, limits).with_members()
}

fn link(rig: &mut Rig, number: u64, session: Option<SessionId>, duration_ms: u64) {
    link_for(rig, number, session, duration_ms, 0);
}

fn link_for(
    rig: &mut Rig,
    number: u64,
    session: Option<SessionId>,
    duration_ms: u64,
    viewers_max: u32,
) {
    let record = GuestRecord {
        session: session.map_or(0, |session| session.0),
        last_only: false,
        grid_m: 0,
        viewers_max,
        created_at_ms: rig.now.0,
        expires_at_ms: rig.now.0 + duration_ms,
        label: "for the parents".to_owned(),
    };
    let made = rig.ask(ChatRequest::PutGuest {
        chat: chat(),
        guest: GuestId(number),
        record,
    });
    assert!(matches!(made.1, Some(Ok(_))), "{made:?}");
}

/// Links as the control log has them.
fn promised(rig: &Rig) -> Vec<u64> {
    let chat = rig.control_state.chat("harbour").expect("a chat");
    let guests: Vec<u64> = chat.guests.keys().copied().collect();
    let are_members = |id: &u64| {
        let user = guest_user(GuestId(*id));
        chat.members.contains_key(user.as_str())
    };
    assert!(guests.iter().all(are_members));
    assert_eq!(chat.members.len(), guests.len() + 2, "no others");
    guests
}

#[test]
fn a_link_ends_some_time_after_its_own_time() {
    for (shards, restarted) in [(1, false), (2, false), (2, true)] {
        let mut rig = rig(shards);
        link(&mut rig, 1, None, 60_000);
        link(&mut rig, 2, None, 600_000);
        if restarted {
            rig.restart(0);
        }
        rig.advance(60_000);
        assert_eq!(promised(&rig), [1, 2], "its viewers are told of its time");
        rig.advance(LINK_LINGER_MS);
        assert_eq!(promised(&rig), [2]);
    }
}

#[test]
fn a_link_to_a_session_goes_when_the_session_is_forgotten() {
    let mut rig = rig(2);
    let (_, other) = rig.owner_and_other();
    let sender = rig.connect(other, "ana");
    let shared = rig.share(sender, "");
    link(&mut rig, 1, Some(shared.session), 600_000);
    link(&mut rig, 2, None, 600_000);
    let stop = Request::ShareStop(ShareStop {
        request: RequestNumber(9),
        share: shared.share,
    });
    rig.send(sender, stop);
    assert_eq!(promised(&rig), [1, 2], "who was away is told of the end");
    rig.advance(TOMBSTONE_AGE_MS + 1_000);
    assert_eq!(promised(&rig), [2]);
}

#[test]
fn an_end_that_is_not_durable_is_asked_for_once_and_repeated() {
    let mut rig = rig(1);
    link(&mut rig, 1, None, 1_000);
    link(&mut rig, 2, None, 2_000);
    rig.control = Control::Hold;
    let before = rig.shards[0].stats().proposals;
    rig.advance(2_000 + LINK_LINGER_MS);
    let tries = rig.shards[0].stats().proposals - before;
    assert_eq!(tries, 2, "though all links were looked at twice");
    rig.control = Control::Reject;
    rig.work_control();
    rig.advance(1_000);
    assert_eq!(promised(&rig), [1, 2]);
    rig.control = Control::Commit;
    rig.advance(60_000);
    assert_eq!(promised(&rig), [0_u64; 0]);
}

/// Somebody who looks through a link.
fn guest(rig: &mut Rig, shard: u16, number: u64) -> Peer {
    let grant = GuestGrant {
        guest: GuestId(number),
        chat: chat(),
        session: None,
        last_only: false,
        grid: None,
    };
    let name = guest_user(GuestId(number));
    let peer = rig.connect_as(shard, name.as_str(), Some(Grant::Guest(grant)));
    rig.expect_viewer(peer);
    peer
}

/// How many look through the only link now.
fn looking(rig: &mut Rig) -> u32 {
    match rig.ask(ChatRequest::Guests { chat: chat() }).1 {
        Some(Ok(ChatReply::Guests(links))) => links[0].viewers,
        other => panic!("no links but {other:?}"),
    }
}

#[test]
fn a_guest_that_asks_twice_before_the_first_answer_has_one_seat_and_gives_it_back() {
    for viewers_max in [0, 1, 2] {
        let mut rig = rig(2);
        let (_, other) = rig.owner_and_other();
        link_for(&mut rig, 1, None, 600_000, viewers_max);
        for is_mirrored in [false, true] {
            let peer = guest(&mut rig, other, 1);
            rig.send_only(peer, Rig::watch_frame(None, Delivery::Latest));
            rig.send_only(peer, Rig::watch_frame(None, Delivery::Every));
            rig.settle();
            assert_eq!(rig.take_refusal(peer), None, "{viewers_max} {is_mirrored}");
            assert_eq!(looking(&mut rig), 1, "{viewers_max} {is_mirrored}");
            match is_mirrored {
                false => rig.disconnect(peer),
                true => {
                    let (request, chat) = (RequestNumber(9), rig.watching_of(peer).unwrap().chat);
                    rig.send(peer, Request::Unwatch(Unwatch { request, chat }));
                }
            }
            assert_eq!(looking(&mut rig), 0, "{viewers_max} {is_mirrored}");
        }
    }
}
