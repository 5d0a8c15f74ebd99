//! Geofences and alerts: what is crossed is promised and told, once, to those who may know.

use skein_engine::geofence::record::{GeofenceWish, Shape};
use skein_engine::guest::{GuestGrant, GuestRecord};
use skein_engine::identity::{Grant, Identity, Person};
use skein_engine::ids::{ConnectionId, GuestId};
use skein_engine::limits::{
    ALERTS_PER_CHAT_MAX, ALERTS_PER_USER_MAX, CROSSINGS_PER_SESSION_BURST_MAX,
    GEOFENCES_PER_CHAT_MAX, Limits,
};
use skein_engine::request::{Actor, ChatRequest};
use skein_engine::view::View;
use skein_wire::error::Code;
use skein_wire::ids::{Counter, RequestNumber};
use skein_wire::request::{Heartbeat, Request, SharePoints};
use skein_wire::update::Update;

use crate::geofence_stage::{
    Walker, alerts, answer, assert_alternating, circle, geofences, near, north, person, put,
    remove, told, watcher, wish,
};
use crate::peer::Peer;
use crate::rig::{Control, Rig, chat, user};

#[test]
fn who_comes_and_goes_is_told_to_all_who_watch_on_every_shard() {
    for shards in [1, 2] {
        let mut rig = Rig::new(shards).with_members();
        let (owner, other) = rig.owner_and_other();
        let viewers = [
            watcher(&mut rig, owner, "bob"),
            watcher(&mut rig, other, "ana"),
        ];
        assert_eq!(put(&mut rig, wish("gate", None, circle(100))), Ok(()));
        let mut ana = Walker::start(&mut rig, other, "ana");
        // In, about at the border, out, in again: 10 m of margin, and each fix is good to 5 m.
        ana.walk(&mut rig, &[300, 150, 99, 104, 98, 108]);
        for viewer in viewers {
            assert_eq!(told(&mut rig, viewer), ["gate enter ana"]);
        }
        let inside = geofences(&mut rig, person("bob")).unwrap();
        assert_eq!(
            inside[0].inside[0].subject,
            (ana.shared.session, user("ana"))
        );
        ana.walk(&mut rig, &[112, 104, 130]);
        for viewer in viewers {
            assert_eq!(told(&mut rig, viewer), ["gate exit ana"]);
        }
        assert_eq!(
            geofences(&mut rig, person("bob")).unwrap()[0].inside_total,
            0
        );
        assert_eq!(rig.crossings.len(), 2);
        assert_alternating(&rig);
    }
}

#[test]
fn who_is_far_away_all_at_once_has_left() {
    let mut rig = Rig::new(1).with_members();
    let viewer = watcher(&mut rig, 0, "bob");
    for name in ["gate", "yard"] {
        put(&mut rig, wish(name, None, circle(100))).unwrap();
    }
    let mut ana = Walker::start(&mut rig, 0, "ana");
    // So far that no way is known: nothing but what is remembered of her speaks for a look at the gate.
    ana.walk(&mut rig, &[0]);
    assert_eq!(told(&mut rig, viewer), ["gate enter ana", "yard enter ana"]);
    ana.walk(&mut rig, &[50_000]);
    assert_eq!(told(&mut rig, viewer), ["gate exit ana", "yard exit ana"]);
    ana.walk(&mut rig, &[60_000, 0]);
    assert_eq!(told(&mut rig, viewer), ["gate enter ana", "yard enter ana"]);
    assert_alternating(&rig);
}

#[test]
fn a_vague_fix_and_a_late_one_say_nothing() {
    let mut rig = Rig::new(1).with_members();
    let viewer = watcher(&mut rig, 0, "bob");
    put(&mut rig, wish("gate", None, circle(100))).unwrap();
    let mut ana = Walker::start(&mut rig, 0, "ana");
    ana.go(&mut rig, north(0), 110.0);
    assert_eq!(told(&mut rig, viewer), [""; 0], "the phone knows nothing");
    ana.go(&mut rig, north(0), 90.0);
    assert_eq!(told(&mut rig, viewer), ["gate enter ana"]);
    for (metres, accuracy_m) in [(2_000, 2_000.0), (900, 110.0), (150, 60.0)] {
        ana.go(&mut rig, north(metres), accuracy_m);
        assert_eq!(told(&mut rig, viewer), [""; 0], "{metres} {accuracy_m}");
    }
    // Where she was an hour ago is no news.
    let missed = ana.point(north(900), 5.0);
    ana.go(&mut rig, north(0), 5.0);
    let late = SharePoints {
        share: ana.shared.share,
        historical: true,
        durable: false,
        points: vec![missed],
    };
    rig.send(ana.peer, Request::Points(late));
    assert_eq!(told(&mut rig, viewer), [""; 0]);
    ana.go(&mut rig, north(900), 60.0);
    assert_eq!(told(&mut rig, viewer), ["gate exit ana"]);
}

