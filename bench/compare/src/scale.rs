//! Skein alone, with more and more viewers and on more than one core: what a plot over viewers is made of.
//!
//! The stages are those of `cargo bench`. One position is on its way at a time: the next one is published when
//! every viewer has the last one, so that the pace is as high as the server or the loader lets it be.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use skein_bench::commit::commit;
use skein_bench::pin;
use skein_bench::quantile::{median, quantile};
use skein_bench::quic_stage::QuicStage;
use skein_bench::stage::Stage;
use skein_bench::utc;
use skein_bench::websocket_stage::WebsocketStage;

use crate::machine::Machine;
use crate::options::ScaleOptions;
use crate::process::{keep_to_loader_core, server_core};

/// Viewers on WebSocket: one process has at most 20,000 descriptors on many machines.
const WEBSOCKET: [usize; 5] = [1_000, 2_000, 5_000, 10_000, 15_000];

/// Viewers on QUIC, which share descriptors.
const QUIC: [usize; 7] = [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];

/// Up to so many viewers a server on two cores is measured, too.
const VIEWERS_TWO_CORES_MAX: usize = 20_000;

/// Deliveries of one measurement, about; it has no fewer publications than [`PUBLICATIONS_MIN`].
const DELIVERIES: usize = 300_000;

/// As above.
const PUBLICATIONS_MIN: usize = 10;

/// Pause between two publications over QUIC: acknowledgements are done by then. It is not part of the pace.
const QUIC_PAUSE: Duration = Duration::from_millis(30);

/// How viewers are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Plain WebSocket.
    WebSocket,
    /// Datagrams.
    Quic,
}

impl Transport {
    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::WebSocket => "WebSocket",
            Self::Quic => "QUIC",
        }
    }
}

/// What so many viewers cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalePoint {
    /// How they are connected.
    pub transport: Transport,
    /// Cores, and shards, of the server.
    pub cores: usize,
    /// How many they are.
    pub viewers: usize,
    /// Until all of them watched, seconds; the loader's half of each handshake is in it.
    pub joined_s: f64,
    /// From the publication to the first viewer, median, milliseconds.
    pub first_p50_ms: f64,
    /// To the last one, median.
    pub last_p50_ms: f64,
    /// To the last one, at worst.
    pub last_worst_ms: f64,
    /// The share of the publications that reached all of them.
    pub whole: f64,
    /// Deliveries per second, while a publication was on its way.
    pub delivered_per_s: f64,
    /// Deliveries per second of the server's processor time.
    pub delivered_per_cpu_s: f64,
    /// Bytes of memory that each viewer has added to the server.
    pub viewer_bytes: f64,
}

/// All of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// When, as `2024-05-01T08:00:00Z`.
    pub at: String,
    /// What.
    pub commit: String,
    /// Where.
    pub machine: Machine,
    /// In the order in which they were measured.
    pub points: Vec<ScalePoint>,
}

impl Scale {
    /// Reads a file; `None` if there is none.
    ///
    /// # Errors
    /// If it is not one of ours.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        match fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .with_context(|| format!("{} is not what `compare scale` writes", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Writes a file.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }
}

/// Measures all sizes that are wanted. Says on stderr what it is at, and what could not be measured.
pub fn run(options: &ScaleOptions) -> Scale {
    let began = Instant::now();
    let mut points = Vec::new();
    for (transport, cores, viewers) in sizes(options.viewers_max) {
        let seconds = began.elapsed().as_secs();
        let title = transport.title();
        eprintln!("[{seconds:>4} s] {viewers} viewers on {title}, the server on {cores} core(s)");
        match panic::catch_unwind(AssertUnwindSafe(|| measure(transport, cores, viewers))) {
            Ok(point) => {
                eprintln!(
                    "         joined in {:.1} s; last one {:.1} ms; {:.0} deliveries/s; {:.0} B each; {:.3} whole",
                    point.joined_s,
                    point.last_p50_ms,
                    point.delivered_per_s,
                    point.viewer_bytes,
                    point.whole
                );
                points.push(point);
            }
            // The panic has said why.
            Err(_) => eprintln!("         not measured"),
        }
    }
    eprintln!("[{:>4} s] done", began.elapsed().as_secs());
    Scale {
        at: utc::now(),
        commit: commit(),
        machine: Machine::this(),
        points,
    }
}

