//! From a point's publication to the first and to the last viewer that has it, over loopback: a
//! real server on one core, its peers on the other, beside a bare server on the same core.

use std::ops::Range;
use std::process::ExitCode;
use std::time::Duration;

use criterion::BenchmarkId;
use skein_bench::child;
use skein_bench::floors::{epoll_server, quinn_server};
use skein_bench::mode::Effort;
use skein_bench::pin;
use skein_bench::plain_stage::{self, PlainStage};
use skein_bench::quantile::{median, quantile};
use skein_bench::quic_stage::QuicStage;
use skein_bench::quinn_stage::{self, QuinnStage};
use skein_bench::ratio::{Spec, summarise};
use skein_bench::run::Run;
use skein_bench::server;
use skein_bench::stage::Stage;
use skein_bench::websocket_stage::WebsocketStage;

/// Pause before each publication: longer than the floor interval of these chats, and such that a
/// session stays below its permitted rate.
const PAUSE: Duration = Duration::from_millis(6);

/// Publications that make a block, so that it lasts a tenth of a second or two.
const PER_BLOCK: usize = 12;

/// Publications until all viewers get one; loopback rarely loses a datagram.
const TRIES: usize = 20;

/// Bytes of the floor's datagrams: what a batch with one row takes.
const QUIC_MESSAGE_BYTES: usize = 64;

/// How much longer than the median the 99th percentile of a floor may be.
const TAIL: f64 = 10.0;

/// Viewers in a check.
const VIEWERS_IN_CHECK: usize = 10;

/// One crowd and what is measured with it.
struct Case {
    transport: Transport,
    viewers: usize,
    p50: &'static str,
    p99: &'static str,
    /// Deliveries per second of the server's processor time; with few viewers it says nothing.
    fan_out: Option<&'static str>,
    /// Bytes of the server's memory for each viewer.
    memory: Option<&'static str>,
}

/// How batches travel, and with that which floor they are measured beside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Websocket,
    Quic,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Websocket => "websocket",
            Self::Quic => "quic",
        }
    }

    fn floor_name(self) -> &'static str {
        match self {
            Self::Websocket => "epoll_server",
            Self::Quic => "quinn_server",
        }
    }

    /// Microseconds until the last of so many viewers has it from the floor.
    fn floor_expected(self, viewers: usize) -> Range<f64> {
        let (first, each) = match self {
            Self::Websocket => (epoll_server::FIRST_EXPECTED, epoll_server::EACH_EXPECTED),
            Self::Quic => (quinn_server::FIRST_EXPECTED, quinn_server::EACH_EXPECTED),
        };
        let many = viewers as f64;
        first.start.max(each.start * many)..first.end.max(each.end * many)
    }

    /// Deliveries per second of the floor's processor time.
    fn fan_out_expected(self) -> Range<f64> {
        let each = match self {
            Self::Websocket => epoll_server::EACH_EXPECTED,
            Self::Quic => quinn_server::EACH_EXPECTED,
        };
        1e6 / each.end..1e6 / each.start
    }
}

const CASES: &[Case] = &[
    Case {
        transport: Transport::Websocket,
        viewers: 1,
        p50: "first_viewer_p50",
        p99: "first_viewer_p99",
        fan_out: None,
        memory: None,
    },
    Case {
        transport: Transport::Websocket,
        viewers: 100,
        p50: "last_of_100_p50",
        p99: "last_of_100_p99",
        fan_out: None,
        memory: None,
    },
    Case {
        transport: Transport::Websocket,
        viewers: 1_000,
        p50: "last_of_1000_p50",
        p99: "last_of_1000_p99",
        fan_out: Some("fanout_ws_1k"),
        memory: Some("memory_ws_viewer_bytes"),
    },
    Case {
        transport: Transport::Quic,
        viewers: 1,
        p50: "first_viewer_quic_p50",
        p99: "first_viewer_quic_p99",
        fan_out: None,
        memory: None,
    },
    Case {
        transport: Transport::Quic,
        viewers: 100,
        p50: "last_of_100_quic_p50",
        p99: "last_of_100_quic_p99",
        fan_out: Some("fanout_quic_100_vs_quinn"),
        memory: Some("memory_quic_viewer_bytes"),
    },
];

fn main() -> ExitCode {
    match child::role().as_deref() {
        Some(server::ROLE) => return server::main(),
        Some(plain_stage::ROLE) => plain_stage::main(),
        Some(quinn_stage::ROLE) => quinn_stage::main(),
        Some(other) => panic!("no such role: {other}"),
        None => measure(),
    }
    ExitCode::SUCCESS
}