#[test]
fn a_line_that_is_crossed_between_two_fixes_is_crossed() {
    let mut rig = Rig::new(1).with_members();
    let viewer = watcher(&mut rig, 0, "bob");
    put(&mut rig, wish("gate", None, circle(30))).unwrap();
    let mut ana = Walker::start(&mut rig, 0, "ana");
    ana.walk(&mut rig, &[-200, 200]);
    assert_eq!(told(&mut rig, viewer), ["gate enter ana", "gate exit ana"]);
    ana.walk(&mut rig, &[210, 35, 300]);
    assert_eq!(told(&mut rig, viewer), [""; 0], "only to the border");
    // From beyond to near the border on the other side: in, and out when it is clear.
    ana.walk(&mut rig, &[-35]);
    assert_eq!(told(&mut rig, viewer), ["gate enter ana"]);
    ana.walk(&mut rig, &[-200]);
    assert_eq!(told(&mut rig, viewer), ["gate exit ana"]);
    // After a long silence nobody knows the way; nor where a receiver jumps.
    rig.advance(6 * 60_000);
    ana.walk(&mut rig, &[200]);
    ana.go(&mut rig, north(-50_000), 5.0);
    ana.go(&mut rig, north(50_000), 5.0);
    assert_eq!(told(&mut rig, viewer), [""; 0]);
    assert_alternating(&rig);
}

#[test]
fn a_stay_is_told_when_it_has_lasted_though_no_point_comes() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    let viewer = watcher(&mut rig, other, "bob");
    let stay = GeofenceWish {
        dwell_s: 60,
        ..wish("bench", None, circle(100))
    };
    put(&mut rig, stay).unwrap();
    let mut ana = Walker::start(&mut rig, other, "ana");
    // Through it in less.
    ana.walk(&mut rig, &[500, 50, -50, -500, 0]);
    let beat = Request::Heartbeat(Heartbeat {
        share: ana.shared.share,
        counter: Counter(ana.counter),
    });
    for _ in 0..5 {
        rig.advance(11_000);
        rig.send(ana.peer, beat.clone());
    }
    assert_eq!(told(&mut rig, viewer), [""; 0]);
    rig.advance(6_000);
    assert_eq!(told(&mut rig, viewer), ["bench enter ana"]);
    // Of a phone that has fallen silent nobody knows whether it stayed.
    ana.walk(&mut rig, &[500, 0]);
    rig.advance(120_000);
    assert_eq!(told(&mut rig, viewer), ["bench exit ana"]);
    ana.walk(&mut rig, &[10]);
    assert_eq!(told(&mut rig, viewer), ["bench enter ana"], "it did");
}

