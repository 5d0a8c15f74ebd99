//! Members who may watch on a grid: nothing finer reaches them by any way, and a change of the grid acts like
//! any other change of rights.

use skein_engine::grid::Grid;
use skein_engine::identity::{ChatClaims, Grant, Identity, Person};
use skein_engine::ids::ConnectionId;
use skein_engine::limits::Limits;
use skein_engine::request::{Actor, ChatReply, ChatRequest};
use skein_engine::rights::Rights;
use skein_wire::error::Code;
use skein_wire::map_view::MapView;
use skein_wire::point::{Payload, Position};
use skein_wire::request::{Delivery, Request, Watch};
use skein_wire::update::{Shared, Update};

use crate::geofence_stage::{
    Walker, alerts, circle, geofences, person, put, remove, told, watcher, wish,
};
use crate::members::{assert_changed, members_of};
use crate::peer::Peer;
use crate::rig::{Control, Rig, chat, point, user};

/// Cells of which the points of a scenario share one, and none is at its centre.
const GRID_M: u32 = 5_000;

pub fn grid() -> Grid {
    Grid::new(GRID_M).unwrap()
}

fn on_grid(rights: Rights) -> Rights {
    rights.on_grid(grid()).unwrap()
}

fn exactly(counter: u64) -> Position {
    match point(counter).payload {
        Payload::Fix(fix) => fix.position,
        Payload::Sealed(_) => unreachable!("a plain one"),
    }
}

fn ended_with(rig: &mut Rig, peer: Peer) -> Vec<Code> {
    let frames = rig.take_frames(peer).into_iter();
    let ended = frames.filter_map(|update| match update {
        Update::WatchEnded(ended) => Some(ended.code),
        _ => None,
    });
    ended.collect()
}

fn grids_told(rig: &mut Rig, peer: Peer) -> Vec<u32> {
    let frames = rig.take_frames(peer).into_iter();
    let told = frames.filter_map(|update| match update {
        Update::Coarse(coarse) => Some(coarse.grid_m),
        _ => None,
    });
    told.collect()
}

/// Somebody shares, from the shard that does not own the chat if there is one.
fn sharer(rig: &mut Rig) -> (Peer, Shared) {
    let (_, other) = rig.owner_and_other();
    let sender = rig.connect(other, "ana");
    let shared = rig.share(sender, "");
    for counter in 1..=4 {
        rig.send_point(sender, shared.share, counter);
    }
    (sender, shared)
}

fn assert_coarse(rig: &Rig, peer: Peer) {
    let places = &rig.viewer(peer).places;
    assert!(!places.is_empty(), "it sees something");
    assert!(!rig.viewer(peer).saw_every, "newest points only");
    for place in places {
        assert_eq!(*place, grid().snap(*place), "finer than a cell");
    }
}

#[test]
fn a_member_on_a_grid_sees_cells_and_nothing_finer() {
    for shards in [1, 2] {
        let mut rig = Rig::new(shards).with_members();
        let (owner, other) = rig.owner_and_other();
        let (sender, shared) = sharer(&mut rig);
        let reply = rig.put_member("bob", on_grid(Rights::WATCH).bits());
        assert_changed(reply.as_ref(), true);
        for shard in [owner, other] {
            let coarse = rig.connect(shard, "bob");
            rig.expect_viewer(coarse);
            let every = Request::Watch(Watch {
                trail: 32,
                ..plain_watch(Delivery::Every)
            });
            rig.send(coarse, every);
            assert_eq!(grids_told(&mut rig, coarse), [GRID_M]);
            let exact = rig.connect(shard, "ana");
            rig.watch(exact);
            assert_eq!(grids_told(&mut rig, exact), [0_u32; 0]);
            for counter in 5..=8 {
                rig.send_point(sender, shared.share, counter + u64::from(shard) * 10);
            }
            assert_coarse(&rig, coarse);
            let last = exactly(8 + u64::from(shard) * 10);
            assert!(rig.viewer(exact).places.contains(&last));
            let first = rig.viewer(coarse).counters(shared.session)[0];
            assert!(first >= 4, "no trail, though it was asked for: {first}");
        }
    }
}

fn plain_watch(delivery: Delivery) -> Watch {
    match Rig::watch_frame(None, delivery) {
        Request::Watch(watch) => watch,
        _ => unreachable!("it is one"),
    }
}

