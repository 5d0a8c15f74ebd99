//! `skein serve`: flags become the topmost layer of the configuration.

use std::path::PathBuf;

use clap::Args;

use crate::app;
use crate::cli::{out, trace};
use crate::config::load::Layers;
use crate::config::print_limits;
use crate::config::settings::Config;

/// Arguments of `skein serve`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Examples:
  skein serve --dev --data-dir skein-data
  skein serve --config /etc/skein.toml --cores 0-3
  SKEIN_LISTEN__QUIC=0.0.0.0:4433 skein serve --config /etc/skein.toml

When ready, one line of JSON on stdout says where it really listens; everything else goes to stderr.
Flags win over SKEIN_… variables, these over the file. docs/OPERATIONS.md lists every key.")]
pub struct ServeArgs {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the log, the control log and the keys.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Make certificate and token key in the data directory; loopback addresses only.
    #[arg(long)]
    pub dev: bool,
    /// Address of QUIC (UDP).
    #[arg(long, value_name = "ADDR")]
    pub quic: Option<String>,
    /// Address of HTTP and WebSocket without TLS.
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// Address of HTTP and WebSocket over TLS.
    #[arg(long, value_name = "ADDR")]
    pub https: Option<String>,
    /// Address of the control API.
    #[arg(long, value_name = "ADDR")]
    pub control: Option<String>,
    /// File with the control API's bearer token.
    #[arg(long, value_name = "FILE")]
    pub control_token: Option<PathBuf>,
    /// Cores that run a shard each: `auto`, `0`, `0-1`, `0,2-3`.
    #[arg(long, value_name = "LIST")]
    pub cores: Option<String>,
    /// Keep a history: sampled points in a database of the data directory.
    #[arg(long)]
    pub history: bool,
    /// Print every bound with its unit and reason, and what they add up to, then end.
    #[arg(long)]
    pub print_limits: bool,
}

impl ServeArgs {
    /// The configuration of these flags, the environment and the file.
    ///
    /// # Errors
    /// An unreadable file, an unknown key or a value that does not fit, each with a hint.
    pub fn to_config(&self) -> anyhow::Result<Config> {
        let layers = Layers {
            file: self.config.clone(),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            flags: self.flags(),
        };
        Ok(layers.load()?)
    }

    fn flags(&self) -> Vec<(&'static str, String)> {
        let path = |path: &Option<PathBuf>| Some(path.as_ref()?.to_string_lossy().into_owned());
        let flags = [
            ("data_dir", path(&self.data_dir)),
            ("dev", self.dev.then(|| "true".to_owned())),
            ("listen.quic", self.quic.clone()),
            ("listen.http", self.http.clone()),
            ("listen.https", self.https.clone()),
            ("listen.control", self.control.clone()),
            ("access.control_token", path(&self.control_token)),
            ("shards.cores", self.cores.clone()),
            ("history.enabled", self.history.then(|| "true".to_owned())),
        ];
        flags
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }
}

/// Runs `skein serve`.
///
/// # Errors
/// A configuration that cannot be used, or what stopped the server.
pub fn run(args: ServeArgs) -> anyhow::Result<()> {
    let config = args.to_config()?;
    if args.print_limits {
        return Ok(out::print(print_limits::text(&config))?);
    }
    config.check()?;
    trace::init("info");
    app::serve(config)
}