#[test]
fn an_alert_is_told_to_its_owner_alone_and_once() {
    for shards in [1, 2] {
        let mut rig = Rig::new(shards).with_members();
        rig.put_member("eve", 3);
        let (owner, other) = rig.owner_and_other();
        let (bob, bobs) = (
            watcher(&mut rig, other, "bob"),
            watcher(&mut rig, owner, "bob"),
        );
        let eve = watcher(&mut rig, other, "eve");
        let mut ana = Walker::start(&mut rig, owner, "ana");
        let mut theirs = Walker::start(&mut rig, other, "bob");
        theirs.walk(&mut rig, &[0]);
        let alert = GeofenceWish {
            once: true,
            user: Some(user("ana")),
            ..wish("ana is here", Some("bob"), near(100))
        };
        put(&mut rig, alert).unwrap();
        let again = GeofenceWish {
            user: Some(user("ana")),
            ..wish("and gone", Some("bob"), near(100))
        };
        put(&mut rig, again).unwrap();
        assert_eq!(
            alerts(&mut rig, person("ana")),
            Ok((vec![], vec!["bob".to_owned(); 2]))
        );
        ana.walk(&mut rig, &[500, 90]);
        let mut first = told(&mut rig, bob);
        first.sort();
        assert_eq!(
            first,
            ["!ana is here near ana bob", "!and gone near ana bob"]
        );
        assert_eq!(told(&mut rig, bobs).len(), 2, "on each of his connections");
        let left = alerts(&mut rig, person("bob"));
        assert_eq!(
            left,
            Ok((vec!["and gone".to_owned()], vec![])),
            "once is over"
        );
        // He moves away, and she comes after him.
        theirs.walk(&mut rig, &[-100]);
        assert_eq!(told(&mut rig, bob), ["!and gone far ana bob"]);
        ana.walk(&mut rig, &[-50]);
        assert_eq!(told(&mut rig, bob), ["!and gone near ana bob"]);
        assert_eq!(told(&mut rig, eve), [""; 0], "it is his alone");
        assert_alternating(&rig);
    }
}

#[test]
fn who_may_not_watch_is_told_nothing_and_sets_nothing() {
    let mut rig = Rig::new(2).with_members();
    rig.put_member("eve", 1);
    let (owner, _) = rig.owner_and_other();
    let mut ana = Walker::start(&mut rig, owner, "ana");
    // Neither a stranger nor who may only share, nor on behalf of another one; the chat's are the operator's.
    for (actor, name, expect) in [
        (person("dan"), Some("dan"), Err(Code::NotFound)),
        (person("eve"), Some("eve"), Err(Code::NotFound)),
        (person("ana"), Some("bob"), Err(Code::NotFound)),
        (person("ana"), None, Err(Code::NotFound)),
        (Actor::Control, Some("eve"), Err(Code::NotFound)),
        (Actor::Control, Some("bob"), Ok(())),
    ] {
        let wish = wish("gate", name, circle(100));
        let asked = ChatRequest::PutGeofence {
            actor: actor.clone(),
            wish,
        };
        assert_eq!(answer(rig.ask(asked).1), expect, "{actor:?} {name:?}");
    }
    for actor in [person("dan"), person("eve"), guest()] {
        assert_eq!(geofences(&mut rig, actor.clone()), Err(Code::NotFound));
        assert_eq!(alerts(&mut rig, actor), Err(Code::NotFound));
    }
    assert_eq!(
        remove(&mut rig, person("ana"), "gate", Some("bob")),
        Err(Code::NotFound)
    );
    let asked = ChatRequest::PutGeofence {
        actor: guest(),
        wish: wish("peek", Some("guest:0000000000000007"), circle(100)),
    };
    assert_eq!(answer(rig.ask(asked).1), Err(Code::NotFound));
    // Bob loses the right while the promise of it is on its way: not even that moment tells.
    rig.control = Control::Hold;
    rig.put_member("bob", 1);
    ana.walk(&mut rig, &[300, 0]);
    rig.control = Control::Commit;
    rig.work_control();
    rig.settle();
    assert_eq!(rig.crossings.len(), 0);
    // And when he has it again his alert is gone.
    rig.put_member("bob", 3);
    assert_eq!(alerts(&mut rig, person("bob")), Ok((vec![], vec![])));
    ana.walk(&mut rig, &[300, 0]);
    assert_eq!(rig.crossings.len(), 0);
}

fn guest() -> Actor {
    let grant = GuestGrant {
        guest: GuestId(7),
        chat: chat(),
        session: None,
        last_only: false,
        grid: None,
    };
    Actor::User(Person {
        user: user("guest:0000000000000007"),
        grant: Some(std::sync::Arc::new(Grant::Guest(grant))),
    })
}

