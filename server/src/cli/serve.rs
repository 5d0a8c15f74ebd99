//! `skein serve`: flags become the topmost layer of the configuration.

use anyhow::ensure;
use clap::Args;

use crate::app;
use crate::cli::listen_args::ListenArgs;
use crate::cli::print_limits;
use crate::cli::trace;
use crate::config::settings::Config;
use crate::terminal::out;

/// Arguments of `skein serve`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Examples:
  skein serve --dev --data-dir skein-data
  skein serve --config /etc/skein.toml --cores 0-3
  SKEIN_LISTEN__QUIC=0.0.0.0:4433 skein serve --config /etc/skein.toml

When ready, one line of JSON on stdout says where it really listens; everything else goes to stderr.
Flags win over SKEIN_… variables, these over the file. docs/OPERATIONS.md lists every key.")]
pub struct ServeArgs {
    /// Where it listens, with which keys.
    #[command(flatten)]
    pub listen: ListenArgs,
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
        let history = self.history.then(|| ("history.enabled", "true".to_owned()));
        self.listen.to_config(history)
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
    ensure!(
        config.relay.upstream.is_none(),
        "relay.upstream is set, and this is no relay; run `skein relay`, or remove it"
    );
    trace::init("info")?;
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
