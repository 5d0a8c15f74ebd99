//! Where a client command connects to, as whom, and whom it trusts.

use std::path::PathBuf;

use clap::Args;
use skein_client::connect::ConnectOptions;
use skein_client::error::ClientError;
use skein_client::server_url::ServerUrl;
use skein_client::trust::Trust;

/// Arguments of every command that connects as a member.
#[derive(Clone, Debug, Args)]
pub struct ConnectArgs {
    /// The server: quic://HOST:PORT, ws://HOST:PORT or wss://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub server: ServerUrl,
    /// Who you are; see `skein token`.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "SKEIN_TOKEN",
        hide_env_values = true
    )]
    pub token: String,
    /// Trust the certificates of this PEM file.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Trust any certificate: whoever sits on the way can read and change everything.
    #[arg(long)]
    pub insecure: bool,
}

impl ConnectArgs {
    /// The options of a connection.
    ///
    /// # Errors
    /// When the certificate file is no good.
    pub fn options(&self) -> Result<ConnectOptions, ClientError> {
        let mut options = ConnectOptions::new(self.server.clone(), &self.token);
        options.client = concat!("skein/", env!("CARGO_PKG_VERSION")).to_owned();
        options.trust = match &self.ca {
            Some(path) => Trust::from_pem_file(path)?,
            None if self.insecure => Trust::Anybody,
            None => Trust::Nobody,
        };
        Ok(options)
    }
}
