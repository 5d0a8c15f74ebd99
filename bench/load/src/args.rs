//! The command line.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cast::Transport;

/// Drives a skein server with senders and viewers, and checks what the viewers get.
///
/// Without an address it starts a server of its own (the `skein` beside this program), on an
/// empty directory, and takes it away afterwards. Exit code 0: everything arrived, in order;
/// 1: something is missing, out of order or broken, or a run was not possible; 2: wrong usage.
#[derive(Debug, Parser)]
#[command(
    name = "skein-load",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 100,
    after_help = "Examples:\n  \
        skein-load --senders 1000 --viewers-ws 5000 --duration 30s\n  \
        skein-load --ws 10.0.0.7:8080 --control 10.0.0.7:9090 --control-token control.token \\\n             \
        --token-key token.pem --senders 200 --viewers-ws 2000 --chats 500,50,50 --json run.json\n  \
        skein-load spike --senders 500 --viewers-ws 200\n\n\
        docs/OPERATIONS.md says how to read the report."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Twice the sustainable rate for some seconds: does the server stay in command, and is
    /// everything normal soon after?
    Spike(Box<SpikeArgs>),
    /// A process with a part of the viewers or the senders.
    #[command(hide = true)]
    Worker,
}

/// A run.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Where.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Who.
    #[command(flatten)]
    pub load: LoadArgs,
    /// How long points are sent.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = seconds)]
    pub duration: Duration,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a plot: latencies and deliveries, second by second.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// A spike.
#[derive(Clone, Debug, Args)]
pub struct SpikeArgs {
    /// Where.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Who. --rate is where the search for the sustainable rate begins.
    #[command(flatten)]
    pub load: LoadArgs,
    /// The sustainable rate of all senders together, points per second, if it is known.
    #[arg(long, value_name = "POINTS")]
    pub sustainable: Option<f64>,
    /// How long the spike lasts.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = seconds)]
    pub spike: Duration,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a plot: latencies and deliveries, second by second.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// Which server, and how to be let in.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct TargetArgs {
    /// WebSocket without TLS (the server's `http` listener).
    #[arg(long, value_name = "HOST:PORT", value_parser = Place::parse)]
    pub ws: Option<Place>,
    /// WebSocket over TLS (its `https` listener).
    #[arg(long, value_name = "HOST:PORT", value_parser = Place::parse)]
    pub wss: Option<Place>,
    /// QUIC.
    #[arg(long, value_name = "HOST:PORT", value_parser = Place::parse)]
    pub quic: Option<Place>,
    /// The control API: members are put there, and metrics read. Without it the members must be
    /// there already, which only --token allows.
    #[arg(long, value_name = "HOST:PORT", value_parser = Place::parse)]
    pub control: Option<Place>,
    /// File with the token of the control API (not needed on loopback in dev mode).
    #[arg(long, value_name = "FILE")]
    pub control_token: Option<PathBuf>,
    /// Data directory of a server in dev mode: its token key and its certificate are used.
    #[arg(long, value_name = "DIR", conflicts_with = "token_key")]
    pub data_dir: Option<PathBuf>,
    /// Private key that signs tokens (Ed25519, PKCS#8 PEM) and that the server trusts.
    #[arg(long, value_name = "FILE")]
    pub token_key: Option<PathBuf>,
    /// One token for everybody, where no key is given: at most one sender per chat then.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "SKEIN_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
    /// Trust the certificates of this PEM file.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Trust any certificate.
    #[arg(long)]
    pub insecure: bool,
    /// Process of a server on this machine: its processor time and memory are measured.
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Start this program as the server; without a name the `skein` beside this program.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ws", "wss", "quic"])]
    pub spawn: Option<PathBuf>,
    /// Cores of the server that is started, one shard each: `0`, `0-1`.
    #[arg(long, value_name = "LIST", conflicts_with_all = ["ws", "wss", "quic"])]
    pub server_cores: Option<String>,
}

