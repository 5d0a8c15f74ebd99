//! From a point's publication to its viewers over loopback: a real server on one core, its crowd
//! on the other, beside bare servers on the same core with crowds of their own.
//!
//! The times are those until the first and until the last viewer has it; the fan-out is what a
//! second of the server's processor time delivers, everything included: reading, log, table,
//! sending, acknowledgements. Pending updates are points of as many sessions that one batch brings.

use std::time::Duration;

use skein_bench::crowd::{Kind, Published};
use skein_bench::floors::expected::Expected;
use skein_bench::floors::{epoll_server, quinn_server, sealed_datagrams, tls_server};
use skein_bench::mode::Effort;
use skein_bench::part::{Laps, Part};
use skein_bench::peers::Peers;
use skein_bench::quantile::quantile;
use skein_bench::ratio::{Pair, SetUp, Spec, summarise_floor};
use skein_bench::run::Run;

/// Viewers, and sessions, in a check.
const CROWD_IN_CHECK: usize = 10;

/// Bytes of a floor's message when there is no batch of ours beside it.
const MESSAGE_BYTES: usize = 48;

/// Windows of a lap that a high percentile is the median of, if each has values enough: one block has too few.
const WINDOWS: usize = 7;

/// How many times the usual number of blocks measures times of arrival in a full run: high percentiles need
/// many publications.
const BLOCKS_FOR_TIMES: usize = 3;

/// One crowd of ours and the floors beside it.
struct Crowd {
    ours: Kind,
    viewers: usize,
    sessions: usize,
    memory: Option<&'static str>,
    rounds: &'static [Round],
}

/// What is measured with it.
struct Round {
    floor: Kind,
    /// Sessions that move in each publication of ours; a floor publishes one update at a time.
    updates: usize,
    /// Before each publication: beyond the floor interval of a chat of this size, and such that
    /// acknowledgements have come.
    pause: Duration,
    /// Publications of a block, so that it lasts up to two tenths of a second.
    times: usize,
    /// How many of the usual blocks there are.
    share: Share,
    figures: &'static [Figure],
}

/// A part of the usual number of blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    Whole,
    /// For what takes half a second each time. A full run still has more than 20 of them, a quick one a few.
    Half,
}

struct Figure {
    name: &'static str,
    what: What,
    expected: Expected,
}

#[derive(Clone, Copy)]
enum What {
    /// Microseconds until the first viewer, at this part of all publications.
    First(f64),
    /// Until the last one.
    Last(f64),
    /// Deliveries per second of the server's processor time.
    FanOut,
}

const fn figure(name: &'static str, what: What, expected: Expected) -> Figure {
    Figure {
        name,
        what,
        expected,
    }
}

const WS_ONE: Crowd = Crowd {
    ours: Kind::Websocket,
    viewers: 1,
    sessions: 1,
    memory: None,
    rounds: &[Round {
        floor: Kind::Plain,
        updates: 1,
        pause: Duration::from_millis(6),
        times: 24,
        share: Share::Whole,
        figures: &[
            figure(
                "first_viewer_p50",
                What::First(0.5),
                epoll_server::FIRST_P50,
            ),
            figure(
                "first_viewer_p99",
                What::First(0.99),
                epoll_server::FIRST_P99,
            ),
            figure(
                "first_viewer_p999",
                What::First(0.999),
                epoll_server::FIRST_P999,
            ),
        ],
    }],
};

const WS_100: Crowd = Crowd {
    ours: Kind::Websocket,
    viewers: 100,
    sessions: 1,
    memory: None,
    rounds: &[Round {
        floor: Kind::Plain,
        updates: 1,
        pause: Duration::from_millis(6),
        times: 20,
        share: Share::Whole,
        figures: &[
            figure(
                "first_of_100_p50",
                What::First(0.5),
                epoll_server::FIRST_P50,
            ),
            figure(
                "last_of_100_p50",
                What::Last(0.5),
                epoll_server::LAST_100_P50,
            ),
            figure(
                "last_of_100_p99",
                What::Last(0.99),
                epoll_server::LAST_100_P99,
            ),
            figure(
                "last_of_100_p999",
                What::Last(0.999),
                epoll_server::LAST_100_P999,
            ),
        ],
    }],
};

