//! Views at a shard: what is refused, what they cost, what they show on a shard that does not own the chat.

use skein_engine::fan_out::Views;
use skein_engine::grid::Grid;
use skein_engine::guest::{GuestGrant, GuestRecord};
use skein_engine::identity::Grant;
use skein_engine::ids::GuestId;
use skein_engine::request::ChatRequest;
use skein_wire::error::Code;
use skein_wire::ids::{RequestNumber, SessionId};
use skein_wire::map_view::MapView;
use skein_wire::point::{Payload, Position};
use skein_wire::request::{Delivery, Request, ShareStop, Watch};
use skein_wire::update::Viewing;

use crate::peer::Peer;
use crate::rig::{Rig, chat, point};

const EARTH: MapView = MapView {
    south_e6: -90_000_000,
    west_e6: -180_000_000,
    north_e6: 90_000_000,
    east_e6: 180_000_000,
    rows: 100,
};

fn watch(view: MapView) -> Watch {
    let Request::Watch(watch) = Rig::watch_frame(None, Delivery::Latest) else {
        unreachable!();
    };
    Watch {
        view: Some(view),
        ..watch
    }
}

/// Watches, and is told what it sees.
fn view(rig: &mut Rig, peer: Peer, view: MapView) -> Viewing {
    rig.expect_viewer(peer);
    rig.send(peer, Request::Watch(watch(view)));
    let told = rig.told(peer);
    told.last().cloned().expect("told of cells")
}

#[test]
fn views_that_make_no_sense_are_refused_and_the_connection_goes_on() {
    let mut rig = Rig::new(1).with_members();
    let bob = rig.connect(0, "bob");
    let sane = watch(EARTH);
    let of = |view: MapView| watch(view);
    let cases = [
        of(MapView { rows: 0, ..EARTH }),
        of(MapView {
            rows: 4_097,
            ..EARTH
        }),
        of(MapView {
            north_e6: 90_000_001,
            ..EARTH
        }),
        of(MapView {
            west_e6: i32::MIN,
            ..EARTH
        }),
        of(MapView {
            south_e6: 10,
            north_e6: 9,
            ..EARTH
        }),
        Watch {
            session: Some(SessionId(1)),
            ..sane.clone()
        },
        Watch {
            delivery: Delivery::Every,
            ..sane.clone()
        },
        Watch {
            trail: 1,
            ..sane.clone()
        },
    ];
    for case in cases {
        rig.send(bob, Request::Watch(case.clone()));
        assert_eq!(rig.take_refusal(bob), Some(Code::BadRequest), "{case:?}");
        rig.advance(1_000);
    }
    view(&mut rig, bob, EARTH);
}

#[test]
fn a_map_that_never_rests_is_refused_for_a_while() {
    let mut rig = Rig::new(1).with_members();
    let bob = rig.connect(0, "bob");
    rig.expect_viewer(bob);
    let taken = |rig: &mut Rig, count: usize| {
        let tries = (0..count).filter(|n| {
            let south_e6 = -90_000_000 + *n as i32;
            rig.send(bob, Request::Watch(watch(MapView { south_e6, ..EARTH })));
            match rig.take_refusal(bob) {
                None => true,
                Some(code) => {
                    assert_eq!(code, Code::RateLimited);
                    false
                }
            }
        });
        tries.count()
    };
    assert_eq!(taken(&mut rig, 30), 10);
    rig.advance(2_000);
    assert_eq!(taken(&mut rig, 30), 6, "three a second");
}

#[test]
fn whoever_moves_a_map_all_the_time_can_still_stop_sharing() {
    let mut rig = Rig::new(1).with_members();
    let ana = rig.connect(0, "ana");
    let shared = rig.share(ana, "");
    rig.expect_viewer(ana);
    for n in 0..1_000 {
        let south_e6 = -90_000_000 + n;
        rig.send_only(ana, Request::Watch(watch(MapView { south_e6, ..EARTH })));
    }
    let stop = ShareStop {
        request: RequestNumber(9),
        share: shared.share,
    };
    rig.send(ana, Request::ShareStop(stop));
    assert!(rig.live_sessions().is_empty(), "it is over");
}

#[test]
fn what_views_take_is_part_of_the_memory() {
    let mut rig = Rig::new(1).with_members();
    let ana = rig.connect(0, "ana");
    let shared = rig.share(ana, "");
    let bob = rig.connect(0, "bob");
    let stats = |rig: &mut Rig, counter| {
        rig.send_point(ana, shared.share, counter);
        rig.advance(2_000);
        rig.shards[0].stats().clone()
    };
    let before = stats(&mut rig, 1);
    assert_eq!(before.views, Views::default());
    view(&mut rig, bob, EARTH);
    let with = stats(&mut rig, 2);
    assert_eq!((with.views.watches, with.views.areas), (1, 1));
    assert!(with.views.bytes > 0);
    let more = with.memory_bytes - before.memory_bytes;
    assert!(more >= with.views.bytes, "{more} {:?}", with.views);
    assert!(with.fan_out.view_batches >= 1);
    rig.disconnect(bob);
    let after = stats(&mut rig, 3);
    assert_eq!(after.views, Views::default());
}

