//! Redis streams: `XADD` under each policy of the append-only file.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::codec::resp::{Value, command, value};
use crate::log_peer::{
    Appended, BATCH_RECORDS, Durability, LogPeer, RECORD_BYTES, RESTART_RECORD_BYTES, Reopen,
};
use crate::peer::{Info, lacks};
use crate::peers::redis::{self, Persistence};
use crate::process::{free_port, local};

/// Batches on the way at a time, so that the server is never idle.
const IN_FLIGHT: usize = 8;

/// Key of the stream.
const STREAM: &[u8] = b"positions";

/// The peer.
pub struct RedisStream;

/// A connection with answers on the way.
struct Client {
    socket: TcpStream,
    pending: Vec<u8>,
    buffer: Vec<u8>,
    owed: usize,
}

impl Client {
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

    fn send(&mut self, commands: &[u8], answers: usize) -> Result<()> {
        self.socket.write_all(commands)?;
        self.owed += answers;
        Ok(())
    }

    /// Waits until at most so many answers are owed.
    fn wait(&mut self, owed: usize) -> Result<()> {
        while self.owed > owed {
            let count = self.socket.read(&mut self.buffer)?;
            ensure!(count > 0, "Redis closed the connection");
            self.pending.extend_from_slice(&self.buffer[..count]);
            let mut rest = &self.pending[..];
            while let Some(answer) = value(&mut rest)? {
                if let Value::Error(text) = answer {
                    bail!("Redis refuses: {}", String::from_utf8_lossy(text));
                }
                self.owed -= 1;
            }
            let used = self.pending.len() - rest.len();
            self.pending.drain(..used);
        }
        Ok(())
    }

    /// Appends batches until `goes_on` says no; records acknowledged per second.
    fn append(
        &mut self,
        record_bytes: usize,
        mut goes_on: impl FnMut(u64, Duration) -> bool,
    ) -> Result<f64> {
        let record = vec![0x5a; record_bytes];
        let mut batch = Vec::new();
        for _ in 0..BATCH_RECORDS {
            command(&[b"XADD", STREAM, b"*", b"p", &record], &mut batch);
        }
        let began = Instant::now();
        let mut records = 0;
        while goes_on(records, began.elapsed()) {
            self.send(&batch, BATCH_RECORDS)?;
            self.wait((IN_FLIGHT - 1) * BATCH_RECORDS)?;
            records += BATCH_RECORDS as u64;
        }
        self.wait(0)?;
        Ok(records as f64 / began.elapsed().as_secs_f64())
    }
}

impl LogPeer for RedisStream {
    fn info(&self) -> Info {
        Info {
            name: "redis-stream",
            title: "Redis 7, XADD",
            install: "bench/compare/install.sh redis",
            settings: "appendonly yes with appendfsync no, everysec, always; one connection, up to \
                       8 batches of 64 commands on the way",
        }
    }

    fn missing(&self) -> Option<String> {
        lacks("redis-server")
    }

    fn durabilities(&self) -> &'static [Durability] {
        &Durability::ALL
    }

    fn append(&self, durability: Durability, time: Duration, folder: &Path) -> Result<Appended> {
        let persistence = match durability {
            Durability::PageCache => Persistence::No,
            Durability::EachSecond => Persistence::EverySecond,
            Durability::Disk => Persistence::Always,
        };
        let (_process, port) = redis::start(folder, persistence)?;
        let rate = Client::connect(port)?.append(RECORD_BYTES, |_, elapsed| elapsed < time);
        rate.map(Appended::from)
    }

    fn fill<'a>(&'a self, bytes: u64, folder: &'a Path) -> Result<Reopen<'a>> {
        let (mut process, port) = redis::start(folder, Persistence::EverySecond)?;
        let records = bytes / RESTART_RECORD_BYTES as u64;
        Client::connect(port)?.append(RESTART_RECORD_BYTES, |done, _| done < records)?;
        process.kill();
        let open = move || -> Result<f64> {
            let port = free_port()?;
            let began = Instant::now();
            let mut process = redis::spawn(folder, Persistence::EverySecond, port)?;
            process.wait_until(|| {
                let mut client = Client::connect(port)?;
                let mut ping = Vec::new();
                command(&[b"XLEN", STREAM], &mut ping);
                client.send(&ping, 1)?;
                // While it loads it refuses.
                client.wait(0)?;
                Ok(true)
            })?;
            Ok(began.elapsed().as_secs_f64() * 1e3)
        };
        Ok(Box::new(open))
    }
}
