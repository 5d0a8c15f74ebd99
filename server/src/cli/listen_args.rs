//! Flags that a server and a relay have in common: where they listen, with which keys and cores.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config::address;
use crate::config::cores::CoreList;
use crate::config::load::Layers;
use crate::config::settings::Config;

/// Arguments of every command that serves.
#[derive(Clone, Debug, Default, Args)]
pub struct ListenArgs {
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
}

impl ListenArgs {
    /// The configuration of these flags and `more`, the environment and the file.
    ///
    /// # Errors
    /// An unreadable file, an unknown key or a value that does not fit, each with a hint.
    pub fn to_config(
        &self,
        more: impl IntoIterator<Item = (&'static str, String)>,
    ) -> anyhow::Result<Config> {
        let mut flags = self.flags();
        flags.extend(more);
        let layers = Layers {
            file: self.config.clone(),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            flags,
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
        ];
        flags
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }
}
