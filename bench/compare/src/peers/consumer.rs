//! The part of the usual stack that everybody writes: from the topic to the cache and the gateway.
//!
//! It takes what the broker has, writes each session's latest position to Redis in one pipeline,
//! publishes to Centrifugo in one request, and goes on. Both are on their way at the same time.

use std::env;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use crate::codec::centrifuge::CHANNEL;
use crate::codec::http::HttpClient;
use crate::codec::kafka::KafkaClient;
use crate::codec::resp::{Value, command, value};
use crate::position::Position;
use crate::process::local;

/// The role of a child that is this program.
pub const ROLE: &str = "consumer";

/// Key of the hash that holds the latest position of each session.
const LATEST: &str = "latest:stage";

/// How what was fetched is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publishing {
    /// A publication for each position, as the stack is usually built.
    Each,
    /// One publication for all that one fetch brought: what somebody does who has measured.
    Joined,
}

impl Publishing {
    /// Its name as an argument.
    pub fn name(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Joined => "joined",
        }
    }
}

/// Runs it; for `main` in this role. Arguments: three ports and how to publish.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the consumer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [kafka, redis, gateway, publishing] = &arguments[..] else {
        bail!("arguments: ports of Kafka, Redis and Centrifugo, and each|joined");
    };
    let publishing = match publishing.as_str() {
        "joined" => Publishing::Joined,
        _ => Publishing::Each,
    };
    let mut kafka = KafkaClient::connect(local(kafka.parse()?))?;
    let mut cache = Cache::connect(redis.parse()?)?;
    let mut gateway = HttpClient::connect(local(gateway.parse()?))?;
    println!("ready");
    let mut next = 0;
    loop {
        let mut positions = Vec::new();
        next = kafka.fetch(next, |_, value| positions.push(value.to_vec()))?;
        if positions.is_empty() {
            continue;
        }
        cache.begin(&positions)?;
        gateway.begin("POST", path(publishing), &body(publishing, &positions))?;
        cache.finish()?;
        check(&gateway.finish()?)?;
    }
}

fn path(publishing: Publishing) -> &'static str {
    match publishing {
        Publishing::Each => "/api/batch",
        Publishing::Joined => "/api/publish",
    }
}

fn body(publishing: Publishing, positions: &[Vec<u8>]) -> Vec<u8> {
    let publication =
        |bytes: &[u8]| json!({ "channel": CHANNEL, "b64data": STANDARD.encode(bytes) });
    let body = match publishing {
        Publishing::Each => {
            let command = |position: &Vec<u8>| json!({ "publish": publication(position) });
            let commands: Vec<Json> = positions.iter().map(command).collect();
            json!({ "commands": commands })
        }
        Publishing::Joined => publication(&positions.concat()),
    };
    body.to_string().into_bytes()
}

/// Centrifugo answers 200 even where it refuses.
fn check(answer: &[u8]) -> Result<()> {
    let answer: Json = serde_json::from_slice(answer)?;
    let refused = |one: &Json| one.get("error").is_some_and(|error| !error.is_null());
    let replies = answer["replies"].as_array();
    if refused(&answer) || replies.into_iter().flatten().any(refused) {
        bail!("the gateway refuses: {answer}");
    }
    Ok(())
}

/// The connection to Redis.
struct Cache {
    socket: TcpStream,
    pending: Vec<u8>,
    buffer: Vec<u8>,
    owed: usize,
}

impl Cache {
    fn connect(port: u16) -> Result<Self> {
        let socket = TcpStream::connect(local(port)).context("connecting to Redis")?;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            pending: Vec::new(),
            buffer: vec![0; 64 * 1024],
            owed: 0,
        })
    }

    /// Sends the latest position of each session.
    fn begin(&mut self, positions: &[Vec<u8>]) -> Result<()> {
        let mut out = Vec::new();
        for bytes in positions {
            let position = Position::read(bytes).context("a position")?;
            let session = position.session.to_string();
            let parts = [b"HSET", LATEST.as_bytes(), session.as_bytes(), bytes];
            command(&parts, &mut out);
        }
        self.owed = positions.len();
        Ok(self.socket.write_all(&out)?)
    }

    /// Waits for all answers.
    fn finish(&mut self) -> Result<()> {
        loop {
            let mut rest = &self.pending[..];
            while let Some(answer) = value(&mut rest)? {
                if let Value::Error(text) = answer {
                    bail!("Redis refuses: {}", String::from_utf8_lossy(text));
                }
                self.owed -= 1;
            }
            let used = self.pending.len() - rest.len();
            self.pending.drain(..used);
            if self.owed == 0 {
                return Ok(());
            }
            let count = self.socket.read(&mut self.buffer)?;
            if count == 0 {
                bail!("Redis closed the connection");
            }
            self.pending.extend_from_slice(&self.buffer[..count]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Publishing, body, check};

    #[test]
    fn each_position_is_a_command_or_all_are_one() {
        let positions = [b"abc".to_vec(), b"def".to_vec()];
        let each = String::from_utf8(body(Publishing::Each, &positions)).expect("text");
        assert_eq!(each.matches("\"channel\":\"stage\"").count(), 2);
        assert!(each.contains("\"YWJj\""));
        let joined = String::from_utf8(body(Publishing::Joined, &positions)).expect("text");
        assert!(joined.contains("\"YWJjZGVm\""), "{joined}");
    }

    #[test]
    fn a_refusal_inside_a_good_answer_is_seen() {
        assert!(check(br#"{"replies":[{"publish":{}}]}"#).is_ok());
        assert!(check(br#"{"result":{}}"#).is_ok());
        assert!(check(br#"{"replies":[{"error":{"code":107}}]}"#).is_err());
        assert!(check(br#"{"error":{"code":107}}"#).is_err());
    }
}
