//! Where a client command connects to, as whom, and whom it trusts.

use std::convert::Infallible;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use skein_client::connect::ConnectOptions;
use skein_client::error::ClientError;
use skein_client::server_url::ServerUrl;
use skein_client::trust::Trust;
use skein_wire::request::Token;

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
        hide_env_values = true,
        value_parser = token
    )]
    pub token: Token,
    /// Trust the certificates of this PEM file.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Trust any certificate: whoever sits on the way can read and change everything.
    #[arg(long)]
    pub insecure: bool,
}

/// How long a first connection may take before something is said: silence looks like success.
const SAID_AFTER: Duration = Duration::from_secs(1);

fn token(text: &str) -> Result<Token, Infallible> {
    Ok(Token(text.to_owned()))
}

impl ConnectArgs {
    /// Waits for the first connection, and says on stderr what it waits for when that takes long.
    ///
    /// # Errors
    /// Why there is none; when nobody answers, also where that was and what to look at.
    pub async fn first<T>(
        &self,
        connecting: impl Future<Output = Result<T, ClientError>>,
    ) -> anyhow::Result<T> {
        let mut connecting = pin!(connecting);
        let outcome = tokio::select! {
            outcome = &mut connecting => outcome,
            () = tokio::time::sleep(SAID_AFTER) => {
                eprintln!("connecting to {} …", self.server);
                connecting.await
            }
        };
        outcome.map_err(|error| match error {
            ClientError::Io(cause) => anyhow!(
                "no connection to {}: {cause}; is `skein serve` running there, and is --server its address?",
                self.server
            ),
            other => other.into(),
        })
    }

    /// The options of a connection.
    ///
    /// # Errors
    /// When the certificate file is no good.
    pub fn options(&self) -> Result<ConnectOptions, ClientError> {
        let mut options = ConnectOptions::new(self.server.clone(), &self.token.0);
        options.client = concat!("skein/", env!("CARGO_PKG_VERSION")).to_owned();
        options.trust = match &self.ca {
            Some(path) => Trust::from_pem_file(path)?,
            None if self.insecure => Trust::Anybody,
            None => Trust::Nobody,
        };
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        connect: ConnectArgs,
    }

    #[test]
    fn a_token_is_in_nothing_that_is_printed() {
        let line = [
            "skein",
            "--server",
            "quic://localhost:1",
            "--token",
            "secret-token",
        ];
        let program = Program::parse_from(line);
        let options = program.connect.options().expect("options");
        assert_eq!(options.token.0, "secret-token");
        for text in [format!("{program:?}"), format!("{options:?}")] {
            assert!(
                text.contains("localhost") && !text.contains("secret"),
                "{text}"
            );
        }
    }
}