#[test]
fn guests_watch_and_are_told_nothing() {
    let mut rig = Rig::new(1).with_members();
    let record = GuestRecord {
        session: 0,
        last_only: false,
        grid_m: 0,
        viewers_max: 0,
        created_at_ms: rig.now.0,
        expires_at_ms: rig.now.0 + 3_600_000,
        label: String::new(),
    };
    let made = rig.ask(ChatRequest::PutGuest {
        chat: chat(),
        guest: GuestId(7),
        record,
    });
    assert!(matches!(made.1, Some(Ok(_))), "{made:?}");
    let Actor::User(person) = guest() else {
        unreachable!("it is one");
    };
    let identity = Identity {
        person,
        expires_at_ms: u64::MAX / 4,
    };
    let link = Peer {
        shard: 0,
        number: 900,
    };
    rig.shards[0].handle_connected(rig.now, ConnectionId(link.number), identity);
    rig.expect_viewer(link);
    rig.send(
        link,
        Rig::watch_frame(None, skein_wire::request::Delivery::Latest),
    );
    assert!(rig.watching_of(link).is_some(), "the link is good");
    let member = watcher(&mut rig, 0, "bob");
    put(&mut rig, wish("gate", None, circle(100))).unwrap();
    let mut ana = Walker::start(&mut rig, 0, "ana");
    ana.walk(&mut rig, &[300, 0]);
    assert_eq!(told(&mut rig, member), ["gate enter ana"]);
    assert_eq!(told(&mut rig, link), [""; 0]);
}

#[test]
fn who_is_inside_stays_so_across_a_restart() {
    for with_checkpoint in [false, true] {
        let mut rig = Rig::new(2).with_members();
        let (_, other) = rig.owner_and_other();
        put(&mut rig, wish("gate", None, circle(100))).unwrap();
        let repeat = wish("bob", Some("ana"), near(100));
        let mut ana = Walker::start(&mut rig, other, "ana");
        put(&mut rig, repeat).unwrap();
        let mut bob = Walker::start(&mut rig, other, "bob");
        ana.walk(&mut rig, &[300, 0]);
        bob.walk(&mut rig, &[20]);
        assert_eq!(rig.crossings.len(), 3, "{:?}", rig.crossings);
        if with_checkpoint {
            let partition = rig.partition();
            for shard in &mut rig.shards {
                shard.begin_checkpoint(partition);
            }
            rig.settle();
        }
        rig.restart(0);
        rig.advance(1_000);
        assert_eq!(rig.crossings.len(), 3, "nothing happens by itself");
        assert_eq!(
            geofences(&mut rig, Actor::Control).unwrap()[0].inside_total,
            2
        );
        let resumed = rig.connect(other, "bob");
        let resume = skein_wire::request::ShareResume {
            request: RequestNumber(4),
            chat: chat(),
            session: bob.shared.session,
        };
        rig.send(resumed, Request::ShareResume(resume));
        let frames = rig.take_frames(resumed);
        let shared = frames.iter().find_map(|update| match update {
            Update::Shared(shared) => Some(*shared),
            _ => None,
        });
        (bob.peer, bob.shared) = (resumed, shared.expect("the session"));
        bob.walk(&mut rig, &[30]);
        assert_eq!(rig.crossings.len(), 3, "still inside, still near");
        bob.walk(&mut rig, &[900]);
        assert_eq!(rig.crossings.len(), 5, "{:?}", rig.crossings);
        assert_alternating(&rig);
    }
}

#[test]
fn what_cannot_be_promised_is_not_told_and_is_told_later_once() {
    let mut rig = Rig::new(1).with_members();
    let viewer = watcher(&mut rig, 0, "bob");
    put(&mut rig, wish("gate", None, circle(100))).unwrap();
    let mut ana = Walker::start(&mut rig, 0, "ana");
    ana.walk(&mut rig, &[300]);
    rig.control = Control::Reject;
    ana.walk(&mut rig, &[0]);
    rig.advance(3_500);
    assert_eq!(told(&mut rig, viewer), [""; 0]);
    rig.control = Control::Commit;
    rig.advance(1_100);
    assert_eq!(
        told(&mut rig, viewer),
        ["gate enter ana"],
        "without a new point"
    );
    // While one is on its way there is no second one, and what is true then is told.
    rig.control = Control::Hold;
    ana.walk(&mut rig, &[300, 0, 300, 0, 300]);
    rig.control = Control::Commit;
    rig.work_control();
    rig.settle();
    assert_eq!(told(&mut rig, viewer), ["gate exit ana"]);
    assert_alternating(&rig);
}