const WS_1K: Crowd = Crowd {
    ours: Kind::Websocket,
    viewers: 1_000,
    sessions: 1,
    memory: None,
    rounds: &[Round {
        floor: Kind::Plain,
        updates: 1,
        pause: Duration::from_millis(6),
        times: 12,
        share: Share::Whole,
        figures: &[
            figure(
                "first_of_1000_p50",
                What::First(0.5),
                epoll_server::FIRST_P50,
            ),
            figure(
                "last_of_1000_p50",
                What::Last(0.5),
                epoll_server::LAST_1000_P50,
            ),
            figure(
                "last_of_1000_p99",
                What::Last(0.99),
                epoll_server::LAST_1000_P99,
            ),
            figure(
                "last_of_1000_p999",
                What::Last(0.999),
                epoll_server::LAST_1000_P999,
            ),
            figure("fanout_ws_1k", What::FanOut, epoll_server::FANOUT_1K),
        ],
    }],
};

const WS_1K_BACKLOG: Crowd = Crowd {
    ours: Kind::Websocket,
    viewers: 1_000,
    sessions: 256,
    memory: None,
    rounds: &[
        Round {
            floor: Kind::Plain,
            updates: 32,
            pause: Duration::from_millis(2),
            times: 5,
            share: Share::Whole,
            figures: &[figure(
                "fanout_ws_1k_backlog32",
                What::FanOut,
                epoll_server::FANOUT_1K,
            )],
        },
        Round {
            floor: Kind::Plain,
            updates: 256,
            pause: Duration::from_millis(2),
            times: 5,
            share: Share::Whole,
            figures: &[figure(
                "fanout_ws_1k_backlog256",
                What::FanOut,
                epoll_server::FANOUT_1K,
            )],
        },
    ],
};

const WS_10K: Crowd = Crowd {
    ours: Kind::Websocket,
    viewers: 10_000,
    sessions: 32,
    memory: Some("memory_ws_viewer_bytes"),
    rounds: &[
        Round {
            floor: Kind::Plain,
            updates: 1,
            pause: Duration::from_millis(20),
            times: 1,
            share: Share::Whole,
            figures: &[figure(
                "fanout_ws_10k_uring",
                What::FanOut,
                epoll_server::FANOUT_10K,
            )],
        },
        Round {
            floor: Kind::Plain,
            updates: 32,
            pause: Duration::from_millis(20),
            times: 1,
            share: Share::Whole,
            figures: &[figure(
                "fanout_ws_10k_backlog32",
                What::FanOut,
                epoll_server::FANOUT_10K,
            )],
        },
    ],
};

const WS_10K_WRITES: Crowd = Crowd {
    ours: Kind::WebsocketWrites,
    memory: None,
    rounds: &[Round {
        figures: &[figure(
            "fanout_ws_10k",
            What::FanOut,
            epoll_server::FANOUT_10K,
        )],
        ..WS_10K.rounds[0]
    }],
    ..WS_10K
};

const WS_10K_BACKLOG: Crowd = Crowd {
    ours: Kind::Websocket,
    viewers: 10_000,
    sessions: 256,
    memory: None,
    rounds: &[Round {
        floor: Kind::Plain,
        updates: 256,
        // Within the floor interval, so that all of them wait for the same pass.
        pause: Duration::from_millis(20),
        times: 1,
        share: Share::Half,
        figures: &[figure(
            "fanout_ws_10k_backlog256",
            What::FanOut,
            epoll_server::FANOUT_10K,
        )],
    }],
};

