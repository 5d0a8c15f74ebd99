//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::effort::Effort;

/// Measures skein beside its peers: the same positions, the same loader, one core for the servers
/// and one for the loader.
#[derive(Debug, Parser)]
#[command(name = "compare", version, about)]
pub struct Options {
    /// What is measured and how much.
    #[command(flatten)]
    pub run: RunOptions,
    /// What else it does.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What else it does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Writes docs/BENCHMARKS.md and its plots from the results of `cargo bench` and `compare`.
    Report(ReportOptions),
    /// Says of two runs of `cargo bench` whether the second one's ratios lie within the spread that
    /// the first one states; exit code 1 if one does not, or if fewer than nine tenths of the first run's can be
    /// compared.
    Repeats(RepeatsOptions),
    /// Measures skein alone with more and more viewers, and on two cores.
    Scale(ScaleOptions),
}

/// How far it goes, and where the results go.
#[derive(Args, Debug)]
pub struct ScaleOptions {
    /// Most viewers; the sizes go up to 15,000 on WebSocket and to 100,000 on QUIC, where a viewer takes the loader
    /// some 50 KiB of memory and the server 21.
    #[arg(long, default_value_t = 100_000, value_name = "COUNT")]
    pub viewers_max: usize,
    /// Where the results go; `scale.json` in the folder of builds unless given.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Two runs.
#[derive(Args, Debug)]
pub struct RepeatsOptions {
    /// The `ratios.json` of the run that states the spread.
    #[arg(value_name = "FIRST")]
    pub first: PathBuf,
    /// The `ratios.json` of another run of the same build.
    #[arg(value_name = "SECOND")]
    pub second: PathBuf,
}

/// What is measured and how much.
#[derive(Args, Debug)]
pub struct RunOptions {
    /// Lists the peers and whether they are installed; measures nothing.
    #[arg(long)]
    pub list: bool,
    /// Only these peers, by name or a part of it between dashes (`redis` is `redis` and
    /// `redis-stream`); several are separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "PEERS")]
    pub only: Vec<String>,
    /// Measures once and shorter, in a few minutes. Such figures are not for the documents.
    #[arg(long, conflicts_with = "smoke")]
    pub quick: bool,
    /// Does everything once with a handful of viewers: a test, no measurement.
    #[arg(long)]
    pub smoke: bool,
    /// Where the results go; `compare.json` in the folder of builds unless given.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// From which files to which.
#[derive(Args, Debug)]
pub struct ReportOptions {
    /// Results of `cargo bench`; `ratios.json` in the folder of builds unless given.
    #[arg(long, value_name = "FILE")]
    pub ratios: Option<PathBuf>,
    /// Results of `compare`; `compare.json` in the folder of builds unless given.
    #[arg(long, value_name = "FILE")]
    pub results: Option<PathBuf>,
    /// Results of `compare scale`; `scale.json` in the folder of builds unless given. Where there are none, the page
    /// has no such section.
    #[arg(long, value_name = "FILE")]
    pub scale: Option<PathBuf>,
    /// Results of `sabotage`; `sabotage.json` in the folder of builds unless given. Where there are none, the page has
    /// no such section.
    #[arg(long, value_name = "FILE")]
    pub sabotage: Option<PathBuf>,
    /// The folder of the documents.
    #[arg(long, value_name = "DIR", default_value = "docs")]
    pub docs: PathBuf,
}

impl RunOptions {
    /// How much is measured.
    pub fn effort(&self) -> Effort {
        match (self.quick, self.smoke) {
            (_, true) => Effort::SMOKE,
            (true, false) => Effort::QUICK,
            (false, false) => Effort::FULL,
        }
    }

    /// Whether this peer is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| named(name, wanted))
    }
}

/// Whether somebody who wants this means the peer of that name.
pub fn named(name: &str, wanted: &str) -> bool {
    name == wanted || name.split('-').any(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Options;

    fn options(line: &str) -> Options {
        Options::parse_from(["compare"].into_iter().chain(line.split_whitespace()))
    }

    #[test]
    fn peers_are_chosen_by_name_or_part() {
        let some = options("--only redis,log").run;
        for (name, wanted) in [
            ("redis", true),
            ("redis-stream", true),
            ("log-fjall", true),
            ("nats", false),
            ("stack", false),
        ] {
            assert_eq!(some.wants(name), wanted, "{name}");
        }
        assert!(options("").run.wants("nats"));
        assert!(options("--only stack-joined").run.wants("stack-joined"));
        assert!(!options("--only stack-joined").run.wants("stack"));
    }

    #[test]
    fn two_runs_are_compared_and_never_one() {
        assert!(options("repeats a.json b.json").command.is_some());
        assert!(Options::try_parse_from(["compare", "repeats", "a.json"]).is_err());
    }

    #[test]
    fn efforts_have_names() {
        assert_eq!(options("--quick").run.effort().name, "quick");
        assert_eq!(options("").run.effort().name, "full");
        assert!(Options::try_parse_from(["compare", "--quick", "--smoke"]).is_err());
    }
}