#[test]
fn a_geofence_acts_on_who_is_there_already_and_ends_when_it_should() {
    let mut rig = Rig::new(1).with_members();
    let viewer = watcher(&mut rig, 0, "bob");
    let mut ana = Walker::start(&mut rig, 0, "ana");
    ana.walk(&mut rig, &[0]);
    let short = GeofenceWish {
        duration_s: Some(20),
        ..wish("gate", None, circle(100))
    };
    put(&mut rig, short.clone()).unwrap();
    assert_eq!(
        told(&mut rig, viewer),
        ["gate enter ana"],
        "she stood there"
    );
    // The same again only moves its end; another shape begins anew.
    rig.advance(15_000);
    put(&mut rig, short.clone()).unwrap();
    rig.advance(15_000);
    assert_eq!(
        (
            told(&mut rig, viewer),
            geofences(&mut rig, Actor::Control).unwrap().len()
        ),
        (vec![], 1)
    );
    ana.walk(&mut rig, &[0]);
    assert_eq!(told(&mut rig, viewer), [""; 0]);
    let wider = GeofenceWish {
        shape: circle(200),
        ..short
    };
    put(&mut rig, wider).unwrap();
    assert_eq!(told(&mut rig, viewer), ["gate enter ana"]);
    rig.advance(21_000);
    assert_eq!(
        geofences(&mut rig, Actor::Control),
        Ok(vec![]),
        "its time is over"
    );
    assert_eq!(
        rig.control_state
            .chat("harbour")
            .unwrap()
            .geofences
            .iter()
            .len(),
        0
    );
    put(&mut rig, wish("gate", None, circle(100))).unwrap();
    told(&mut rig, viewer);
    remove(&mut rig, Actor::Control, "gate", None).unwrap();
    assert_eq!(
        remove(&mut rig, Actor::Control, "gate", None),
        Err(Code::NotFound)
    );
    ana.walk(&mut rig, &[500, 0]);
    assert_eq!(told(&mut rig, viewer), [""; 0]);
}

#[test]
fn an_end_of_a_session_is_an_end_of_what_is_about_it_and_no_exit() {
    let mut rig = Rig::new(1).with_members();
    put(&mut rig, wish("gate", None, circle(100))).unwrap();
    let mut ana = Walker::start(&mut rig, 0, "ana");
    let of_session = GeofenceWish {
        session: Some(ana.shared.session),
        ..wish("hers", Some("bob"), circle(100))
    };
    put(&mut rig, of_session).unwrap();
    put(&mut rig, wish("around", Some("ana"), near(100))).unwrap();
    ana.walk(&mut rig, &[0]);
    let before = rig.crossings.len();
    ana.stop(&mut rig);
    assert_eq!(rig.crossings.len(), before);
    assert_eq!(alerts(&mut rig, Actor::Control), Ok((vec![], vec![])));
    let promised = rig.control_state.chat("harbour").unwrap().geofences.clone();
    assert_eq!(promised.iter().len(), 1);
    assert!(promised.iter().all(|(_, entry)| entry.inside.is_empty()));
    let gone = GeofenceWish {
        session: Some(ana.shared.session),
        ..wish("hers", Some("bob"), circle(100))
    };
    assert_eq!(put(&mut rig, gone), Err(Code::NotFound));
    assert_eq!(
        put(&mut rig, wish("around", Some("ana"), near(100))),
        Err(Code::NotFound)
    );
}

#[test]
fn sealed_is_refused_and_sealing_ends_all() {
    let mut rig = Rig::new(1).with_members();
    let peer = rig.connect(0, "ana");
    let Request::ShareStart(start) = Rig::share_start("", 900) else {
        unreachable!("it is a start");
    };
    let sealed = skein_wire::request::ShareStart {
        sealed: true,
        ..start
    };
    rig.send(peer, Request::ShareStart(sealed));
    let frames = rig.take_frames(peer);
    let session = frames.iter().find_map(|update| match update {
        Update::Shared(shared) => Some(shared.session),
        _ => None,
    });
    let about = |session| GeofenceWish {
        session,
        ..wish("gate", Some("bob"), circle(100))
    };
    assert_eq!(put(&mut rig, about(session)), Err(Code::WrongSealing));
    assert_eq!(
        put(&mut rig, wish("me", Some("ana"), near(100))),
        Err(Code::WrongSealing)
    );
    assert_eq!(put(&mut rig, about(None)), Ok(()), "about the plain ones");
    let seal = ChatRequest::SealChat {
        chat: chat(),
        sealed: true,
    };
    rig.ask(seal);
    assert_eq!(alerts(&mut rig, person("bob")), Ok((vec![], vec![])));
    assert_eq!(
        rig.control_state
            .chat("harbour")
            .unwrap()
            .geofences
            .iter()
            .len(),
        0
    );
    for wish in [about(None), wish("gate", None, circle(100))] {
        assert_eq!(put(&mut rig, wish), Err(Code::WrongSealing));
    }
}