#[test]
fn positions_and_parts_of_the_map_are_on_the_grid_too() {
    let mut rig = Rig::new(1).with_members();
    sharer(&mut rig);
    rig.put_member("bob", on_grid(Rights::WATCH).bits());
    let asked = |name| ChatRequest::Positions {
        chat: chat(),
        actor: person(name),
    };
    for (name, place) in [("ana", exactly(4)), ("bob", grid().snap(exactly(4)))] {
        let Some(Ok(ChatReply::Positions {
            cursor, positions, ..
        })) = rig.ask(asked(name)).1
        else {
            panic!("no positions");
        };
        let newest = positions[0].newest.as_ref().expect("a point");
        let Payload::Fix(fix) = &newest.payload else {
            panic!("a plain one");
        };
        assert_eq!(fix.position, place, "{name}");
        assert_eq!(
            cursor.offset == 0,
            name == "bob",
            "no beginning for a watch"
        );
    }
    let around = |at: Position| MapView {
        south_e6: at.lat_e6 - 100,
        west_e6: at.lon_e6 - 100,
        north_e6: at.lat_e6 + 100,
        east_e6: at.lon_e6 + 100,
        rows: 100,
    };
    for (at, sees) in [(grid().snap(exactly(4)), true), (exactly(4), false)] {
        let viewer = rig.connect(0, "bob");
        rig.expect_viewer(viewer);
        let view = Request::Watch(Watch {
            view: Some(around(at)),
            ..plain_watch(Delivery::Latest)
        });
        rig.send(viewer, view);
        assert_eq!(
            rig.viewer(viewer).shown().len(),
            usize::from(sees),
            "{at:?}"
        );
    }
}

#[test]
fn a_grid_acts_at_once_and_nobody_goes_on_exactly() {
    for shards in [1, 2] {
        let mut rig = Rig::new(shards).with_members();
        let (owner, other) = rig.owner_and_other();
        let (sender, shared) = sharer(&mut rig);
        let watching = [rig.connect(owner, "bob"), rig.connect(other, "bob")];
        let kept = rig.connect(other, "ana");
        for viewer in watching.into_iter().chain([kept]) {
            rig.watch(viewer);
        }
        let reply = rig.put_member("bob", on_grid(Rights::ALL).bits());
        assert_changed(reply.as_ref(), true);
        rig.send_point(sender, shared.share, 5);
        for viewer in watching {
            assert_eq!(ended_with(&mut rig, viewer), [Code::RightsChanged]);
            assert!(rig.purged.iter().any(|(peer, _)| *peer == viewer));
            assert!(!rig.viewer(viewer).counters(shared.session).contains(&5));
            // It comes back with the cursor that it has, and gets everything, on the grid.
            let before = rig.viewer(viewer).clone();
            let again = rig.connect(viewer.shard, "bob");
            assert_eq!(rig.watch_again(again, &before).from, 0);
            assert_eq!(grids_told(&mut rig, again), [GRID_M]);
            rig.send_point(sender, shared.share, 6 + viewer.number);
            assert_coarse(&rig, again);
        }
        assert_eq!(ended_with(&mut rig, kept), [], "somebody else's");
        let reply = rig.put_member("bob", Rights::ALL.bits());
        assert_changed(reply.as_ref(), true);
        let viewer = rig.connect(other, "bob");
        rig.watch(viewer);
        assert_eq!(grids_told(&mut rig, viewer), [0_u32; 0]);
    }
}

#[test]
fn a_grid_that_is_not_durable_acts_and_is_repeated() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    sharer(&mut rig);
    let before = rig.connect(other, "bob");
    rig.watch(before);
    rig.control = Control::Reject;
    let reply = rig.put_member("bob", on_grid(Rights::WATCH).bits());
    assert_changed(reply.as_ref(), false);
    assert_eq!(ended_with(&mut rig, before), [Code::RightsChanged]);
    let after = rig.connect(other, "bob");
    rig.watch(after);
    assert_coarse(&rig, after);
    // What gives more waits for the promise, and a refusal ends it.
    assert!(
        rig.put_member("bob", Rights::WATCH.bits())
            .unwrap()
            .is_err()
    );
    assert_eq!(ended_with(&mut rig, after), []);
    rig.control = Control::Commit;
    rig.advance(10_000);
    let members = &rig.control_state.chat("harbour").unwrap().members;
    assert_eq!(members["bob"], on_grid(Rights::WATCH).bits());
}

#[test]
fn a_shard_that_does_not_apply_a_grid_is_named() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    sharer(&mut rig);
    let viewer = rig.connect(other, "bob");
    rig.watch(viewer);
    rig.rings_are_full = true;
    let request = ChatRequest::PutMember {
        chat: chat(),
        user: user("bob"),
        rights: on_grid(Rights::WATCH).bits(),
        expected: None,
    };
    let (id, reply) = rig.ask(request);
    assert_eq!(reply, None, "not applied everywhere yet");
    rig.advance(1_000);
    let refused = rig.replies.get(&id).and_then(|it| it.as_ref().err());
    let code = refused.map(|error| error.code);
    assert_eq!(code, Some(Code::NotAppliedEverywhere));
}

