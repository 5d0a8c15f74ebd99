//! A small client of the control API for the operator's commands.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::http::error::NO_SUCH_PATH;
use crate::http_call::{self, ClientIdentity};

/// Bytes of an answer that are read. A list of a very large chat's members is the longest.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How long the server may take for everything.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long it may take for many lines, or for what rewrites files.
const LONG_DEADLINE: Duration = Duration::from_secs(600);

/// One value as a body.
const JSON: &str = "application/json";

/// A value a line.
const JSON_LINES: &str = "application/x-ndjson";

/// Where the control API is, and how to be let in.
#[derive(Clone, Debug, Args)]
pub struct ControlArgs {
    /// Address of the server's control listener.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:9090",
        env = "SKEIN_CONTROL"
    )]
    pub control: ControlAddress,
    /// File with the control token (not needed on loopback in dev mode).
    #[arg(long, value_name = "FILE", env = "SKEIN_CONTROL_TOKEN")]
    pub control_token: Option<PathBuf>,
    /// Speak TLS with the control listener, and trust the certificates of this PEM file.
    #[arg(long, value_name = "FILE")]
    pub control_ca: Option<PathBuf>,
    /// Certificate to show there, PEM.
    #[arg(long, value_name = "FILE", requires_all = ["control_ca", "control_key"])]
    pub control_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE", requires = "control_cert")]
    pub control_key: Option<PathBuf>,
}

/// An address, and the name in it, which a certificate must have.
#[derive(Clone, Debug)]
pub struct ControlAddress {
    host: String,
    socket: SocketAddr,
}

impl FromStr for ControlAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = text
            .to_socket_addrs()
            .ok()
            .and_then(|mut found| found.next());
        let socket = found.ok_or("not an address; write HOST:PORT, as 127.0.0.1:9090")?;
        let (host, _port) = text.rsplit_once(':').unwrap_or((text, ""));
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        Ok(Self { host, socket })
    }
}

impl ControlArgs {
    /// TLS, and whom it must be spoken with.
    fn tls(&self) -> anyhow::Result<Option<(Arc<ClientConfig>, ServerName<'static>)>> {
        let Some(ca) = &self.control_ca else {
            return Ok(None);
        };
        let identity = self.control_cert.clone().zip(self.control_key.clone());
        let identity = identity.map(|(certificate, key)| ClientIdentity { certificate, key });
        let config = http_call::tls(Some(ca), identity.as_ref())?;
        let name = ServerName::try_from(self.control.host.clone())
            .with_context(|| format!("{} is no name of a host", self.control.host))?;
        Ok(Some((Arc::new(config), name)))
    }
}

/// Calls the control API, one connection per call.
#[derive(Debug)]
pub struct ControlApi {
    address: SocketAddr,
    token: Option<String>,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl ControlApi {
    /// Reads the files of the token and of certificates, as far as there are any.
    ///
    /// # Errors
    /// Which file cannot be read.
    pub fn new(args: &ControlArgs) -> anyhow::Result<Self> {
        let token = args.control_token.as_deref().map(read_token).transpose()?;
        Ok(Self {
            address: args.control.socket,
            token,
            tls: args.tls()?,
        })
    }

    /// One request and its answer; an answer without a body is `null`.
    ///
    /// # Errors
    /// When the server is not there, or refuses: then the text is the server's.
    pub fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let body = body.map(|value| (JSON, Bytes::from(value.to_string())));
        self.answer(DEADLINE, self.request(method, path, body)?)
    }

    /// A request without a body for whose work the server may take its time, and its answer.
    ///
    /// # Errors
    /// As [`ControlApi::call`].
    pub fn call_for_long(&self, method: Method, path: &str) -> anyhow::Result<Value> {
        self.answer(LONG_DEADLINE, self.request(method, path, None)?)
    }

    fn answer(&self, deadline: Duration, request: Request<Full<Bytes>>) -> anyhow::Result<Value> {
        let (status, value) = self.wait_for(deadline, request)?;
        if status.is_success() {
            return Ok(value);
        }
        Err(self.refusal(status, &value))
    }