#[test]
fn a_view_is_served_where_the_chat_is_mirrored() {
    let mut rig = Rig::new(2).with_members();
    let (owner, other) = rig.owner_and_other();
    let ana = rig.connect(owner, "ana");
    let shared = rig.share(ana, "");
    rig.send_point(ana, shared.share, 1);
    for shard in [owner, other] {
        let bob = rig.connect(shard, "bob");
        let viewing = view(&mut rig, bob, EARTH);
        assert_eq!(viewing.area.rows, 64, "a power of two");
        assert_eq!(viewing.chat, rig.watching_of(bob).expect("granted").chat);
        assert_eq!(rig.viewer(bob).shown(), [shared.session]);
        // Elsewhere, the rest of the world.
        let place = rig.viewer(bob).saw.len();
        rig.expect_viewer(bob);
        let south = MapView {
            north_e6: -80_000_000,
            ..EARTH
        };
        let other_cells = view(&mut rig, bob, south);
        assert_ne!(other_cells.cell, viewing.cell);
        assert!(place > 0 && rig.viewer(bob).shown().is_empty());
    }
}

#[test]
fn a_cursor_of_other_cells_is_no_beginning() {
    let mut rig = Rig::new(1).with_members();
    let bob = rig.connect(0, "bob");
    let whole = rig.watch_from(bob, None, Delivery::Latest);
    let cursor = skein_wire::ids::Cursor {
        log: crate::rig::LOG,
        epoch: whole.epoch,
        offset: 1,
    };
    let again = rig.connect(0, "bob");
    rig.expect_viewer(again);
    let wish = Watch {
        cursor: Some(cursor),
        ..watch(EARTH)
    };
    rig.send(again, Request::Watch(wish));
    assert_eq!(rig.watching_of(again).expect("granted").from, 0);
}

/// A connection through a link.
fn link(rig: &mut Rig, session: u64, grid_m: u32) -> Peer {
    let record = GuestRecord {
        session,
        last_only: false,
        grid_m,
        viewers_max: 0,
        created_at_ms: rig.now.0,
        expires_at_ms: rig.now.0 + 3_600_000,
        label: String::new(),
    };
    let guest = GuestId(u64::from(grid_m));
    let made = rig.ask(ChatRequest::PutGuest {
        chat: chat(),
        guest,
        record,
    });
    assert!(matches!(made.1, Some(Ok(_))), "{made:?}");
    let grant = GuestGrant {
        guest,
        chat: chat(),
        session: (session > 0).then_some(SessionId(session)),
        last_only: false,
        grid: Grid::new(grid_m),
    };
    let name = format!("guest:{:016x}", guest.0);
    rig.connect_as(0, &name, Some(Grant::Guest(grant)))
}

#[test]
fn a_link_to_one_session_has_no_view() {
    let mut rig = Rig::new(1).with_members();
    let ana = rig.connect(0, "ana");
    let shared = rig.share(ana, "");
    let link = link(&mut rig, shared.session.0, 1);
    rig.send(link, Request::Watch(watch(EARTH)));
    assert_eq!(rig.take_refusal(link), Some(Code::BadRequest));
}

#[test]
fn a_link_with_coarse_places_has_a_view_of_coarse_places() {
    let mut rig = Rig::new(1).with_members();
    let ana = rig.connect(0, "ana");
    let shared = rig.share(ana, "");
    rig.send_point(ana, shared.share, 1);
    let place = point(1).payload;
    let Payload::Fix(fix) = place else {
        unreachable!("a plain one");
    };
    // Where it is, and where a grid of 100 km shows it.
    let shown = Grid::new(100_000).expect("a grid").snap(fix.position);
    let around = |at: Position| MapView {
        south_e6: at.lat_e6 - 100,
        west_e6: at.lon_e6 - 100,
        north_e6: at.lat_e6 + 100,
        east_e6: at.lon_e6 + 100,
        rows: 100,
    };
    let coarse = link(&mut rig, 0, 100_000);
    let exact = rig.connect(0, "bob");
    for (peer, at, sees) in [
        (coarse, shown, true),
        (coarse, fix.position, false),
        (exact, shown, false),
        (exact, fix.position, true),
    ] {
        view(&mut rig, peer, around(at));
        assert_eq!(rig.viewer(peer).shown().len(), usize::from(sees), "{at:?}");
    }
}