const WSS_10K: Crowd = Crowd {
    ours: Kind::WebsocketTls,
    viewers: 10_000,
    sessions: 1,
    memory: Some("memory_wss_viewer_bytes"),
    rounds: &[Round {
        floor: Kind::PlainTls,
        updates: 1,
        pause: Duration::from_millis(20),
        times: 1,
        share: Share::Whole,
        figures: &[figure(
            "fanout_wss_10k",
            What::FanOut,
            tls_server::FANOUT_10K_EXPECTED,
        )],
    }],
};

const QUIC_ONE: Crowd = Crowd {
    ours: Kind::Quic,
    viewers: 1,
    sessions: 1,
    memory: None,
    rounds: &[Round {
        floor: Kind::Quinn,
        updates: 1,
        pause: Duration::from_millis(6),
        times: 20,
        share: Share::Whole,
        figures: &[
            figure(
                "first_viewer_quic_p50",
                What::First(0.5),
                quinn_server::FIRST_P50,
            ),
            figure(
                "first_viewer_quic_p99",
                What::First(0.99),
                quinn_server::FIRST_P99,
            ),
        ],
    }],
};

const QUIC_1K: Crowd = Crowd {
    ours: Kind::Quic,
    viewers: 1_000,
    sessions: 1,
    memory: None,
    rounds: &[Round {
        floor: Kind::Quinn,
        updates: 1,
        pause: Duration::from_millis(6),
        times: 4,
        share: Share::Whole,
        figures: &[
            figure(
                "first_of_1000_quic_p50",
                What::First(0.5),
                quinn_server::FIRST_P50,
            ),
            figure(
                "last_of_1000_quic_p50",
                What::Last(0.5),
                quinn_server::LAST_1000_P50,
            ),
            figure(
                "last_of_1000_quic_p99",
                What::Last(0.99),
                quinn_server::LAST_1000_P99,
            ),
            figure(
                "last_of_1000_quic_p999",
                What::Last(0.999),
                quinn_server::LAST_1000_P999,
            ),
        ],
    }],
};

const QUIC_1K_BACKLOG: Crowd = Crowd {
    ours: Kind::Quic,
    viewers: 1_000,
    sessions: 256,
    memory: None,
    rounds: &[
        Round {
            floor: Kind::Sealed,
            updates: 1,
            pause: Duration::from_millis(6),
            times: 2,
            share: Share::Whole,
            figures: &[figure(
                "fanout_quic_1k_vs_floor",
                What::FanOut,
                sealed_datagrams::EXPECTED,
            )],
        },
        Round {
            floor: Kind::Quinn,
            updates: 1,
            pause: Duration::from_millis(6),
            times: 2,
            share: Share::Whole,
            figures: &[beside_quinn("fanout_quic_1k_vs_quinn")],
        },
        Round {
            floor: Kind::Quinn,
            updates: 32,
            pause: Duration::from_millis(6),
            times: 2,
            share: Share::Whole,
            figures: &[beside_quinn("fanout_quic_1k_backlog32_vs_quinn")],
        },
        Round {
            floor: Kind::Quinn,
            updates: 256,
            pause: Duration::from_millis(6),
            times: 1,
            share: Share::Whole,
            figures: &[beside_quinn("fanout_quic_1k_backlog256_vs_quinn")],
        },
    ],
};

const QUIC_5K: Crowd = Crowd {
    ours: Kind::Quic,
    viewers: 5_000,
    sessions: 256,
    memory: Some("memory_quic_viewer_bytes"),
    rounds: &[
        Round {
            floor: Kind::Sealed,
            updates: 1,
            pause: Duration::from_millis(20),
            times: 1,
            share: Share::Whole,
            figures: &[figure(
                "fanout_quic_5k_vs_floor",
                What::FanOut,
                sealed_datagrams::EXPECTED,
            )],
        },
        quic_5k_beside_quinn(1, Share::Whole, &[beside_quinn("fanout_quic_5k_vs_quinn")]),
        quic_5k_beside_quinn(
            32,
            Share::Half,
            &[beside_quinn("fanout_quic_5k_backlog32_vs_quinn")],
        ),
        quic_5k_beside_quinn(
            256,
            Share::Half,
            &[beside_quinn("fanout_quic_5k_backlog256_vs_quinn")],
        ),
    ],
};

