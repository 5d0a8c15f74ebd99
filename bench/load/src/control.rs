//! The operator's half: members, sessions and metrics over the control API, on connections that
//! are kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use skein_server::cli::api::segment;

/// Connections that put members at the same time: commands that come together become durable
/// together.
const CONNECTIONS: usize = 16;

/// How long the server may take for one answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Where the control API is, and how to be let in.
#[derive(Clone, Debug)]
pub struct Control {
    address: SocketAddr,
    token: Option<String>,
}

/// One connection to it.
pub struct ControlConnection {
    control: Control,
    stream: BufReader<TcpStream>,
}

/// A member to be put.
#[derive(Clone, Debug)]
pub struct Member {
    /// In which chat.
    pub chat: String,
    /// Who.
    pub user: String,
    /// `share`, `watch`.
    pub rights: &'static [&'static str],
}

impl Control {
    /// Reads the token file, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn new(address: SocketAddr, token_file: Option<&Path>) -> anyhow::Result<Self> {
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path);
            text.map(|text| text.trim().to_owned())
                .with_context(|| format!("cannot read the control token file {}", path.display()))
        };
        let token = token_file.map(read).transpose()?;
        Ok(Self { address, token })
    }

    /// Connects.
    ///
    /// # Errors
    /// When nobody is there.
    pub fn connect(&self) -> anyhow::Result<ControlConnection> {
        let stream = TcpStream::connect(self.address).with_context(|| {
            let address = self.address;
            format!("cannot reach the control API at {address}; is `skein serve` running, and is --control its address?")
        })?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(ControlConnection {
            control: self.clone(),
            stream: BufReader::new(stream),
        })
    }

    /// Puts members, many at a time.
    ///
    /// # Errors
    /// When the server refuses one.
    pub fn put_members(&self, members: &[Member]) -> anyhow::Result<()> {
        self.each(members, |connection, member| {
            let body = json!({ "rights": member.rights });
            connection.call("PUT", &member_path(member), Some(&body))?;
            Ok(())
        })
    }

    /// Removes them again.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn remove_members(&self, members: &[Member]) -> anyhow::Result<()> {
        self.each(members, |connection, member| {
            connection.call("DELETE", &member_path(member), None)?;
            Ok(())
        })
    }

    fn each(
        &self,
        members: &[Member],
        work: impl Fn(&mut ControlConnection, &Member) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<()> {
        let part = members.len().div_ceil(CONNECTIONS).max(1);
        thread::scope(|scope| {
            let start = |members: &'_ [Member]| {
                let members = members.to_vec();
                let work = &work;
                scope.spawn(move || {
                    let mut connection = self.connect()?;
                    members
                        .iter()
                        .try_for_each(|member| work(&mut connection, member))
                })
            };
            let running: Vec<_> = members.chunks(part).map(start).collect();
            running
                .into_iter()
                .try_for_each(|thread| thread.join().expect("it does not panic"))
        })
    }
}

fn member_path(member: &Member) -> String {
    let (chat, user) = (segment(&member.chat), segment(&member.user));
    format!("/v1/chats/{chat}/members/{user}")
}

impl ControlConnection {
    /// One request and its answer; what is not JSON is a text.
    ///
    /// # Errors
    /// When the connection is gone, or the server refuses: then the text is the server's.
    pub fn call(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n",
            self.control.address
        );
        if let Some(token) = &self.control.token {
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        if !body.is_empty() {
            head += "Content-Type: application/json\r\n";
        }
        head += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let broken = || {
            let address = self.control.address;
            format!("{address} broke off a request; is it the control address?")
        };
        self.stream
            .get_mut()
            .write_all(head.as_bytes())
            .with_context(broken)?;
        let (status, body) = answer(&mut self.stream).with_context(broken)?;
        let text = String::from_utf8_lossy(&body).into_owned();
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if (200..300).contains(&status) {
            return Ok(value);
        }
        match (value["code"].as_str(), value["text"].as_str()) {
            (Some(code), Some(text)) => bail!("the control API refused {method}: {code}: {text}"),
            _ => bail!(
                "{} answered {status}; is it the control address?",
                self.control.address
            ),
        }
    }

    /// The sum of a metric over its lines, as `GET /metrics` has it.
    ///
    /// # Errors
    /// When the metrics cannot be read.
    pub fn metric(&mut self, name: &str) -> anyhow::Result<u64> {
        let text = self.call("GET", "/metrics", None)?;
        let text = text.as_str().unwrap_or_default();
        let line = |line: &str| {
            let rest = line.strip_prefix(name)?;
            if !rest.starts_with(['{', ' ']) {
                return None;
            }
            rest.rsplit(' ').next()?.parse::<f64>().ok()
        };
        Ok(text.lines().filter_map(line).sum::<f64>() as u64)
    }
}

/// Reads a status and a body with a known length, or in chunks.
fn answer(stream: &mut BufReader<TcpStream>) -> anyhow::Result<(u16, Vec<u8>)> {
    let status = line(stream)?;
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.context("no HTTP answer")?;
    let (mut length, mut chunked) = (0, false);
    loop {
        let header = line(stream)?.to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().context("no length")?;
        }
        chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
    }
    let mut body = Vec::new();
    if !chunked {
        take(stream, length, &mut body)?;
        return Ok((status, body));
    }
    loop {
        let size = usize::from_str_radix(line(stream)?.trim(), 16).context("no chunk")?;
        take(stream, size, &mut body)?;
        line(stream)?;
        if size == 0 {
            return Ok((status, body));
        }
    }
}

fn take(stream: &mut impl Read, length: usize, body: &mut Vec<u8>) -> anyhow::Result<()> {
    if body.len() + length > ANSWER_BYTES_MAX {
        bail!("an answer of more than {ANSWER_BYTES_MAX} bytes");
    }
    let before = body.len();
    body.resize(before + length, 0);
    Ok(stream.read_exact(&mut body[before..])?)
}

fn line(stream: &mut impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        bail!("the connection was closed");
    }
    Ok(line.trim_end().to_owned())
}
