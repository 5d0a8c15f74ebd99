//! The whole of skein as a log: points go through a WebSocket, access, admission and the engine
//! into the partition; a restart brings tables and sessions back, too.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

use crate::codec::http::HttpClient;
use crate::codec::skein::SkeinWebsocket;
use crate::crowd::Crowd;
use crate::log_peer::{Appended, BATCH_RECORDS, Durability, LogPeer, Reopen};
use crate::peer::Info;
use crate::peers::skein::SkeinServer;
use crate::tally::Tally;

/// Sessions that send, a connection each: so many that the rate limit of none is the limit of all.
const SESSIONS: u32 = 256;

/// Bytes of a sealed point that becomes a record of about [`crate::log_peer::RECORD_BYTES`].
const BLOB_BYTES: usize = 40;

/// Bytes of the largest sealed point, for filling.
const FILL_BLOB_BYTES: usize = 128;

/// Points of one message with the largest blobs: it must stay below 4,096 bytes.
const FILL_POINTS: u64 = 24;

/// Bytes that such a point is at least in the log.
const FILL_RECORD_BYTES: u64 = 160;

/// Longest wait for the server to accept what it has been sent.
const PATIENCE: Duration = Duration::from_secs(60);

/// Name of the metric that counts points.
const ACCEPTED: &str = "skein_points_accepted_total";

/// The peer.
pub struct SkeinServerLog;

/// A server and those who send to it.
struct Uploads {
    server: SkeinServer,
    crowd: Crowd<SkeinWebsocket>,
    sent: u64,
}

impl Uploads {
    fn start(folder: &Path) -> Result<Self> {
        let server = SkeinServer::start(folder)?;
        let protocol = server.admit(SESSIONS)?.with_sealed_points();
        let mut crowd = Crowd::new(protocol, server.http)?;
        crowd.add_senders(SESSIONS)?;
        Ok(Self {
            server,
            crowd,
            sent: 0,
        })
    }

    /// Uploads until `goes_on` says no; points accepted per second.
    fn append(
        &mut self,
        points: u64,
        blob_bytes: usize,
        mut goes_on: impl FnMut(u64, Duration) -> bool,
    ) -> Result<f64> {
        let blob = Bytes::from(vec![0x5a; blob_bytes]);
        let mut nobody = Tally::new(0);
        let began = Instant::now();
        let (mut session, mut counter) = (0, 1);
        while goes_on(self.sent, began.elapsed()) {
            let counters = counter..counter + points;
            let message = self.crowd.protocol.upload(session, counters, &blob, false);
            self.crowd.send_as(session, &message)?;
            self.sent += points;
            session += 1;
            if session == SESSIONS {
                (session, counter) = (0, counter + points);
                self.crowd.poll(&mut nobody)?;
            }
            while self.crowd.is_blocked() {
                self.crowd.poll(&mut nobody)?;
            }
        }
        while self.accepted()? < self.sent {
            self.crowd.poll(&mut nobody)?;
            ensure!(
                began.elapsed() < PATIENCE,
                "{} of {} points are accepted",
                self.accepted()?,
                self.sent
            );
        }
        Ok(self.sent as f64 / began.elapsed().as_secs_f64())
    }

    /// Uploads for so long, of each session a batch as soon as its last one is durable; points per
    /// second that the server has said to be.
    fn append_durable(&mut self, time: Duration) -> Result<f64> {
        let blob = Bytes::from(vec![0x5a; BLOB_BYTES]);
        let mut nobody = Tally::new(0);
        let mut sent = [0; SESSIONS as usize];
        let began = Instant::now();
        while began.elapsed() < time {
            self.upload_where_durable(&mut sent, &blob)?;
            self.crowd.poll(&mut nobody)?;
        }
        while (0..SESSIONS).any(|session| !self.is_durable(session, &sent)) {
            self.crowd.poll(&mut nobody)?;
            let is_late = began.elapsed() > time + PATIENCE;
            ensure!(!is_late, "not all points become durable");
        }
        Ok(sent.iter().sum::<u64>() as f64 / began.elapsed().as_secs_f64())
    }

    fn upload_where_durable(
        &mut self,
        sent: &mut [u64; SESSIONS as usize],
        blob: &Bytes,
    ) -> Result<()> {
        for session in 0..SESSIONS {
            if !self.is_durable(session, sent) {
                continue;
            }
            let last = &mut sent[session as usize];
            let counters = *last + 1..*last + 1 + BATCH_RECORDS as u64;
            *last = counters.end - 1;
            let message = self.crowd.protocol.upload(session, counters, blob, true);
            self.crowd.send_as(session, &message)?;
        }
        Ok(())
    }

    /// Whether all that was sent of a session is.
    fn is_durable(&self, session: u32, sent: &[u64; SESSIONS as usize]) -> bool {
        self.crowd.protocol.durable_of(session) >= sent[session as usize]
    }

    fn accepted(&self) -> Result<u64> {
        // The server closes a control connection that says nothing for some seconds.
        let mut control = HttpClient::connect(self.server.control)?;
        let text = control.call("GET", "/metrics", b"")?;
        let text = String::from_utf8(text)?;
        let values = text.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            name.starts_with(ACCEPTED).then(|| value.parse::<f64>())
        });
        let sum = values.sum::<Result<f64, _>>().context("a number")?;
        Ok(sum as u64)
    }
}

impl LogPeer for SkeinServerLog {
    fn info(&self) -> Info {
        Info {
            name: "skein-server",
            title: "skein, the whole server",
            install: "",
            settings: "256 sessions over WebSocket, 64 sealed points a message, through access, \
                       rate and counter checks into the log, which is synced each second; where \
                       each batch is synced, a session sends its next one when the last is said to \
                       be durable, and those that wait share a sync; restarted with points of 128 sealed bytes, until it says that it is ready",
        }
    }

    fn missing(&self) -> Option<String> {
        None
    }

    fn durabilities(&self) -> &'static [Durability] {
        &[Durability::EachSecond, Durability::Disk]
    }

    fn append(&self, durability: Durability, time: Duration, folder: &Path) -> Result<Appended> {
        let mut uploads = Uploads::start(folder)?;
        let goes_on = |_, elapsed| elapsed < time;
        let rate = match durability {
            Durability::Disk => uploads.append_durable(time),
            _ => uploads.append(BATCH_RECORDS as u64, BLOB_BYTES, goes_on),
        };
        rate.map(Appended::from)
    }

    fn fill<'a>(&'a self, bytes: u64, folder: &'a Path) -> Result<Reopen<'a>> {
        let mut uploads = Uploads::start(folder)?;
        let points = bytes / FILL_RECORD_BYTES;
        uploads.append(FILL_POINTS, FILL_BLOB_BYTES, |sent, _| sent < points)?;
        uploads.server.process.kill();
        let open = move || -> Result<f64> {
            let began = Instant::now();
            let _server = SkeinServer::start(folder)?;
            Ok(began.elapsed().as_secs_f64() * 1e3)
        };
        Ok(Box::new(open))
    }
}