#[test]
fn bounds_hold_and_a_jumping_sender_does_not_flood_the_control_log() {
    let mut rig = Rig::new(1).with_members();
    for number in 0..GEOFENCES_PER_CHAT_MAX {
        put(&mut rig, wish(&number.to_string(), None, circle(100))).unwrap();
    }
    assert_eq!(
        put(&mut rig, wish("more", None, circle(100))),
        Err(Code::LimitReached)
    );
    assert_eq!(
        put(&mut rig, wish("0", None, circle(90))),
        Ok(()),
        "in the place of one"
    );
    for number in 0..ALERTS_PER_USER_MAX {
        put(
            &mut rig,
            wish(&number.to_string(), Some("bob"), circle(100)),
        )
        .unwrap();
    }
    assert_eq!(
        put(&mut rig, wish("more", Some("bob"), circle(100))),
        Err(Code::LimitReached)
    );
    assert_eq!(
        put(&mut rig, wish("more", Some("ana"), circle(100))),
        Ok(())
    );
    for (wrong, code) in [
        (wish("0", None, circle(9)), Code::BadRequest),
        (
            wish("0", None, Shape::Polygon(vec![(1, 1); 3])),
            Code::BadRequest,
        ),
        (wish("0", Some("bob"), near(10_001)), Code::BadRequest),
        (
            GeofenceWish {
                dwell_s: 3_601,
                ..wish("0", None, circle(100))
            },
            Code::BadRequest,
        ),
        (
            GeofenceWish {
                duration_s: Some(0),
                ..wish("0", None, circle(100))
            },
            Code::BadDuration,
        ),
        (
            GeofenceWish {
                duration_s: None,
                ..wish("0", Some("bob"), circle(100))
            },
            Code::BadDuration,
        ),
    ] {
        assert_eq!(put(&mut rig, wrong.clone()), Err(code), "{wrong:?}");
    }
    // All 80 are crossed at once; what is beyond the bound follows, though she stands.
    let mut ana = Walker::start(&mut rig, 0, "ana");
    ana.walk(&mut rig, &[500, 0]);
    assert_eq!(
        rig.crossings.len(),
        CROSSINGS_PER_SESSION_BURST_MAX as usize
    );
    rig.advance(25_000);
    let all = GEOFENCES_PER_CHAT_MAX + ALERTS_PER_USER_MAX;
    assert_eq!(rig.crossings.len(), all);
    assert_alternating(&rig);
}

/// The code with which this many alerts and geofences are refused that are asked for at once, and how often.
fn refused(rig: &mut Rig, wishes: Vec<GeofenceWish>) -> Vec<Code> {
    rig.control = Control::Hold;
    let asked = wishes.into_iter().map(|wish| {
        let actor = wish
            .owner
            .clone()
            .map_or(Actor::Control, |it| Actor::User(it.into()));
        rig.ask_only(ChatRequest::PutGeofence { actor, wish })
    });
    let asked: Vec<_> = asked.collect();
    rig.settle();
    rig.control = Control::Commit;
    rig.work_control();
    rig.settle();
    let codes = asked
        .iter()
        .filter_map(|it| answer(rig.replies.get(it).cloned()).err());
    codes.collect()
}

