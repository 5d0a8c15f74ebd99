//! A point that crosses nothing allocates no more where there are geofences than where there are none:
//! counted by the allocator itself.
//!
//! One test in this file, so that no other one allocates meanwhile.

#[path = "shard/peer.rs"]
mod peer;
#[allow(dead_code, reason = "this test asks for less than the scenarios")]
#[path = "shard/rig.rs"]
mod rig;
#[allow(dead_code, reason = "this test asks for less than the scenarios")]
#[path = "shard/rig_frames.rs"]
mod rig_frames;
#[path = "shard/sink.rs"]
mod sink;
#[allow(dead_code, reason = "this test asks for less than the scenarios")]
#[path = "shard/viewer.rs"]
mod viewer;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use skein_engine::geofence::record::{GeofenceWish, Shape};
use skein_engine::request::{Actor, ChatReply, ChatRequest};
use skein_wire::point::Payload;
use skein_wire::request::Request;
use skein_wire::update::Shared;

use crate::peer::Peer;
use crate::rig::{Rig, chat, user};

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise about `pointer` and `layout` is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sessions that stand about, at the place and away from it.
const SESSIONS: usize = 40;

/// Points of each that are counted, after as many that are not.
const POINTS: u64 = 20;

fn wish(number: usize, shape: Shape) -> GeofenceWish {
    GeofenceWish {
        chat: chat(),
        name: format!("gate {number}").parse().unwrap(),
        owner: None,
        shape,
        user: None,
        session: None,
        dwell_s: 0,
        once: false,
        duration_s: None,
    }
}

fn put_geofences(rig: &mut Rig) {
    let (lat_e6, lon_e6) = (45_000_000, 13_000_000);
    let square = [(0, 0), (0, 9_000), (9_000, 9_000), (9_000, 0)];
    let corners = square.map(|(lat, lon)| (lat_e6 + lat, lon_e6 + lon));
    for number in 0..20 {
        let shape = match number % 4 {
            0 | 1 => Shape::Circle {
                lat_e6,
                lon_e6,
                radius_m: 100,
            },
            2 => Shape::Polygon(corners.to_vec()),
            _ => Shape::Around {
                session: 0,
                near_m: 100,
            },
        };
        let actor = Actor::Control;
        let wish = wish(number, shape);
        let reply = rig.ask(ChatRequest::PutGeofence { actor, wish }).1;
        assert!(
            matches!(reply, Some(Ok(ChatReply::Done { .. }))),
            "{reply:?}"
        );
    }
}

/// Allocations of the owner while it takes points that cross nothing.
fn counted(with_geofences: bool) -> usize {
    let mut rig = Rig::new(1);
    if with_geofences {
        rig.ask(ChatRequest::PutMember {
            chat: chat(),
            user: user("m0"),
            rights: 3,
            expected: None,
        });
        put_geofences(&mut rig);
    }
    let mut walkers: Vec<(Peer, Shared)> = Vec::new();
    for number in 0..SESSIONS {
        let name = format!("m{number}");
        rig.ask(ChatRequest::PutMember {
            chat: chat(),
            user: user(&name),
            rights: 3,
            expected: None,
        });
        let peer = rig.connect(0, &name);
        walkers.push((peer, rig.share(peer, "")));
    }
    let mut allocations = 0;
    for counter in 1..=2 * POINTS {
        rig.advance(1_000);
        for (number, (peer, shared)) in (0..).zip(&walkers) {
            let Request::Point(mut sent) = Rig::point_frame(shared.share, counter) else {
                unreachable!("it is a point");
            };
            if let Payload::Fix(fix) = &mut sent.point.payload {
                // A step of a decimetre around the place of each, some metres from its neighbours.
                fix.position.lat_e6 = 45_000_000 + number * 40 + counter as i32 % 2;
            }
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            rig.send_only(*peer, Request::Point(sent));
            if counter > POINTS {
                allocations += ALLOCATIONS.load(Ordering::Relaxed) - before;
            }
            rig.settle();
        }
    }
    assert_eq!(
        rig.crossings.is_empty(),
        !with_geofences,
        "they stand inside"
    );
    allocations
}

#[test]
fn a_point_that_crosses_nothing_allocates_nothing_for_geofences() {
    let without = counted(false);
    let with = counted(true);
    let points = SESSIONS * POINTS as usize;
    eprintln!("{without} allocations for {points} points without, {with} with geofences");
    assert!(
        with <= without,
        "{with} allocations, {without} without geofences"
    );
}
