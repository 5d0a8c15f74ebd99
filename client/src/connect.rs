//! From an address to a connection that is welcome.

use std::io;
use std::time::Duration;

use skein_wire::error::{Code, WireError};
use skein_wire::limits::VERSION;
use skein_wire::request::{Hello, Request, Token};
use skein_wire::update::{Goodbye, Update, Welcome};

use crate::error::ClientError;
use crate::limits::CONNECT_MS_MAX;
use crate::server_url::{Scheme, ServerUrl};
use crate::transport::{Connection, closed};
use crate::trust::Trust;
use crate::{transport_quic, transport_websocket};

/// Where to, as whom.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The server.
    pub server: ServerUrl,
    /// Whose certificate is accepted.
    pub trust: Trust,
    /// Who is it.
    pub token: Token,
    /// Free-form name and version of the program, for the operator.
    pub client: String,
}

impl ConnectOptions {
    /// A connection of this library, which trusts nobody yet.
    pub fn new(server: ServerUrl, token: &str) -> Self {
        Self {
            server,
            trust: Trust::Nobody,
            token: Token(token.to_owned()),
            client: concat!("skein-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Connects, says hello and is welcomed, within ten seconds.
///
/// # Errors
/// [`ClientError::is_transient`] tells whether trying again may help.
pub async fn connect(options: &ConnectOptions) -> Result<(Connection, Welcome), ClientError> {
    let limit = Duration::from_millis(CONNECT_MS_MAX);
    match tokio::time::timeout(limit, try_connect(options)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ClientError::Io(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} s", limit.as_secs()),
        ))),
    }
}

async fn try_connect(options: &ConnectOptions) -> Result<(Connection, Welcome), ClientError> {
    let mut connection = match options.server.scheme {
        Scheme::Quic => transport_quic::connect(&options.server, &options.trust).await?,
        Scheme::Ws | Scheme::Wss => {
            transport_websocket::connect(&options.server, &options.trust).await?
        }
    };
    connection.send([Request::Hello(Hello {
        version: VERSION,
        token: options.token.clone(),
        client: options.client.clone(),
    })])?;
    match connection.receive().await? {
        Update::Welcome(welcome) => Ok((connection, welcome)),
        Update::Goodbye(goodbye) => Err(said_goodbye(&goodbye)),
        _ => Err(ClientError::Protocol(WireError::new(
            Code::OutOfOrder,
            "the server's first frame is no welcome",
        ))),
    }
}

/// The error that a farewell is.
pub(crate) fn said_goodbye(goodbye: &Goodbye) -> ClientError {
    closed(
        Some(goodbye.code),
        &goodbye.text,
        u64::from(goodbye.retry_after_ms),
    )
}
