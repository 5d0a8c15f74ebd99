//! Where a relay's upstream is, and as whom the relay comes.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use skein_client::connect::ConnectOptions;
use skein_client::server_url::ServerUrl;
use skein_client::trust::Trust;

use crate::access::relay_token::is_of_relay;
use crate::config::settings::Config;

/// An upstream as configured.
#[derive(Clone, Debug)]
pub struct UpstreamAddress {
    /// Where it is.
    pub server: ServerUrl,
    token: PathBuf,
    trust: Trust,
}

impl UpstreamAddress {
    /// Of a configuration that has been checked.
    ///
    /// # Errors
    /// When there is no upstream, when it is this relay itself, or a file cannot be used.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        let relay = &config.relay;
        let missing = || {
            anyhow!("a relay needs an upstream: set relay.upstream or --upstream quic://HOST:PORT")
        };
        let server: ServerUrl = relay.upstream.as_ref().ok_or_else(missing)?.parse()?;
        refuse_self(config, &server)?;
        let token = relay.token.clone().context("relay.token is not set")?;
        read_token(&token)?;
        let trust = match &relay.ca {
            Some(path) => Trust::from_pem_file(path)?,
            None if relay.insecure => Trust::Anybody,
            None => Trust::Nobody,
        };
        Ok(Self {
            server,
            token,
            trust,
        })
    }

    /// What to connect with. The token is read each time: it is renewed by replacing the file.
    ///
    /// # Errors
    /// When the token's file cannot be read, or holds something else.
    pub fn options(&self) -> anyhow::Result<ConnectOptions> {
        let mut options = ConnectOptions::new(self.server.clone(), &read_token(&self.token)?);
        options.client = concat!("skein-relay/", env!("CARGO_PKG_VERSION")).to_owned();
        options.trust = self.trust.clone();
        Ok(options)
    }
}

fn read_token(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!(
            "cannot read {}; relay.token names a file with the output of `skein token --relay`",
            path.display()
        )
    })?;
    let token = text.trim();
    ensure!(
        is_of_relay(token),
        "{} holds no token of a relay, and with another one nothing could be shown; make one with `skein token --relay` at the server",
        path.display()
    );
    Ok(token.to_owned())
}

/// A relay that watches itself would wait for itself.
fn refuse_self(config: &Config, server: &ServerUrl) -> anyhow::Result<()> {
    use std::net::ToSocketAddrs;
    let listen = &config.listen;
    let own = [Some(listen.quic), Some(listen.http), listen.https];
    // A name that is not known now may be known when the relay connects.
    let Ok(addresses) = (server.host.as_str(), server.port).to_socket_addrs() else {
        return Ok(());
    };
    for address in addresses {
        let is_own = |own: &std::net::SocketAddr| {
            let is_any = own.ip().is_unspecified() && address.ip().is_loopback();
            own.port() == address.port() && (own.ip() == address.ip() || is_any)
        };
        if own.iter().flatten().any(is_own) {
            return Err(anyhow!(
                "the upstream {server} is this relay itself; relay.upstream names another server"
            ));
        }
    }
    Ok(())
}
