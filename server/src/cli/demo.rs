//! `skein demo`: everything once, in one process.

use std::time::Duration;

use clap::Args;

use crate::cli::trace;
use crate::demo::run;
use crate::text::duration;

/// Walkers that one machine shows without becoming the bottleneck of the show.
const WALKERS_MAX: u64 = 10_000;

/// Arguments of `skein demo`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  skein demo
  skein demo --walkers 200 --duration 30")]
pub struct DemoArgs {
    /// Members that walk and share.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=WALKERS_MAX))]
    pub walkers: u64,
    /// End after this long (90, 90s, 15m, 1h30m); without it, on Ctrl-C.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub duration: Option<Duration>,
}

/// Runs `skein demo`.
///
/// # Errors
/// When the server cannot start, or a walker or the viewer fails for good.
pub fn run(args: DemoArgs) -> anyhow::Result<()> {
    trace::init("warn")?;
    run::run(args.walkers as usize, args.duration)
}
