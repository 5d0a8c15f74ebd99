//! NATS JetStream: a stream in files, publications with acknowledgements.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::codec::nats::{CONNECT, Message, SUBJECT, message};
use crate::log_peer::{
    Appended, BATCH_RECORDS, Durability, LogPeer, RECORD_BYTES, RESTART_RECORD_BYTES, Reopen,
};
use crate::peer::{Info, lacks};
use crate::peers::nats;
use crate::process::{Process, free_port, local};

/// Publications without an acknowledgement at a time, as asynchronous clients have it.
const IN_FLIGHT: usize = 8 * BATCH_RECORDS;

/// Name of the stream.
const STREAM: &str = "POSITIONS";

/// The subject that answers come to.
const INBOX: &str = "_INBOX.compare";

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The peer.
pub struct JetStream;

/// A connection that subscribes to its own answers.
struct Client {
    socket: TcpStream,
    pending: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    fn connect(port: u16) -> Result<Self> {
        let mut socket = TcpStream::connect(local(port)).context("connecting to NATS")?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // Answers come from the server itself, so echo matters to nobody.
        socket.write_all(format!("{CONNECT}SUB {INBOX} 1\r\n").as_bytes())?;
        Ok(Self {
            socket,
            pending: Vec::new(),
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Waits for so many answers, and hands each over.
    fn answers(
        &mut self,
        mut count: usize,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        loop {
            let mut rest = &self.pending[..];
            while count > 0
                && let Some(one) = message(&mut rest)?
            {
                match one {
                    Message::Payload(payload) => {
                        each(payload)?;
                        count -= 1;
                    }
                    Message::Ping => self.socket.write_all(b"PONG\r\n")?,
                    Message::Info | Message::Pong | Message::Ok => {}
                }
            }
            let used = self.pending.len() - rest.len();
            self.pending.drain(..used);
            if count == 0 {
                return Ok(());
            }
            let read = self.socket.read(&mut self.buffer)?;
            ensure!(read > 0, "NATS closed the connection");
            self.pending.extend_from_slice(&self.buffer[..read]);
        }
    }

    /// A request to the JetStream API.
    fn request(&mut self, subject: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let request = format!("PUB {subject} {INBOX} {}\r\n{body}\r\n", body.len());
        self.socket.write_all(request.as_bytes())?;
        let mut answer = Value::Null;
        self.answers(1, |payload| {
            answer = serde_json::from_slice(payload)?;
            Ok(())
        })?;
        ensure!(answer.get("error").is_none(), "JetStream refuses: {answer}");
        Ok(answer)
    }

    /// Publishes batches until `goes_on` says no; records acknowledged per second.
    fn append(
        &mut self,
        record_bytes: usize,
        mut goes_on: impl FnMut(u64, Duration) -> bool,
    ) -> Result<f64> {
        let mut record = format!("PUB {SUBJECT} {INBOX} {record_bytes}\r\n").into_bytes();
        record.resize(record.len() + record_bytes, 0x5a);
        record.extend(b"\r\n");
        let batch = record.repeat(BATCH_RECORDS);
        let began = Instant::now();
        let (mut records, mut owed) = (0, 0);
        let check = |payload: &[u8]| {
            let text = String::from_utf8_lossy(payload);
            ensure!(!text.contains("\"error\""), "JetStream refuses: {text}");
            Ok(())
        };
        while goes_on(records, began.elapsed()) {
            self.socket.write_all(&batch)?;
            records += BATCH_RECORDS as u64;
            owed += BATCH_RECORDS;
            if owed >= IN_FLIGHT {
                self.answers(BATCH_RECORDS, check)?;
                owed -= BATCH_RECORDS;
            }
        }
        self.answers(owed, check)?;
        Ok(records as f64 / began.elapsed().as_secs_f64())
    }
}

/// A server with the stream on it.
fn start(folder: &Path) -> Result<(Process, Client)> {
    let port = free_port()?;
    let mut process = nats::spawn(folder, true, port)?;
    process.wait_for_port(port)?;
    let mut client = Client::connect(port)?;
    let stream = json!({
        "name": STREAM,
        "subjects": [SUBJECT],
        "storage": "file",
        "retention": "limits",
        "num_replicas": 1,
        "max_msgs": -1,
        "max_bytes": -1,
    });
    client.request(&format!("$JS.API.STREAM.CREATE.{STREAM}"), &stream)?;
    Ok((process, client))
}

impl LogPeer for JetStream {
    fn info(&self) -> Info {
        Info {
            name: "nats-jetstream",
            title: "NATS JetStream, file storage",
            install: "bench/compare/install.sh nats",
            settings: "one stream, file storage, one replica; synced every two minutes as by \
                       default (this version cannot sync before it acknowledges); one connection, \
                       up to 512 publications on the way",
        }
    }

    fn missing(&self) -> Option<String> {
        lacks("nats-server")
    }

    fn durabilities(&self) -> &'static [Durability] {
        &[Durability::PageCache]
    }

    fn append(&self, _durability: Durability, time: Duration, folder: &Path) -> Result<Appended> {
        let (_process, mut client) = start(folder)?;
        let rate = client.append(RECORD_BYTES, |_, elapsed| elapsed < time);
        rate.map(Appended::from)
    }

    fn fill<'a>(&'a self, bytes: u64, folder: &'a Path) -> Result<Reopen<'a>> {
        let (mut process, mut client) = start(folder)?;
        let records = bytes / RESTART_RECORD_BYTES as u64;
        client.append(RESTART_RECORD_BYTES, |done, _| done < records)?;
        process.kill();
        let open = move || -> Result<f64> {
            let port = free_port()?;
            let began = Instant::now();
            let mut process = nats::spawn(folder, true, port)?;
            process.wait_until(|| {
                let mut client = Client::connect(port)?;
                let subject = format!("$JS.API.STREAM.INFO.{STREAM}");
                client.request(&subject, &json!({})).map(|_| true)
            })?;
            Ok(began.elapsed().as_secs_f64() * 1e3)
        };
        Ok(Box::new(open))
    }
}