fn measure() {
    let mut run = Run::start_unpinned();
    for case in CASES {
        let names = [Some(case.p50), Some(case.p99), case.fan_out, case.memory];
        let wanted = names.into_iter().flatten().any(|name| run.wants(name));
        if wanted || run.wants("publish_to_viewer") || run.wants("floors") {
            measure_case(&mut run, case);
        }
    }
    run.finish();
}

fn measure_case(run: &mut Run, case: &Case) {
    let viewers = match run.effort() {
        Effort::Check => case.viewers.min(VIEWERS_IN_CHECK),
        _ => case.viewers,
    };
    // Children first: they keep the cores that they are given, this thread goes to the last one.
    pin::to_all();
    let core = pin::cores().first().copied().unwrap_or(0);
    let (mut ours, mut floor): (Box<dyn Stage>, Box<dyn Stage>) = match case.transport {
        Transport::Websocket => {
            let ours = WebsocketStage::start(core, viewers);
            let floor = PlainStage::start(core, viewers, ours.message_bytes());
            (Box::new(ours), Box::new(floor))
        }
        Transport::Quic => (
            Box::new(QuicStage::start(core, viewers)),
            Box::new(QuinnStage::start(core, viewers, QUIC_MESSAGE_BYTES)),
        ),
    };
    pin::to_last();
    distributions(run, case, viewers, &mut *ours, &mut *floor);
    latencies(run, case, viewers, &mut *ours, &mut *floor);
    if let Some(name) = case.fan_out {
        processor_time(run, name, case.transport, &mut *ours, &mut *floor);
    }
    if let (Some(name), Some(bytes)) = (case.memory, ours.viewer_bytes()) {
        run.value(name, "B", bytes);
    }
}

/// Time until the last viewer has it. Of one viewer it is the first one, too. What was lost on the
/// way is published again.
fn last(stage: &mut dyn Stage) -> Duration {
    let arrivals = std::iter::repeat_with(|| stage.publish(PAUSE));
    let whole = arrivals.take(TRIES).flatten().next();
    whole.expect("a publication that all viewers get").last
}

fn latencies(
    run: &mut Run,
    case: &Case,
    viewers: usize,
    ours: &mut dyn Stage,
    floor: &mut dyn Stage,
) {
    let expected = case.transport.floor_expected(viewers);
    // The slowest of a hundred says more about the machine than about the floor.
    let expected_p99 = expected.start..expected.end * TAIL;
    let spec = |name, floor_expected: &Range<f64>| Spec {
        name,
        unit: "us",
        floor_expected: floor_expected.clone(),
    };
    let (mut ours_all, mut floor_all) = (Vec::new(), Vec::new());
    let block = |all: &mut Vec<f64>, stage: &mut dyn Stage| {
        let micros = |_| last(stage).as_secs_f64() * 1e6;
        let mut block: Vec<f64> = (0..PER_BLOCK).map(micros).collect();
        all.extend(&block);
        median(&mut block)
    };
    run.ratio(
        &spec(case.p50, &expected),
        || block(&mut ours_all, ours),
        || block(&mut floor_all, floor),
    );
    if run.wants(case.p99) && !ours_all.is_empty() {
        let pair = (
            quantile(&mut ours_all, 0.99),
            quantile(&mut floor_all, 0.99),
        );
        run.keep(summarise(&spec(case.p99, &expected_p99), &[pair]));
    }
}

fn processor_time(
    run: &mut Run,
    name: &'static str,
    transport: Transport,
    ours: &mut dyn Stage,
    floor: &mut dyn Stage,
) {
    let spec = Spec {
        name,
        unit: "/s",
        floor_expected: transport.fan_out_expected(),
    };
    let block = |stage: &mut dyn Stage| {
        let before = stage.server().processor_time();
        let mut deliveries = 0;
        for _ in 0..PER_BLOCK {
            stage.publish(PAUSE);
            deliveries += stage.served();
        }
        let took = stage.server().processor_time() - before;
        deliveries as f64 / took.as_secs_f64()
    };
    run.ratio(&spec, || block(ours), || block(floor));
}

fn distributions(
    run: &mut Run,
    case: &Case,
    viewers: usize,
    ours: &mut dyn Stage,
    floor: &mut dyn Stage,
) {
    let transport = case.transport;
    let mut group = run.criterion().benchmark_group("publish_to_viewer");
    let id = BenchmarkId::new(format!("{}_last_of", transport.name()), viewers);
    group.bench_function(id, |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| last(ours)).sum());
    });
    group.finish();
    let mut group = run.criterion().benchmark_group("floors");
    let id = BenchmarkId::new(format!("{}_last_of", transport.floor_name()), viewers);
    group.bench_function(id, |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| last(floor)).sum());
    });
    group.finish();
}