/// Who takes part.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Load")]
pub struct LoadArgs {
    /// Members that share, each with a connection and a session.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub senders: u32,
    /// Points per second of each sender: 1, or 0.2-2 (each has a pace of its own).
    #[arg(long, value_name = "HZ", default_value = "1", value_parser = Rates::parse)]
    pub rate: Rates,
    /// Folder of GPX tracks that the senders follow; otherwise they walk by simulation.
    #[arg(long, value_name = "DIR", env = "SKEIN_TRACKS")]
    pub tracks: Option<PathBuf>,
    /// Viewers over WebSocket without TLS (100 when no other viewers are asked for).
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub viewers_ws: u32,
    /// Viewers over WebSocket with TLS.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub viewers_wss: u32,
    /// Viewers over QUIC.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub viewers_quic: u32,
    /// Chats: a number of equal ones, or their relative sizes as 100,10,10.
    #[arg(long, value_name = "N|SIZES", default_value = "1", value_parser = Sizes::parse)]
    pub chats: Sizes,
    /// Newest points only, or every point.
    #[arg(long, value_enum, default_value_t = DeliveryArg::Latest)]
    pub delivery: DeliveryArg,
    /// Viewers that leave and come back as new ones, per second.
    #[arg(long, value_name = "PER_S", default_value_t = 0.0, value_parser = not_negative)]
    pub churn: f64,
    /// Sessions that stop and start anew, per second.
    #[arg(long, value_name = "PER_S", default_value_t = 0.0, value_parser = not_negative)]
    pub churn_sessions: f64,
    /// Viewers that stop reading again and again. They are checked, their latencies not counted.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub slow: u32,
    /// How long they do not read at a time.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = seconds)]
    pub slow_for: Duration,
    /// How long points may take to arrive after the last one is sent, before they are missing.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = seconds)]
    pub patience: Duration,
    /// Worker processes for each transport, at least; the limit of open files may ask for more.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub workers: u32,
    /// Cores for the workers, taken in turn: `1`, `2,3`. Otherwise they run anywhere.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub worker_cores: Vec<u32>,
}

/// Newest points only, or every point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeliveryArg {
    /// Each viewer is owed growing counters and the last one of each sender.
    Latest,
    /// Each viewer is owed every point, or a count of what was skipped.
    Every,
}

impl LoadArgs {
    /// Cores that the workers have between them.
    pub fn cores(&self) -> usize {
        let mut cores = self.worker_cores.clone();
        cores.sort_unstable();
        cores.dedup();
        match cores.len() {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        }
    }

    /// How many viewers for each transport.
    pub fn viewers(&self) -> Vec<(Transport, u32)> {
        let (ws, wss, quic) = (self.viewers_ws, self.viewers_wss, self.viewers_quic);
        let nobody = ws + wss + quic == 0;
        /// Viewers where nothing else is said.
        const DEFAULT: u32 = 100;
        let ws = if nobody { DEFAULT } else { ws };
        let all = [
            (Transport::Ws, ws),
            (Transport::Wss, wss),
            (Transport::Quic, quic),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

/// A server's listener.
#[derive(Clone, Debug)]
pub struct Place {
    /// As it was given: for certificates and the upgrade.
    pub host: String,
    /// Where it is.
    pub address: SocketAddr,
}

impl Place {
    fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no address; write HOST:PORT, as 127.0.0.1:8080");
        let mut found = text.to_socket_addrs().map_err(|_| bad())?;
        let (host, _) = text.rsplit_once(':').ok_or_else(bad)?;
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            address: found.next().ok_or_else(bad)?,
        })
    }
}

/// Points per second, from and to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Of the slowest sender.
    pub min: f64,
    /// Of the fastest one.
    pub max: f64,
}

impl Rates {
    fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no rate; write 1 or 0.2-2, in points per second");
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| bad());
        let (min, max) = (number(min)?, number(max)?);
        let is_rate = |hz: f64| (1e-3..=1e3).contains(&hz);
        match is_rate(min) && is_rate(max) && min <= max {
            true => Ok(Self { min, max }),
            false => Err(bad()),
        }
    }

    /// Of all senders on average.
    pub fn mean(self) -> f64 {
        (self.min + self.max) / 2.0
    }
}

/// Relative sizes of chats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes(pub Vec<u32>);

impl Sizes {
    fn parse(text: &str) -> Result<Self, String> {
        /// Chats of a run.
        const CHATS_MAX: u32 = 100_000;
        let bad = || format!("`{text}` is no number of chats; write 10, or sizes as 100,10,10");
        let numbers: Result<Vec<u32>, _> =
            text.split(',').map(|part| part.trim().parse()).collect();
        match numbers.map_err(|_| bad())?.as_slice() {
            [count @ 1..=CHATS_MAX] => Ok(Self(vec![1; *count as usize])),
            [_] => Err(bad()),
            sizes if sizes.contains(&0) => Err(bad()),
            sizes => Ok(Self(sizes.to_vec())),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    skein_server::text::duration::parse(text)
}

fn not_negative(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|number| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| format!("`{text}` is no number per second; write 0.5 or 10"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::args::{Cli, Rates, Sizes};

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn rates_and_sizes_are_read_or_refused() {
        assert_eq!(Rates::parse("0.5-2").map(Rates::mean), Ok(1.25));
        assert_eq!(Rates::parse("3").map(|rates| rates.max), Ok(3.0));
        for text in ["", "0", "-1", "2-1", "x", "1e9", "nan"] {
            assert!(Rates::parse(text).is_err(), "{text}");
        }
        assert_eq!(Sizes::parse("3"), Ok(Sizes(vec![1; 3])));
        assert_eq!(Sizes::parse("5, 2"), Ok(Sizes(vec![5, 2])));
        for text in ["", "0", "1,0", "4294967295", "a"] {
            assert!(Sizes::parse(text).is_err(), "{text}");
        }
    }
}
