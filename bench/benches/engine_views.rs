//! Views of a part of the map: 1,000 viewers of a town in which 1,000 people move, with 16 different
//! rectangles and with one for each viewer, beside as many viewers of the whole chat in the same run.
//!
//! A view has a batch for each area that is served, in which all rows that changed are looked at; a plain
//! watch has one for all. What both send is the same sink's business, so the ratio is what the map costs.
//! The longest pass is that of a chat whose viewers of many areas have as many different cursors as
//! batches are built for: what the others of a core wait for.

use std::time::Duration;

use skein_bench::chat_table::{TOWN_E6, TOWN_SIZE_E6};
use skein_bench::floors::expected::Expected;
use skein_bench::mode::Effort;
use skein_bench::part::{Laps, Part};
use skein_bench::ratio::{Sides, Spec};
use skein_bench::run::Run;
use skein_bench::watchers::Watchers;
use skein_engine::batch_builder::Scope;
use skein_engine::map::MapArea;
use skein_wire::map_view::MapView;
use skein_wire::request::Delivery;

/// Viewers of the chat.
const VIEWERS: usize = 1_000;

/// Sessions of the chat; all of them move in every round.
const SESSIONS: usize = 1_000;

/// Rectangles side by side that cover the town, along each of its sides.
const SIDE: i32 = 4;

/// Millionths of a degree of each of them.
const PIECE_E6: i32 = 48_000;

/// Rows that a viewer can show: those of a rectangle.
const ROWS: u32 = 512;

/// Nanoseconds of a viewer of the whole chat: a share of one batch, an offer. It is no floor of a view: one batch is
/// built for all of these viewers, and one for each area of those, of the rows that are in it. The ratio is what a
/// chat pays for being looked at in parts.
const PLAIN: Expected = Expected::anywhere(15.0..90.0);

/// About how long a round takes, of views and of plain watches, microseconds: so a block is about half as long as usual.
const ROUND_US: [u128; 2] = [2_000, 200];

/// Intervals of viewers, milliseconds: in a round in which all of them are due each has another cursor.
const INTERVALS_MS: [u32; 5] = [1_000, 4_000, 10_000, 24_000, 64_000];

/// Rounds until all of them are due at once.
const ROUNDS: usize = 480;

/// This part.
pub const PART: Part<Run> = Part {
    name: "engine_views",
    figures: &[
        "engine_views_16_vs_watch",
        "engine_views_1000_vs_watch",
        "engine_views_longest_pass_us",
    ],
    seconds: [5, 18],
    laps: Laps::Each,
    measure,
};

fn measure(run: &mut Run) {
    beside_plain(run, "engine_views_16_vs_watch", piece);
    beside_plain(run, "engine_views_1000_vs_watch", place);
    if run.wants("engine_views_longest_pass_us") && !run.floors_only() {
        let rounds = match run.effort() {
            Effort::Check => 2,
            _ => ROUNDS,
        };
        let us = longest_pass_us(viewers(run), rounds);
        run.value("engine_views_longest_pass_us", "us", us);
    }
}

fn viewers(run: &Run) -> usize {
    match run.effort() {
        Effort::Check => VIEWERS / 100,
        _ => VIEWERS,
    }
}

fn beside_plain(run: &mut Run, name: &'static str, wish: fn(usize) -> MapView) {
    let spec = Spec {
        name,
        unit: "ns/viewer",
        floor_expected: PLAIN.here(),
    };
    let viewers = viewers(run);
    let rounds_of = ROUND_US.map(|us| (run.effort().block().as_micros() / 2 / us).max(1) as usize);
    run.ratio_of_set_ups(&spec, || {
        let mut views = Watchers::new(SESSIONS, (0..viewers).map(|index| (view(wish(index)), 0)));
        let plain = (Scope::whole(Delivery::Latest), 0);
        let mut plain = Watchers::new(SESSIONS, std::iter::repeat_n(plain, viewers));
        Sides::new(
            move || views.nanos(rounds_of[0]),
            move || plain.nanos(rounds_of[1]),
        )
    });
}

/// The longest pass while viewers who want few batches come back with older and older cursors.
fn longest_pass_us(viewers: usize, rounds: usize) -> f64 {
    let watches = (0..viewers).map(|index| {
        let interval_ms = INTERVALS_MS[index % INTERVALS_MS.len()];
        (view(place(index)), interval_ms)
    });
    let mut views = Watchers::new(SESSIONS, watches);
    let mut longest = Duration::ZERO;
    for _ in 0..rounds {
        views.change();
        longest = longest.max(views.deliver().longest);
    }
    longest.as_secs_f64() * 1e6
}

fn view(wish: MapView) -> Scope {
    Scope {
        area: Some(MapArea::around(&wish)),
        ..Scope::whole(Delivery::Latest)
    }
}

/// One of the pieces that the town is cut into.
fn piece(index: usize) -> MapView {
    let index = index as i32 % (SIDE * SIDE);
    let step = TOWN_SIZE_E6 as i32 / SIDE;
    wish([index / SIDE * step, index % SIDE * step], PIECE_E6)
}

/// A rectangle somewhere in the town, another one for each viewer.
fn place(index: usize) -> MapView {
    let room = TOWN_SIZE_E6 as i32 - PIECE_E6 - VIEWERS as i32;
    let spread = |factor: usize| (index * factor % 100) as i32 * room / 100;
    wish([spread(37), spread(53) + index as i32], PIECE_E6)
}

fn wish(corner_e6: [i32; 2], size_e6: i32) -> MapView {
    let (south_e6, west_e6) = (TOWN_E6.0 + corner_e6[0], TOWN_E6.1 + corner_e6[1]);
    MapView {
        south_e6,
        west_e6,
        north_e6: south_e6 + size_e6,
        east_e6: west_e6 + size_e6,
        rows: ROWS,
    }
}
