//! The server that is driven: where it is, how to be let in, and what is known of its process.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use skein_server::access::signer::TokenSigner;
use skein_wire::ids::UserName;
use skein_wire::limits::ALPN;

use crate::args::{Place, TargetArgs};
use crate::cast::Transport;
use crate::control::Control;
use crate::plan::TlsPlan;
use crate::server_process::ServerProcess;

/// Seconds that a token is good for beyond the run itself.
const TOKEN_TTL_S: u64 = 86_400;

/// Who everybody is.
enum Tokens {
    /// Each member has a token of its own.
    Signed(TokenSigner),
    /// One for all.
    Given { token: String, user: String },
}

/// A server.
pub struct Deployment {
    ws: Option<Place>,
    wss: Option<Place>,
    quic: Option<Place>,
    ca: Option<PathBuf>,
    is_trust_stated: bool,
    tokens: Tokens,
    /// The control API, if it can be reached.
    pub control: Option<Control>,
    /// Its process, if it is on this machine.
    pub pid: Option<u32>,
    /// Whether members are to be taken away at the end.
    pub is_foreign: bool,
    /// Kept running as long as this value.
    _process: Option<ServerProcess>,
}

impl Deployment {
    /// Finds the server, or starts one.
    ///
    /// # Errors
    /// When something needed is not stated or not there.
    pub fn new(args: &TargetArgs) -> anyhow::Result<Self> {
        if args.ws.is_none() && args.wss.is_none() && args.quic.is_none() {
            return Self::spawn(args);
        }
        let of_data_dir = |name: &str| {
            args.data_dir
                .as_ref()
                .map(|dir| dir.join("keys").join(name))
        };
        let key = args.token_key.clone().or_else(|| of_data_dir("token.pem"));
        let tokens = match (&args.token, key) {
            (_, Some(path)) => Tokens::Signed(TokenSigner::open(&path)?),
            (Some(token), None) => Tokens::Given {
                user: user_of(token)?,
                token: token.clone(),
            },
            (None, None) => bail!(
                "nothing says who the members are; give --data-dir DIR of a server in dev mode, --token-key FILE or --token TOKEN"
            ),
        };
        let control = args
            .control
            .as_ref()
            .map(|place| Control::new(place.address, args.control_token.as_deref()));
        Ok(Self {
            ws: args.ws.clone(),
            wss: args.wss.clone(),
            quic: args.quic.clone(),
            ca: args.ca.clone().or_else(|| of_data_dir("cert.pem")),
            is_trust_stated: args.ca.is_some() || args.insecure || args.data_dir.is_some(),
            tokens,
            control: control.transpose()?,
            pid: args.pid,
            is_foreign: true,
            _process: None,
        })
    }

    fn spawn(args: &TargetArgs) -> anyhow::Result<Self> {
        if args.token_key.is_some() || args.data_dir.is_some() {
            bail!(
                "a key or a data directory belongs to a running server; name it with --ws, --wss or --quic HOST:PORT"
            );
        }
        let program = match &args.spawn {
            Some(program) => program.clone(),
            None => ServerProcess::beside()?,
        };
        let process = ServerProcess::start(&program, args.server_cores.as_deref())?;
        let place = |address: std::net::SocketAddr| {
            let host = "localhost".to_owned();
            Some(Place { host, address })
        };
        let keys = process.data_dir().join("keys");
        Ok(Self {
            ws: place(process.http),
            wss: place(process.https),
            quic: place(process.quic),
            ca: Some(keys.join("cert.pem")),
            is_trust_stated: true,
            tokens: Tokens::Signed(TokenSigner::open(&keys.join("token.pem"))?),
            control: Some(Control::new(process.control, None)?),
            pid: Some(process.pid()),
            is_foreign: false,
            _process: Some(process),
        })
    }

    /// Where viewers of a kind connect, and how.
    ///
    /// # Errors
    /// When that is not stated.
    pub fn endpoint(&self, transport: Transport) -> anyhow::Result<(Place, Option<TlsPlan>)> {
        let place = match transport {
            Transport::Ws => &self.ws,
            Transport::Wss => &self.wss,
            Transport::Quic => &self.quic,
        };
        let name = transport.name();
        let place = place.clone().with_context(|| {
            format!("there are to be viewers over {name}; say where with --{name} HOST:PORT")
        })?;
        let alpn = match transport {
            Transport::Ws => return Ok((place, None)),
            Transport::Wss => b"http/1.1".to_vec(),
            Transport::Quic => ALPN.to_vec(),
        };
        if !self.is_trust_stated {
            bail!(
                "nothing says which certificate to trust over {name}; give --ca FILE, or --insecure"
            );
        }
        let tls = TlsPlan {
            name: place.host.clone(),
            ca: self.ca.clone(),
            alpn,
        };
        Ok((place, Some(tls)))
    }

    /// Where senders connect: WebSocket, without TLS if there is a choice.
    ///
    /// # Errors
    /// When neither is stated.
    pub fn sender_endpoint(&self) -> anyhow::Result<(Place, Option<TlsPlan>)> {
        match (&self.ws, &self.wss) {
            (Some(_), _) => self.endpoint(Transport::Ws),
            (None, Some(_)) => self.endpoint(Transport::Wss),
            (None, None) => bail!("senders use WebSocket; say where with --ws or --wss HOST:PORT"),
        }
    }

    /// The one user behind a given token; `None` where everybody is a user of their own.
    pub fn only_user(&self) -> Option<&str> {
        match &self.tokens {
            Tokens::Signed(_) => None,
            Tokens::Given { user, .. } => Some(user),
        }
    }

    /// A token for a user, good for the run and longer.
    ///
    /// # Errors
    /// When the name is none, or it cannot be signed.
    pub fn token(&self, user: &str) -> anyhow::Result<String> {
        match &self.tokens {
            Tokens::Given { token, .. } => Ok(token.clone()),
            Tokens::Signed(signer) => {
                Ok(signer.mint(&UserName::new(user)?, TOKEN_TTL_S, now_ms())?)
            }
        }
    }
}

/// The user that a token names. It is not checked: that is the server's business.
fn user_of(token: &str) -> anyhow::Result<String> {
    let bad = || "--token is no JWT; see `skein token`";
    let payload = token.split('.').nth(1).with_context(bad)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok().with_context(bad)?;
    let claims: Value = serde_json::from_slice(&payload).ok().with_context(bad)?;
    let user = claims["sub"].as_str().with_context(bad)?;
    Ok(user.to_owned())
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
