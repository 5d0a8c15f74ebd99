//! `skein relay`: serves viewers from another server's chats.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;

use crate::app;
use crate::cli::listen_args::ListenArgs;
use crate::cli::trace;

/// Arguments of `skein relay`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Examples:
  skein token --user relay --relay --ttl 30d --data-dir skein-data > relay.jwt
  skein token --public-key --data-dir skein-data --out relay-data/keys/trusted
  skein relay --dev --data-dir relay-data --upstream quic://127.0.0.1:4433 \\
      --upstream-token relay.jwt --upstream-ca skein-data/keys/cert.pem \\
      --quic 127.0.0.1:5433 --http 127.0.0.1:9080 --control 127.0.0.1:9091
  skein relay --config /etc/skein-relay.toml

The first two are run where the server's data directory is; relay.jwt and the file in
keys/trusted, by which the relay knows the server's tokens, go to the relay.

Viewers connect to a relay as to the server, with the same tokens and cursors. Who shares is sent to the
server. The upstream may be a relay. The token's file is read again when it changes. When ready, one line of JSON on stdout says where the relay listens. docs/OPERATIONS.md
has a worked example.")]
pub struct RelayArgs {
    /// Where it listens, with which keys.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// The server that is relayed, or another relay of it: quic://HOST:PORT, wss://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// File with the token that the relay shows to its upstream.
    #[arg(long, value_name = "FILE")]
    pub upstream_token: Option<PathBuf>,
    /// Trust the certificates of this PEM file at the upstream.
    #[arg(long, value_name = "FILE", conflicts_with = "upstream_insecure")]
    pub upstream_ca: Option<PathBuf>,
    /// Trust any certificate at the upstream: whoever sits on the way can read and change everything.
    #[arg(long)]
    pub upstream_insecure: bool,
    /// Address that who shares here is sent to; none is named unless configured.
    #[arg(long, value_name = "URL")]
    pub senders_to: Option<String>,
}

/// Runs `skein relay`.
///
/// # Errors
/// A configuration that cannot be used, or what stopped the relay.
pub fn run(args: RelayArgs) -> anyhow::Result<()> {
    let path = |path: &Option<PathBuf>| Some(path.as_ref()?.to_string_lossy().into_owned());
    let flags = [
        ("relay.upstream", args.upstream.clone()),
        ("relay.token", path(&args.upstream_token)),
        ("relay.ca", path(&args.upstream_ca)),
        (
            "relay.insecure",
            args.upstream_insecure.then(|| "true".to_owned()),
        ),
        ("relay.senders_to", args.senders_to.clone()),
    ];
    let flags = flags
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)));
    let config = args.listen.to_config(flags)?;
    ensure!(
        config.relay.upstream.is_some(),
        "a relay needs an upstream; name it with --upstream quic://HOST:PORT or relay.upstream"
    );
    config.check()?;
    trace::init("info")?;
    app::relay(config)
}