#[test]
fn a_finer_right_ends_what_is_shown_coarsely() {
    for shards in [1, 2] {
        let mut rig = Rig::new(shards).with_members();
        let (_, other) = rig.owner_and_other();
        sharer(&mut rig);
        rig.put_member("bob", on_grid(Rights::WATCH).bits());
        let viewer = rig.connect(other, "bob");
        rig.watch(viewer);
        rig.take_frames(viewer);
        // The same once more changes nothing.
        rig.put_member("bob", on_grid(Rights::ALL).bits());
        assert_eq!(ended_with(&mut rig, viewer), []);
        let reply = rig.put_member("bob", Rights::ALL.bits());
        assert_changed(reply.as_ref(), true);
        assert_eq!(ended_with(&mut rig, viewer), [Code::RightsChanged]);
        let again = rig.connect(other, "bob");
        assert_eq!(rig.watch(again).from, 0);
        assert!(rig.viewer(again).places.contains(&exactly(4)));
    }
}

#[test]
fn a_mirror_that_missed_the_grid_obeys_it_when_it_is_told() {
    let mut rig = Rig::new(2).with_members();
    let (_, other) = rig.owner_and_other();
    sharer(&mut rig);
    let viewer = rig.connect(other, "bob");
    rig.watch(viewer);
    rig.rings_are_full = true;
    rig.ask_only(ChatRequest::PutMember {
        chat: chat(),
        user: user("bob"),
        rights: on_grid(Rights::WATCH).bits(),
        expected: None,
    });
    // The owner appends it, and the mirror never reads it.
    let (owner, _) = rig.owner_and_other();
    rig.pass(owner);
    rig.overtake(other);
    rig.rings_are_full = false;
    rig.settle();
    assert_eq!(ended_with(&mut rig, viewer), [Code::RightsChanged]);
}

#[test]
fn a_grid_survives_a_restart() {
    for with_checkpoint in [false, true] {
        let mut rig = Rig::new(2).with_members();
        let (_, other) = rig.owner_and_other();
        sharer(&mut rig);
        rig.put_member("bob", on_grid(Rights::WATCH).bits());
        if with_checkpoint {
            let partition = rig.partition();
            for shard in &mut rig.shards {
                shard.begin_checkpoint(partition);
            }
            rig.settle();
        }
        rig.restart(0);
        let viewer = rig.connect(other, "bob");
        rig.watch(viewer);
        assert_eq!(grids_told(&mut rig, viewer), [GRID_M]);
        assert_coarse(&rig, viewer);
        let Some(Ok(ChatReply::Members(page))) = rig.ask(members_of(chat())).1 else {
            panic!("no members");
        };
        let bob = page.members.iter().find(|(name, _)| name.as_str() == "bob");
        assert_eq!(bob.map(|it| it.1), Some(on_grid(Rights::WATCH).bits()));
    }
}

#[test]
fn an_import_gives_grids_and_takes_nobody_onto_one() {
    let mut rig = Rig::new(1).with_members();
    let import = |rig: &mut Rig, members: &[(&str, Rights)]| {
        let members = members.iter();
        let request = ChatRequest::PutMembers {
            chat: chat(),
            members: members
                .map(|(name, rights)| (user(name), rights.bits()))
                .collect(),
            expected: None,
        };
        rig.ask(request).1.expect("an answer")
    };
    let coarse = on_grid(Rights::WATCH);
    let taken = import(&mut rig, &[("cem", coarse), ("bob", coarse)]);
    assert_eq!(taken, Ok(ChatReply::WouldRestrict(vec![1])));
    let finer = Rights::WATCH.on_grid(Grid::new(100).unwrap()).unwrap();
    for (rights, is_given) in [(coarse, true), (finer, true), (coarse, false)] {
        let reply = import(&mut rig, &[("cem", rights)]);
        assert_eq!(matches!(reply, Ok(ChatReply::Changed { .. })), is_given);
    }
    let bits = Rights::WATCH.bits() | coarse.bits();
    let request = ChatRequest::PutMembers {
        chat: chat(),
        members: vec![(user("dan"), bits)],
        expected: None,
    };
    let code = rig.ask(request).1.expect("an answer").unwrap_err().code;
    assert_eq!(code, Code::BadRequest, "either on a grid or not");
}