#[test]
fn bounds_hold_for_what_is_asked_for_at_once_and_what_is_replaced_counts_once() {
    let mut rig = Rig::new(1).with_members();
    const BEYOND: usize = 3;
    let owners: Vec<String> = (0..ALERTS_PER_CHAT_MAX + BEYOND)
        .map(|it| format!("m{it}"))
        .collect();
    for owner in &owners {
        rig.put_member(owner, 3);
    }
    let alerts = owners
        .iter()
        .map(|owner| wish("near", Some(owner), circle(100)));
    let alerts = alerts.collect();
    assert_eq!(refused(&mut rig, alerts), [Code::LimitReached; BEYOND]);

    for number in 1..GEOFENCES_PER_CHAT_MAX {
        put(&mut rig, wish(&number.to_string(), None, circle(100))).unwrap();
    }
    let replaced = [90, 80].map(|radius_m| wish("1", None, circle(radius_m)));
    let mut asked = Vec::from(replaced);
    asked.push(wish("the last one", None, circle(100)));
    asked.push(wish("one too many", None, circle(100)));
    assert_eq!(refused(&mut rig, asked), [Code::LimitReached]);
}

#[test]
fn two_of_a_crowd_are_found_by_where_they_are_and_each_pair_once() {
    let mut rig = Rig::with_limits(2, Limits::default()).with_members();
    let (owner, other) = rig.owner_and_other();
    put(&mut rig, wish("together", None, near(100))).unwrap();
    let mut walkers = Vec::new();
    for number in 0..30 {
        let name = format!("m{number}");
        rig.put_member(&name, 3);
        walkers.push(Walker::start(
            &mut rig,
            if number % 2 == 0 { owner } else { other },
            &name,
        ));
    }
    // A kilometre apart from each other, then two by two.
    for (number, walker) in (0..).zip(&mut walkers) {
        walker.hop(&mut rig, north(number * 1_000), 5.0);
    }
    assert_eq!(rig.crossings.len(), 0);
    for (number, walker) in (0..).zip(&mut walkers) {
        walker.hop(&mut rig, north(number / 2 * 2_000 + number % 2 * 50), 5.0);
    }
    assert_eq!(rig.crossings.len(), 15, "{:?}", rig.crossings);
    assert_eq!(
        geofences(&mut rig, Actor::Control).unwrap()[0].inside_total,
        15
    );
    // Two sessions of one member are one member.
    let mut again = Walker::start(&mut rig, owner, "m0");
    again.hop(&mut rig, north(-1_000), 5.0);
    walkers[0].hop(&mut rig, north(-1_000), 5.0);
    assert_eq!(rig.crossings.len(), 16, "only the parting of the first two");
    walkers[2].stop(&mut rig);
    assert_eq!(
        geofences(&mut rig, Actor::Control).unwrap()[0].inside_total,
        13
    );
    assert_alternating(&rig);
}

#[test]
fn an_erase_ends_alerts_and_an_alert_that_tells_is_a_look() {
    let limits = Limits {
        views_recorded: true,
        ..Limits::default()
    };
    let mut rig = Rig::with_limits(1, limits).with_members();
    rig.put_member("eve", 3);
    let mut ana = Walker::start(&mut rig, 0, "ana");
    for (name, owner, about) in [
        ("1", "bob", "ana"),
        ("2", "bob", "eve"),
        ("3", "eve", "bob"),
    ] {
        let alert = GeofenceWish {
            user: Some(user(about)),
            ..wish(name, Some(owner), circle(100))
        };
        put(&mut rig, alert).unwrap();
    }
    ana.walk(&mut rig, &[0]);
    let looks = |rig: &Rig| -> Vec<String> {
        let begun = rig.views.iter().filter_map(|view| match view {
            View::Begun(begun) => Some(begun.user.to_string()),
            View::Ended { .. } => None,
        });
        begun.collect()
    };
    assert_eq!(looks(&rig), ["bob"]);
    let forgotten = rig.shards[0].forget_sessions(&chat(), Some(&user("ana")));
    rig.settle();
    assert_eq!(forgotten.map(|it| it.alerts), Some(1));
    let forgotten = rig.shards[0].forget_sessions(&chat(), Some(&user("eve")));
    rig.settle();
    assert_eq!(forgotten.map(|it| it.alerts), Some(2));
    assert_eq!(
        rig.control_state
            .chat("harbour")
            .unwrap()
            .geofences
            .iter()
            .len(),
        0
    );
}
