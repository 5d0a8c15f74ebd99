//! Points of 1,000 people in a town with 10 and with 100 geofences, beside the same points in a chat that
//! has none, in the same run: all of a point's way through its owner's shard, so that the ratio is what is
//! left of the shard's points a second.
//!
//! 100 are as many as a chat has of its own, and alerts of members for the rest. Nobody crosses anything
//! while it is measured: a crossing is a promise, and its cost the disk's.

use skein_bench::chat_table::{TOWN_E6, TOWN_SIZE_E6};
use skein_bench::floors::expected::Expected;
use skein_bench::mode::Effort;
use skein_bench::owner_shard::OwnerShard;
use skein_bench::part::{Laps, Part};
use skein_bench::ratio::{Sides, Spec};
use skein_bench::run::Run;
use skein_engine::geofence::record::Shape;
use skein_engine::limits::{ALERTS_PER_USER_MAX, GEOFENCES_PER_CHAT_MAX};

/// Sessions of the chat.
const SESSIONS: usize = 1_000;

/// Names of the ratios, and geofences.
const CHATS: &[(&str, usize)] = &[
    ("engine_geofences_10_vs_none", 10),
    ("engine_geofences_100_vs_none", 100),
];

/// Metres of their radius, and millionths of a degree of half the side of a square of about that size.
const RADIUS_M: u32 = 200;
const HALF_E6: i32 = 1_800;

/// Points a second of a chat without geofences, all of a point's way: what is nearest to a floor here, as nothing
/// has to be done for a place that nobody comes near but to find that out.
const PLAIN: Expected = Expected::anywhere(0.8e6..3.2e6);

/// Rounds until whoever is inside of something at the beginning has been told of.
const WARM_UP: usize = 20;

/// About how long a round takes, with geofences and without, milliseconds: so a block is about half as
/// long as usual.
const ROUND_MS: [u128; 2] = [4, 1];

/// This part.
pub const PART: Part<Run> = Part {
    name: "engine_geofences",
    figures: &[
        "engine_geofences_10_vs_none",
        "engine_geofences_100_vs_none",
    ],
    seconds: [4, 14],
    laps: Laps::Each,
    measure,
};

fn measure(run: &mut Run) {
    for (name, geofences) in CHATS {
        beside_none(run, name, *geofences);
    }
}

fn beside_none(run: &mut Run, name: &'static str, geofences: usize) {
    let spec = Spec {
        name,
        unit: "/s",
        floor_expected: PLAIN.here(),
    };
    let effort = run.effort();
    let sessions = match effort {
        Effort::Check => SESSIONS / 100,
        _ => SESSIONS,
    };
    let rounds_of = ROUND_MS.map(|ms| (effort.block().as_millis() / 2 / ms).max(1) as usize);
    run.ratio_of_set_ups(&spec, || {
        let mut with = OwnerShard::new(sessions);
        (0..geofences).for_each(|number| enclose(&mut with, number));
        let mut without = OwnerShard::new(sessions);
        for _ in 0..WARM_UP {
            with.nanos();
            without.nanos();
        }
        Sides::new(
            move || rate(&mut with, rounds_of[0]),
            move || rate(&mut without, rounds_of[1]),
        )
    });
}

/// Points a second.
fn rate(shard: &mut OwnerShard, rounds: usize) -> f64 {
    let nanos = (0..rounds).map(|_| shard.nanos()).sum::<f64>() / rounds as f64;
    1e9 / nanos
}

/// One more geofence, or an alert where the chat has all that it may: circles and squares in turn.
fn enclose(shard: &mut OwnerShard, number: usize) {
    let spread = |factor: usize| (number * factor % TOWN_SIZE_E6) as i32;
    let (lat_e6, lon_e6) = (TOWN_E6.0 + spread(39_119), TOWN_E6.1 + spread(86_453));
    let shape = match number % 2 {
        0 => Shape::Circle {
            lat_e6,
            lon_e6,
            radius_m: RADIUS_M,
        },
        _ => Shape::Polygon(
            [(-1, -1), (-1, 1), (1, 1), (1, -1)]
                .map(|(north, east)| (lat_e6 + north * HALF_E6, lon_e6 + east * HALF_E6))
                .to_vec(),
        ),
    };
    let owner = number
        .checked_sub(GEOFENCES_PER_CHAT_MAX)
        .map(|alert| format!("watcher-{}", alert / ALERTS_PER_USER_MAX));
    shard.enclose(&format!("place {number}"), owner.as_deref(), shape);
}
