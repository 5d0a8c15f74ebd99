//! `skein serve`: flags become the topmost layer of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::app;
use crate::cli::{out, trace};
use crate::config::address;
use crate::config::cores::CoreList;
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
    /// Directory of the log, the control log and the keys, `skein-data` unless configured.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Make certificate and token key in the data directory; loopback addresses only.
    #[arg(long)]
    pub dev: bool,
    /// Address of QUIC (UDP), 127.0.0.1:4433 unless configured.
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    pub quic: Option<SocketAddr>,
    /// Address of HTTP and WebSocket without TLS, 127.0.0.1:8080 unless configured.
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    pub http: Option<SocketAddr>,
    /// Address of HTTP and WebSocket over TLS; not offered unless configured.
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    pub https: Option<SocketAddr>,
    /// Address of the control API, 127.0.0.1:9090 unless configured.
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    pub control: Option<SocketAddr>,
    /// File with the control API's bearer token.
    #[arg(long, value_name = "FILE")]
    pub control_token: Option<PathBuf>,
    /// Cores that run a shard each: `auto` (unless configured), `0`, `0-1`, `0,2-3`.
    #[arg(long, value_name = "LIST")]
    pub cores: Option<CoreList>,
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
        let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        let cores = self.cores.as_ref().map(CoreList::to_string);
        let flags = [
            ("data_dir", path(&self.data_dir)),
            ("dev", self.dev.then(|| "true".to_owned())),
            ("listen.quic", address(self.quic)),
            ("listen.http", address(self.http)),
            ("listen.https", address(self.https)),
            ("listen.control", address(self.control)),
            ("access.control_token", path(&self.control_token)),
            ("shards.cores", cores),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::cli::Cli;
    use crate::config::settings::Config;

    #[test]
    fn the_help_tells_the_addresses_of_the_defaults() {
        let mut command = Cli::command();
        let serve = command.find_subcommand_mut("serve").expect("a subcommand");
        let help = serve.render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let listen = Config::default().listen;
        for address in [listen.quic, listen.http, listen.control] {
            let told = format!("{address} unless configured");
            assert!(help.contains(&told), "no `{told}` in {help}");
        }
    }
}
