//! From a point's publication to the first and to the last viewer that has it, over loopback: a
//! real server on one core, its peers on the other, beside a bare server on the same core.

use std::process::ExitCode;
use std::time::Duration;

use criterion::BenchmarkId;
use skein_bench::audience::Arrival;
use skein_bench::child;
use skein_bench::floors::epoll_server;
use skein_bench::mode::Effort;
use skein_bench::pin;
use skein_bench::plain_stage::{self, PlainStage};
use skein_bench::quantile::{median, quantile};
use skein_bench::ratio::{Spec, summarise};
use skein_bench::run::Run;
use skein_bench::server;
use skein_bench::websocket_stage::WebsocketStage;

/// Pause before each publication: longer than the floor interval of these chats, and such that a
/// session stays below its permitted rate.
const PAUSE: Duration = Duration::from_millis(6);

/// Publications that make a block, so that it lasts a tenth of a second or two.
const PER_BLOCK: usize = 12;

/// Viewers in a check.
const VIEWERS_IN_CHECK: usize = 10;

/// One crowd and what is measured with it.
struct Case {
    viewers: usize,
    p50: &'static str,
    p99: &'static str,
    /// Deliveries per second of the server's processor time; with few viewers it says nothing.
    fan_out: Option<&'static str>,
}

const WEBSOCKET: &[Case] = &[
    Case {
        viewers: 1,
        p50: "first_viewer_p50",
        p99: "first_viewer_p99",
        fan_out: None,
    },
    Case {
        viewers: 100,
        p50: "last_of_100_p50",
        p99: "last_of_100_p99",
        fan_out: None,
    },
    Case {
        viewers: 1_000,
        p50: "last_of_1000_p50",
        p99: "last_of_1000_p99",
        fan_out: Some("fanout_ws_1k"),
    },
];

fn main() -> ExitCode {
    match child::role().as_deref() {
        Some(server::ROLE) => return server::main(),
        Some(plain_stage::ROLE) => plain_stage::main(),
        Some(other) => panic!("no such role: {other}"),
        None => measure(),
    }
    ExitCode::SUCCESS
}

fn measure() {
    let mut run = Run::start_unpinned();
    for case in WEBSOCKET {
        websocket(&mut run, case);
    }
    run.finish();
}

/// The core of the servers; their peers are on the last one.
fn server_core() -> usize {
    pin::cores().first().copied().unwrap_or(0)
}

fn websocket(run: &mut Run, case: &Case) {
    let names = [Some(case.p50), Some(case.p99), case.fan_out];
    let wanted = names.into_iter().flatten().any(|name| run.wants(name));
    if !wanted && !run.wants("publish_to_viewer") && !run.wants("floors") {
        return;
    }
    let viewers = match run.effort() {
        Effort::Check => case.viewers.min(VIEWERS_IN_CHECK),
        _ => case.viewers,
    };
    // Children first: they keep the cores that they are given, this thread goes to the last one.
    pin::to_all();
    let mut ours = WebsocketStage::start(server_core(), viewers);
    let mut floor = PlainStage::start(server_core(), viewers, ours.message_bytes());
    pin::to_last();
    distributions(run, viewers, &mut ours, &mut floor);
    latencies(run, case, viewers, &mut ours, &mut floor);
    if let Some(name) = case.fan_out {
        processor_time(run, name, viewers, &mut ours, &mut floor);
    }
}

/// Microseconds until the last viewer has it. Of one viewer it is the first one, too.
fn micros(publish: &mut impl FnMut() -> Arrival) -> f64 {
    std::thread::sleep(PAUSE);
    publish().last.as_secs_f64() * 1e6
}

fn latencies(
    run: &mut Run,
    case: &Case,
    viewers: usize,
    ours: &mut WebsocketStage,
    floor: &mut PlainStage,
) {
    let floor_expected = match viewers {
        1 => epoll_server::FIRST_EXPECTED,
        many => {
            let each = epoll_server::EACH_EXPECTED;
            let many = many as f64;
            each.start * many..each.end * many
        }
    };
    let spec = |name| Spec {
        name,
        unit: "us",
        floor_expected: floor_expected.clone(),
    };
    let (mut ours_all, mut floor_all) = (Vec::new(), Vec::new());
    let block = |all: &mut Vec<f64>, publish: &mut dyn FnMut() -> Arrival| {
        let mut publish = || publish();
        let mut block: Vec<f64> = (0..PER_BLOCK).map(|_| micros(&mut publish)).collect();
        all.extend(&block);
        median(&mut block)
    };
    run.ratio(
        &spec(case.p50),
        || block(&mut ours_all, &mut || ours.publish()),
        || block(&mut floor_all, &mut || floor.publish()),
    );
    if run.wants(case.p99) && !ours_all.is_empty() {
        let pair = (
            quantile(&mut ours_all, 0.99),
            quantile(&mut floor_all, 0.99),
        );
        run.keep(summarise(&spec(case.p99), &[pair]));
    }
}

fn processor_time(
    run: &mut Run,
    name: &'static str,
    viewers: usize,
    ours: &mut WebsocketStage,
    floor: &mut PlainStage,
) {
    let each = epoll_server::EACH_EXPECTED;
    let spec = Spec {
        name,
        unit: "/s",
        floor_expected: 1e6 / each.end..1e6 / each.start,
    };
    let deliveries = (PER_BLOCK * viewers) as f64;
    run.ratio(
        &spec,
        || {
            let before = ours.server.child.processor_time();
            (0..PER_BLOCK).for_each(|_| {
                micros(&mut || ours.publish());
            });
            deliveries / (ours.server.child.processor_time() - before).as_secs_f64()
        },
        || {
            let before = floor.child.processor_time();
            (0..PER_BLOCK).for_each(|_| {
                micros(&mut || floor.publish());
            });
            deliveries / (floor.child.processor_time() - before).as_secs_f64()
        },
    );
}

fn distributions(run: &mut Run, viewers: usize, ours: &mut WebsocketStage, floor: &mut PlainStage) {
    let all = |iterations: u64, publish: &mut dyn FnMut() -> Arrival| -> Duration {
        let one = |_| {
            std::thread::sleep(PAUSE);
            publish().last
        };
        (0..iterations).map(one).sum()
    };
    let mut group = run.criterion().benchmark_group("publish_to_viewer");
    group.bench_function(BenchmarkId::new("websocket_last_of", viewers), |bencher| {
        bencher.iter_custom(|iterations| all(iterations, &mut || ours.publish()));
    });
    group.finish();
    let mut group = run.criterion().benchmark_group("floors");
    group.bench_function(
        BenchmarkId::new("epoll_server_last_of", viewers),
        |bencher| {
            bencher.iter_custom(|iterations| all(iterations, &mut || floor.publish()));
        },
    );
    group.finish();
}
