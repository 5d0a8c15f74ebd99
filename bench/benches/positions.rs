//! What very large groups are about: how many positions viewers have applied for one second of the
//! server's processor time, when 1,000 people move once a second and 10,000 watch all of them.
//!
//! Counted at the viewers: each batch is read, and at each viewer the points of each session are followed by
//! their counters. One that comes twice or behind a later one is a fault of the server and ends the run;
//! where any is skipped, the figure is in doubt: who leaves out has less to do.

use skein_bench::arrivals::Faults;
use skein_bench::crowd::Kind;
use skein_bench::doubt::Doubt;
use skein_bench::mode::Effort;
use skein_bench::part::{Laps, Part};
use skein_bench::peers::Peers;
use skein_bench::run::Run;

/// Viewers, sessions and seconds of a run.
const fn size(effort: Effort) -> (usize, usize, u64) {
    match effort {
        Effort::Full => (10_000, 1_000, 20),
        Effort::Quick => (10_000, 1_000, 5),
        Effort::Check => (10, 20, 1),
    }
}

/// This part.
pub const PART: Part<Run> = Part {
    name: "positions",
    figures: &[
        "positions_per_cpu_s",
        "positions_part_delivered",
        "positions_skipped",
        "positions_age_ms",
    ],
    seconds: [11, 26],
    laps: Laps::Last,
    measure,
};

fn measure(run: &mut Run) {
    if run.floors_only() {
        return;
    }
    let (viewers, sessions, seconds) = size(run.effort());
    run.say(&format!(
        "{viewers} viewers come, {sessions} people move for {seconds} s"
    ));
    let mut peers = Peers::start(Kind::Websocket, viewers, sessions, 0);
    let streamed = peers.stream(seconds);
    let Faults { skipped, not_newer } = streamed.faults;
    assert_eq!(not_newer, 0, "points came twice, or behind later ones");
    let doubt = (skipped > 0).then_some(Doubt::Skipped);
    let per_second = streamed.positions as f64 / streamed.server_s;
    let part = streamed.positions as f64 / streamed.owed as f64;
    run.value_in_doubt("positions_per_cpu_s", "/s", per_second, doubt);
    run.value("positions_part_delivered", "", part);
    run.value("positions_skipped", "", skipped as f64);
    run.value("positions_age_ms", "ms", streamed.age_ms);
}