fn claiming(rights: Rights) -> Option<Grant> {
    Some(Grant::Chats(ChatClaims::new([(chat(), rights)])))
}

#[test]
fn a_stored_grid_wins_over_a_token_and_a_token_can_bring_one() {
    let limits = Limits {
        rights_from_tokens: true,
        ..Limits::default()
    };
    let mut rig = Rig::with_limits(2, limits);
    let (_, other) = rig.owner_and_other();
    rig.put_member("ana", Rights::ALL.bits());
    sharer(&mut rig);
    // By the token alone.
    let coarse = rig.connect_as(other, "eve", claiming(on_grid(Rights::WATCH)));
    rig.watch(coarse);
    assert_coarse(&rig, coarse);
    // A newer token of the same user shows more: everything follows anew.
    rig.take_frames(coarse);
    let identity = Identity {
        person: Person {
            user: user("eve"),
            grant: claiming(Rights::WATCH).map(Into::into),
        },
        expires_at_ms: rig.now.0 + 3_600_000,
    };
    let now = rig.now;
    rig.shards[usize::from(other)].handle_identity(now, ConnectionId(coarse.number), identity);
    rig.settle();
    assert_eq!(ended_with(&mut rig, coarse), [Code::RightsChanged]);
    rig.watch(coarse);
    assert!(rig.viewer(coarse).places.contains(&exactly(4)));
    // What is stored wins.
    let reply = rig.put_member("eve", on_grid(Rights::WATCH).bits());
    assert_changed(reply.as_ref(), true);
    rig.take_frames(coarse);
    let again = rig.connect_as(other, "eve", claiming(Rights::ALL));
    rig.watch(again);
    assert_coarse(&rig, again);
    // Until the membership is another one.
    rig.put_member("eve", Rights::WATCH.bits());
    assert_eq!(ended_with(&mut rig, again), [Code::RightsChanged]);
}

#[test]
fn on_a_grid_nobody_learns_what_happens_at_geofences() {
    let mut rig = Rig::new(1).with_members();
    let mut ana = Walker::start(&mut rig, 0, "ana");
    put(&mut rig, wish("gate", None, circle(100))).unwrap();
    put(&mut rig, wish("home", Some("bob"), circle(100))).unwrap();
    let (bob, exact) = (watcher(&mut rig, 0, "bob"), watcher(&mut rig, 0, "ana"));
    rig.put_member("bob", on_grid(Rights::ALL).bits());
    rig.take_frames(bob);
    rig.watch(bob);
    ana.walk(&mut rig, &[300, 0]);
    assert_eq!(told(&mut rig, exact), ["gate enter ana"]);
    assert_eq!(told(&mut rig, bob), [""; 0]);
    assert_eq!(rig.crossings.len(), 1, "bob's alert is over");
    assert_eq!(
        geofences(&mut rig, person("bob")).err(),
        Some(Code::NotFound)
    );
    let look = ChatRequest::Look {
        chat: chat(),
        actor: person("bob"),
    };
    let looked = rig.ask(look).1.expect("an answer");
    assert_eq!(looked.unwrap_err().code, Code::NotFound);
    let again = put(&mut rig, wish("home", Some("bob"), circle(100)));
    assert_eq!(again, Err(Code::NotFound));
    let removed = remove(&mut rig, person("bob"), "home", Some("bob"));
    assert_eq!(removed, Err(Code::NotFound));
    // Who has an alert about him he may know.
    put(&mut rig, wish("cafe", Some("ana"), circle(100))).unwrap();
    let (own, about) = alerts(&mut rig, person("bob")).unwrap();
    assert_eq!((own.len(), about.len()), (0, 1));
    // It was the grid.
    assert!(geofences(&mut rig, Actor::Control).is_ok());
    rig.put_member("bob", Rights::ALL.bits());
    assert!(geofences(&mut rig, person("bob")).is_ok());
}

#[test]
fn a_relay_does_not_watch_on_a_grid() {
    for shards in [1, 2] {
        let mut rig = Rig::new(shards).with_members();
        sharer(&mut rig);
        for shard in 0..shards {
            let relay = rig.connect_as(shard, "relay", Some(Grant::Relay));
            rig.watch(relay);
            rig.put_member("relay", on_grid(Rights::WATCH).bits());
            assert_eq!(ended_with(&mut rig, relay), [Code::RightsChanged]);
            rig.send(relay, Rig::watch_frame(None, Delivery::Every));
            assert_eq!(rig.take_refusal(relay), Some(Code::NotFound));
            rig.put_member("relay", Rights::WATCH.bits());
        }
    }
}