/// Every transport on one core and, where the machine has them and they are not too many, on two.
fn sizes(viewers_max: usize) -> impl Iterator<Item = (Transport, usize, usize)> {
    let all = [
        (Transport::WebSocket, &WEBSOCKET[..]),
        (Transport::Quic, &QUIC[..]),
    ];
    let both = all.into_iter().flat_map(|(transport, sizes)| {
        sizes
            .iter()
            .flat_map(move |viewers| [1, 2].map(|cores| (transport, cores, *viewers)))
    });
    both.filter(move |(_, cores, viewers)| {
        *viewers <= viewers_max
            && *cores <= pin::cores().len()
            && (*cores == 1 || *viewers <= VIEWERS_TWO_CORES_MAX)
    })
}

fn measure(transport: Transport, cores: usize, viewers: usize) -> ScalePoint {
    let list = match cores {
        1 => server_core().to_string(),
        _ => pin::cores()
            .iter()
            .map(usize::to_string)
            .collect::<Vec<_>>()
            .join(","),
    };
    // The child runs where its parent runs when it is made.
    match cores {
        1 => pin::to(server_core()),
        _ => pin::to_all(),
    }
    let began = Instant::now();
    let mut stage: Box<dyn Stage> = match transport {
        Transport::WebSocket => Box::new(WebsocketStage::start_unpaced(&list, viewers, 1)),
        Transport::Quic => Box::new(QuicStage::start_unpaced(&list, viewers, 1)),
    };
    let joined_s = began.elapsed().as_secs_f64();
    keep_to_loader_core();
    let pause = match transport {
        Transport::WebSocket => Duration::ZERO,
        Transport::Quic => QUIC_PAUSE,
    };
    let publications = (DELIVERIES / viewers).max(PUBLICATIONS_MIN);
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let (mut delivered, mut delivered_whole, mut on_their_way) = (0, 0, Duration::ZERO);
    stage.settle();
    let cpu = stage.server_time();
    for _ in 0..publications {
        let arrival = stage.publish(pause, 1);
        delivered += stage.delivered();
        if let Some(arrival) = arrival {
            first.push(arrival.first.as_secs_f64() * 1e3);
            last.push(arrival.last.as_secs_f64() * 1e3);
            on_their_way += arrival.last;
            delivered_whole += stage.delivered();
        }
    }
    stage.settle();
    let cpu = stage.server_time().saturating_sub(cpu).as_secs_f64();
    assert!(
        !last.is_empty(),
        "no publication reached all of {viewers} viewers"
    );
    ScalePoint {
        transport,
        cores,
        viewers,
        joined_s,
        whole: last.len() as f64 / publications as f64,
        first_p50_ms: median(&mut first),
        last_p50_ms: median(&mut last),
        last_worst_ms: quantile(&mut last, 1.0),
        delivered_per_s: delivered_whole as f64 / on_their_way.as_secs_f64(),
        delivered_per_cpu_s: delivered as f64 / cpu.max(f64::EPSILON),
        viewer_bytes: stage.viewer_bytes().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Transport, VIEWERS_TWO_CORES_MAX, sizes};

    #[test]
    fn sizes_end_where_they_are_to() {
        let all: Vec<_> = sizes(5_000).collect();
        assert!(all.contains(&(Transport::WebSocket, 1, 5_000)));
        assert!(all.contains(&(Transport::Quic, 1, 1_000)));
        assert!(all.iter().all(|(_, _, viewers)| *viewers <= 5_000));
        let large = sizes(usize::MAX).filter(|(_, cores, _)| *cores == 2);
        assert!(
            large
                .map(|it| it.2)
                .all(|viewers| viewers <= VIEWERS_TWO_CORES_MAX)
        );
    }
}