/// Deliveries beside those of stock quinn.
const fn beside_quinn(name: &'static str) -> Figure {
    figure(name, What::FanOut, quinn_server::FANOUT)
}

/// Five thousand viewers are long in coming, so all rounds are with the same ones.
const fn quic_5k_beside_quinn(updates: usize, share: Share, figures: &'static [Figure]) -> Round {
    Round {
        floor: Kind::Quinn,
        updates,
        pause: Duration::from_millis(20),
        times: 1,
        share,
        figures,
    }
}

/// These parts.
pub const PARTS: [Part<Run>; 12] = [
    Part {
        name: "publish_ws_1",
        figures: &["first_viewer_p50", "first_viewer_p99", "first_viewer_p999"],
        seconds: [8, 14],
        laps: Laps::Each,
        measure: |run| measure(run, &WS_ONE),
    },
    Part {
        name: "publish_ws_100",
        figures: &[
            "first_of_100_p50",
            "last_of_100_p50",
            "last_of_100_p99",
            "last_of_100_p999",
        ],
        seconds: [9, 14],
        laps: Laps::Each,
        measure: |run| measure(run, &WS_100),
    },
    Part {
        name: "publish_ws_1000",
        figures: &[
            "first_of_1000_p50",
            "last_of_1000_p50",
            "last_of_1000_p99",
            "last_of_1000_p999",
            "fanout_ws_1k",
        ],
        seconds: [10, 19],
        laps: Laps::Each,
        measure: |run| measure(run, &WS_1K),
    },
    Part {
        name: "fanout_ws_1k_backlog",
        figures: &["fanout_ws_1k_backlog32", "fanout_ws_1k_backlog256"],
        seconds: [12, 21],
        laps: Laps::Each,
        measure: |run| measure(run, &WS_1K_BACKLOG),
    },
    Part {
        name: "fanout_ws_10k_writes",
        figures: &["fanout_ws_10k"],
        seconds: [20, 30],
        laps: Laps::Each,
        measure: |run| measure(run, &WS_10K_WRITES),
    },
    Part {
        name: "fanout_ws_10k",
        figures: &[
            "fanout_ws_10k_uring",
            "fanout_ws_10k_backlog32",
            "memory_ws_viewer_bytes",
        ],
        seconds: [25, 36],
        laps: Laps::Each,
        measure: |run| measure(run, &WS_10K),
    },
    Part {
        name: "fanout_ws_10k_backlog",
        figures: &["fanout_ws_10k_backlog256"],
        seconds: [14, 26],
        laps: Laps::Each,
        measure: |run| measure(run, &WS_10K_BACKLOG),
    },
    Part {
        name: "fanout_wss_10k",
        figures: &["fanout_wss_10k", "memory_wss_viewer_bytes"],
        seconds: [22, 58],
        laps: Laps::Each,
        measure: |run| measure(run, &WSS_10K),
    },
    Part {
        name: "publish_quic_1",
        figures: &["first_viewer_quic_p50", "first_viewer_quic_p99"],
        seconds: [9, 19],
        laps: Laps::Each,
        measure: |run| measure(run, &QUIC_ONE),
    },
    Part {
        name: "publish_quic_1000",
        figures: &[
            "first_of_1000_quic_p50",
            "last_of_1000_quic_p50",
            "last_of_1000_quic_p99",
            "last_of_1000_quic_p999",
        ],
        seconds: [20, 46],
        laps: Laps::Each,
        measure: |run| measure(run, &QUIC_1K),
    },
    Part {
        name: "fanout_quic_1k",
        figures: &[
            "fanout_quic_1k_vs_floor",
            "fanout_quic_1k_vs_quinn",
            "fanout_quic_1k_backlog32_vs_quinn",
            "fanout_quic_1k_backlog256_vs_quinn",
        ],
        seconds: [27, 58],
        laps: Laps::Each,
        measure: |run| measure(run, &QUIC_1K_BACKLOG),
    },
    Part {
        name: "fanout_quic_5k",
        figures: &[
            "fanout_quic_5k_vs_floor",
            "fanout_quic_5k_vs_quinn",
            "fanout_quic_5k_backlog32_vs_quinn",
            "fanout_quic_5k_backlog256_vs_quinn",
            "memory_quic_viewer_bytes",
        ],
        seconds: [46, 80],
        laps: Laps::Each,
        measure: |run| measure(run, &QUIC_5K),
    },
];

