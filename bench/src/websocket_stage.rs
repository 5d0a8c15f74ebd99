//! Our stage over WebSocket, plain or with TLS: a real server, its publishers and the viewers of
//! one chat.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use crate::arrivals::Arrivals;
use crate::audience::{Arrival, Audience};
use crate::link::Target;
use crate::protocol;
use crate::publishers::Publishers;
use crate::reading::Reading;
use crate::server::{Server, UNPACED, now_ms};
use crate::stage::{Stage, Streamed};
use crate::websocket::{connect, message};

/// The chat that everybody is in.
const CHAT: &str = "stage";

/// Time after which the server has nothing more to do for a publication.
const SETTLE: Duration = Duration::from_millis(2);

/// Longest wait for the last movements of a stream: beyond the longest pause between two batches.
const STREAM_END: Duration = Duration::from_secs(3);

/// How batches get to the viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As a server does by itself: by io_uring where the kernel has it.
    Plain,
    /// Written one by one.
    Writes,
    /// With TLS.
    Encrypted,
}

impl Way {
    fn variables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Plain | Self::Encrypted => &[],
            Self::Writes => &[("SKEIN_SHARDS__WEBSOCKET_SENDS", "write")],
        }
    }
}

/// Everybody in front of and behind our server.
pub struct WebsocketStage {
    server: Server,
    publishers: Publishers,
    audience: Audience,
    reading: Reading,
    delivered: usize,
    viewer_bytes: f64,
}

impl WebsocketStage {
    /// Starts a server on a core and connects everybody.
    ///
    /// # Panics
    /// If the server refuses anybody.
    pub fn start(core: usize, viewers: usize, sessions: usize, way: Way) -> Self {
        Self::start_by(&core.to_string(), viewers, sessions, way, way.variables())
    }

    /// The same with a shard on each of some cores, which sends each position as soon as it can.
    ///
    /// # Panics
    /// If the server refuses anybody.
    pub fn start_unpaced(cores: &str, viewers: usize, sessions: usize) -> Self {
        Self::start_by(cores, viewers, sessions, Way::Plain, &[UNPACED])
    }

    fn start_by(
        cores: &str,
        viewers: usize,
        sessions: usize,
        way: Way,
        variables: &[(&str, &str)],
    ) -> Self {
        let server = Server::start_with(cores, variables);
        server.put_member(CHAT, "sender", &["share"]);
        server.put_member(CHAT, "viewer", &["watch"]);
        let publishers = Publishers::start(&server, CHAT, sessions);
        let target = match way {
            Way::Encrypted => Target::encrypted(server.https, &server.certificate()),
            Way::Plain | Way::Writes => Target::plain(server.http),
        };
        let greeting = [
            protocol::hello(&server.token("viewer")),
            protocol::watch(CHAT),
        ];
        let greeting = message(&protocol::encoded(&greeting));
        let viewer = |_| {
            let mut link = connect(&target);
            link.write_all(&greeting).expect("sent");
            link
        };
        let before = server.child.memory_bytes();
        let links = (0..viewers).map(viewer).collect();
        let mut stage = Self {
            server,
            publishers,
            audience: Audience::new(links),
            reading: Reading::default(),
            delivered: 0,
            viewer_bytes: 0.0,
        };
        // The first point shows that all of them watch.
        stage.publish(Duration::ZERO, 1);
        let after = stage.server.child.memory_bytes();
        stage.viewer_bytes = after.saturating_sub(before) as f64 / viewers as f64;
        // The second one goes to all in the same bytes.
        stage.reading.message_bytes = 0;
        stage.publish(Duration::ZERO, 1);
        stage
    }
}

impl Stage for WebsocketStage {
    fn publish(&mut self, pause: Duration, updates: usize) -> Option<Arrival> {
        self.publishers.clear();
        self.publishers.advance();
        self.reading.look_for(self.publishers.counter());
        thread::sleep(pause);
        let began = Instant::now();
        self.publishers.send(0..updates);
        let reading = &mut self.reading;
        let mut delivered = 0;
        let arrival = self.audience.wait(began, updates, |pending| {
            let fresh = reading.fresh(pending);
            delivered += fresh;
            fresh
        });
        self.delivered = delivered;
        Some(arrival)
    }

    fn delivered(&self) -> usize {
        self.delivered
    }

    fn server_time(&self) -> Duration {
        self.server.child.processor_time()
    }

    fn settle(&mut self) {
        thread::sleep(SETTLE);
    }

    fn viewer_bytes(&self) -> Option<f64> {
        Some(self.viewer_bytes)
    }

    fn message_bytes(&self) -> usize {
        self.reading.message_bytes
    }

    fn stream(&mut self, seconds: u64) -> Option<Streamed> {
        let sessions = self.publishers.sessions();
        let all = sessions as u64 * seconds;
        let owed = all * self.audience.len() as u64;
        let before = self.server.child.processor_time();
        let mut arrivals = Arrivals::new(self.audience.len(), self.publishers.counter());
        let (mut sent, mut age_ms) = (0, 0);
        let began = Instant::now();
        let end = Duration::from_secs(seconds) + STREAM_END;
        while began.elapsed() < end && arrivals.positions() < owed {
            // Session number n moves when n of `sessions` parts of each second are over.
            let due = (began.elapsed().as_micros() * sessions as u128 / 1_000_000) as u64;
            while sent < due.min(all) {
                let first = (sent % sessions as u64) as usize;
                if first == 0 {
                    self.publishers.advance();
                    self.publishers.clear();
                }
                let count = (due.min(all) - sent).min((sessions - first) as u64);
                self.publishers.send(first..first + count as usize);
                sent += count;
            }
            let now_ms = now_ms() as i64;
            let reading = &mut self.reading;
            self.audience.look(|viewer, pending| {
                reading.take(pending, |brought, rows| {
                    arrivals.take(viewer, rows);
                    age_ms += brought.positions as i64 * now_ms - brought.captured_at_ms;
                });
            });
        }
        let server_time = self.server.child.processor_time() - before;
        let positions = arrivals.positions();
        Some(Streamed {
            positions,
            owed,
            faults: arrivals.faults(sessions, seconds),
            server_s: server_time.as_secs_f64(),
            age_ms: age_ms as f64 / positions.max(1) as f64,
        })
    }
}