    /// Sends lines of JSON, for whose work the server may take its time; the answer, whatever its
    /// status.
    ///
    /// # Errors
    /// When the server is not there or does not answer with JSON.
    pub fn send_lines(&self, method: Method, path: &str, lines: Vec<u8>) -> anyhow::Result<Value> {
        let request = self.request(method, path, Some((JSON_LINES, lines.into())))?;
        match self.wait_for(LONG_DEADLINE, request)? {
            (status, Value::Null) => bail!("{} answered {status}", self.address),
            (status, report) if report["lines"].is_null() => Err(self.refusal(status, &report)),
            (_, report) => Ok(report),
        }
    }

    /// A refusal in the server's words, and what they cannot know: with what it was asked.
    fn refusal(&self, status: StatusCode, answer: &Value) -> anyhow::Error {
        let (Some(code), Some(text)) = (answer["code"].as_str(), answer["text"].as_str()) else {
            return anyhow!(
                "{} answered {status}; is it the control address?",
                self.address
            );
        };
        let hint = match (status, &self.token) {
            (StatusCode::UNAUTHORIZED, None) => {
                "; give --control-token FILE, and is --control the control listener?"
            }
            (StatusCode::UNAUTHORIZED, Some(_)) => {
                "; is --control-token the file of the server's access.control_token?"
            }
            (StatusCode::NOT_FOUND, _) if text == NO_SUCH_PATH => {
                "; is --control the control listener?"
            }
            _ => "",
        };
        anyhow!("{code}: {text}{hint}")
    }

    fn wait_for(
        &self,
        deadline: Duration,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            tokio::time::timeout(deadline, self.exchange(request))
                .await
                .with_context(|| {
                    format!(
                        "{} did not answer within {deadline:?}; try again",
                        self.address
                    )
                })?
        })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Value)> {
        let stream = TcpStream::connect(self.address).await.with_context(|| {
            format!("cannot reach the control API at {}; is `skein serve` running, and is --control its address?", self.address)
        })?;
        let Some((config, name)) = &self.tls else {
            return self.send(request, stream).await;
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name.clone(), stream).await.with_context(|| {
            format!("no TLS with the control API at {}; is --control-ca the file of its certificate's authority?", self.address)
        })?;
        self.send(request, stream).await
    }

    async fn send<S>(
        &self,
        request: Request<Full<Bytes>>,
        stream: S,
    ) -> anyhow::Result<(StatusCode, Value)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the connection; an error there shows up in `send_request`.
        let driver = tokio::spawn(connection);
        let answer = sender.send_request(request).await.with_context(|| {
            let hint = match &self.tls {
                None => "is it the control address, and does it speak TLS (--control-ca)?",
                Some(_) => "does it ask for a certificate, and is --control-cert one that it trusts and whose time is not over?",
            };
            format!("{} broke off the request; {hint}", self.address)
        })?;
        let status = answer.status();
        let bytes = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!("the answer of {} broke off: {error}", self.address))?
            .to_bytes();
        driver.abort();
        let value = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap_or(Value::Null)
        };
        Ok((status, value))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Bytes)>,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let bytes = match body {
            Some((kind, bytes)) => {
                request = request.header(header::CONTENT_TYPE, kind);
                bytes
            }
            None => Bytes::new(),
        };
        Ok(request.body(Full::new(bytes))?)
    }
}

fn read_token(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the control token file {}", path.display()))?;
    // The server's own file may name scopes behind the token.
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let token = lines.find_map(|line| line.split_whitespace().next());
    let Some(token) = token else {
        bail!(
            "the control token file {} is empty; put the token of the server's access.control_token there",
            path.display()
        );
    };
    Ok(token.to_owned())
}

/// A name as one segment of a path.
///
/// ```
/// use skein_server::cli::api::segment;
/// assert_eq!(segment("a/b é"), "a%2Fb%20%C3%A9");
/// ```
pub fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