/// The blocks of both sides, of one set-up.
#[derive(Default)]
struct Blocks {
    ours: Vec<Published>,
    floor: Vec<Published>,
}

fn measure(run: &mut Run, crowd: &Crowd) {
    let check = run.effort() == Effort::Check;
    let size = |wanted: usize| match check {
        true => wanted.min(CROWD_IN_CHECK),
        false => wanted,
    };
    let mut memory = Vec::new();
    let set_ups = match run.wants_any(&crowd.ratios()) {
        true => run.effort().crowds(size(crowd.viewers)),
        // Memory needs nothing but viewers who have come.
        false => 1,
    };
    let mut measured: Vec<Vec<Blocks>> = Vec::new();
    for _ in 0..set_ups {
        let mut blocks: Vec<Blocks> = crowd.rounds.iter().map(|_| Blocks::default()).collect();
        memory.extend(set_up(run, crowd, size, set_ups, &mut blocks));
        measured.push(blocks);
    }
    for (index, round) in crowd.rounds.iter().enumerate() {
        let set_ups: Vec<&Blocks> = measured.iter().map(|blocks| &blocks[index]).collect();
        for figure in round.figures {
            keep(run, figure, &set_ups);
        }
    }
    if let Some(name) = crowd.memory {
        memory
            .into_iter()
            .for_each(|bytes| run.value(name, "B", bytes));
    }
}

/// Gathers everybody anew and adds the blocks of one set-up; what a viewer costs in memory.
fn set_up(
    run: &mut Run,
    crowd: &Crowd,
    size: impl Fn(usize) -> usize,
    set_ups: usize,
    blocks: &mut [Blocks],
) -> Option<f64> {
    let viewers = size(crowd.viewers);
    let mut ours = (!run.floors_only()).then(|| {
        run.say(&format!("{viewers} viewers come to our server"));
        Peers::start(crowd.ours, viewers, size(crowd.sessions), MESSAGE_BYTES)
    });
    let mut floor: Option<(Kind, Peers)> = None;
    for (round, blocks) in crowd.rounds.iter().zip(blocks) {
        if !run.wants_any(&round.names()) {
            continue;
        }
        if floor.as_ref().is_none_or(|(kind, _)| *kind != round.floor) {
            // One floor's crowd at a time, or the memory of a small machine would not do.
            drop(floor.take());
            let bytes = ours
                .as_ref()
                .map_or(MESSAGE_BYTES, |ours| ours.ready.message_bytes);
            let kind = round.floor;
            run.say(&format!("{viewers} viewers come to the floor ({kind:?})"));
            floor = Some((kind, Peers::start(kind, viewers, 0, bytes)));
        }
        if let Some((_, floor)) = &mut floor {
            let updates = size(round.updates);
            let count = round.blocks(run.effort()).div_ceil(set_ups);
            run.say(round.figures[0].name);
            blocks.measure(round, ours.as_mut(), floor, updates, count);
        }
    }
    ours.and_then(|ours| ours.ready.viewer_bytes)
}

impl Crowd {
    /// All ratios that are measured with it.
    fn ratios(&self) -> Vec<&'static str> {
        self.rounds.iter().flat_map(Round::names).collect()
    }
}

impl Round {
    /// Blocks of each side in a lap.
    fn blocks(&self, effort: Effort) -> usize {
        let is_time = |figure: &Figure| !matches!(figure.what, What::FanOut);
        let part = match (self.share, effort) {
            (Share::Whole, _) => 1,
            (Share::Half, Effort::Quick) => 4,
            (Share::Half, _) => 2,
        };
        let usual = effort.blocks().div_ceil(part);
        match effort == Effort::Full && self.figures.iter().any(is_time) {
            true => BLOCKS_FOR_TIMES * usual,
            false => usual,
        }
    }

    fn names(&self) -> Vec<&'static str> {
        self.figures.iter().map(|figure| figure.name).collect()
    }
}

impl Blocks {
    /// Adds so many blocks of each side.
    fn measure(
        &mut self,
        round: &Round,
        mut ours: Option<&mut Peers>,
        floor: &mut Peers,
        updates: usize,
        count: usize,
    ) {
        let mut ours_block = |ours: &mut Peers| ours.publish(round.pause, updates, round.times);
        let floor_block = |floor: &mut Peers| floor.publish(round.pause, 1, round.times);
        // One of each to warm up.
        floor_block(floor);
        ours.as_deref_mut().map(&mut ours_block);
        for index in 0..count {
            let first = index % 2 == 0;
            if first {
                self.ours.extend(ours.as_deref_mut().map(&mut ours_block));
            }
            self.floor.push(floor_block(floor));
            if !first {
                self.ours.extend(ours.as_deref_mut().map(&mut ours_block));
            }
        }
    }
}

fn keep(run: &mut Run, figure: &Figure, set_ups: &[&Blocks]) {
    let spec = Spec {
        name: figure.name,
        unit: match figure.what {
            What::FanOut => "/s",
            _ => "us",
        },
        floor_expected: figure.expected.here(),
    };
    let windows = WINDOWS.div_ceil(set_ups.len());
    let values = |blocks: &[Published]| values(figure.what, blocks, windows);
    if run.floors_only() {
        let floors = set_ups.iter().flat_map(|blocks| values(&blocks.floor));
        println!(
            "{}",
            summarise_floor(&spec, floors.filter(|it| *it > 0.0).collect())
        );
        return;
    }
    for blocks in set_ups {
        let (ours, floors) = (values(&blocks.ours), values(&blocks.floor));
        run.set_up(&spec, arrived(ours.into_iter().zip(floors).collect()));
    }
}

/// A block of which loopback has lost everything says nothing about time.
fn arrived(all: Vec<Pair>) -> SetUp {
    let count = all.len();
    let pairs: Vec<Pair> = all
        .into_iter()
        .filter(|(ours, floor)| *ours > 0.0 && *floor > 0.0)
        .collect();
    SetUp {
        dropped: count - pairs.len(),
        pairs,
    }
}

/// One value for each block, or for each of at most so many windows of blocks.
fn values(what: What, blocks: &[Published], windows_max: usize) -> Vec<f64> {
    let (index, part) = match what {
        What::First(part) => (0, part),
        What::Last(part) => (1, part),
        What::FanOut => {
            let rate = |block: &Published| block.delivered as f64 / block.server_s.max(1e-9);
            return blocks.iter().map(rate).collect();
        }
    };
    let count = match part > 0.5 {
        true => windows(part, blocks, windows_max),
        false => blocks.len(),
    };
    let of = |window: usize| {
        let window = blocks.len() * window / count..blocks.len() * (window + 1) / count;
        let arrivals = blocks[window].iter().flat_map(|block| &block.arrivals_us);
        let mut micros: Vec<f64> = arrivals.map(|arrival| arrival[index]).collect();
        quantile(&mut micros, part)
    };
    (0..count).map(of).collect()
}

/// How many windows the blocks are cut into for a high percentile, so that it is not simply the largest value
/// of each.
fn windows(part: f64, blocks: &[Published], windows_max: usize) -> usize {
    let values_least = 0.5 / (1.0 - part) + 2.0;
    let values: usize = blocks.iter().map(|block| block.arrivals_us.len()).sum();
    let most = (values as f64 / values_least) as usize;
    most.clamp(1, windows_max.max(1)).min(blocks.len())
}
