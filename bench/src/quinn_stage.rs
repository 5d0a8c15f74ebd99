//! The floor's stage over QUIC: stock quinn in a child process, its publisher and its viewers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use quinn::Connection;
use tempfile::TempDir;

use crate::audience::Arrival;
use crate::child::Child;
use crate::floors::quinn_server;
use crate::folders;
use crate::pin;
use crate::quic_audience::{QuicAudience, Sockets};
use crate::stage::Stage;
use crate::stage_runtime::StageRuntime;

/// The role of a child that is this server.
pub const ROLE: &str = "quinn server";

/// Time after which acknowledgements have come: clients delay them by up to 25 ms.
const SETTLE: Duration = Duration::from_millis(40);

/// Bytes of the number that tells publications apart.
const NUMBER_BYTES: usize = 8;

/// Runs the server on a core; for `main` in this role.
///
/// # Panics
/// If its arguments are not a core, a number of viewers and a path.
pub fn main() {
    let argument = |index| std::env::args().nth(index).expect("an argument");
    pin::to(argument(1).parse().expect("a core"));
    let viewers = argument(2).parse().expect("a number of viewers");
    let certificate = PathBuf::from(argument(3));
    StageRuntime::new().run(quinn_server::serve(viewers, &certificate));
}

/// Everybody in front of and behind the quinn server.
pub struct QuinnStage {
    child: Child,
    publisher: Connection,
    audience: QuicAudience,
    message_bytes: usize,
    number: u64,
    /// Bytes of memory that each viewer has added to the server.
    viewer_bytes: f64,
    // Last, so that connections can say goodbye.
    runtime: StageRuntime,
    _folder: TempDir,
}

impl QuinnStage {
    /// Starts the server on a core and connects everybody; messages have so many bytes.
    ///
    /// # Panics
    /// If the server does not start.
    pub fn start(core: usize, viewers: usize, message_bytes: usize) -> Self {
        let folder = folders::scratch();
        let certificate = folder.path().join("cert.pem");
        let numbers = [core, viewers].map(|number| number.to_string().into());
        let arguments = numbers
            .into_iter()
            .chain([certificate.clone().into_os_string()]);
        let child = Child::start(ROLE, arguments);
        let to = SocketAddr::from(([127, 0, 0, 1], child.said.parse().expect("a port")));
        let runtime = StageRuntime::new();
        let mut audience = QuicAudience::new(has_number);
        let (publisher, before) = runtime.run(async {
            let mut sockets = Sockets::new(to, &certificate, quinn_server::ALPN, viewers + 1);
            let publisher = sockets.connect().await;
            let before = child.memory_bytes();
            for _ in 0..viewers {
                audience.add(sockets.connect().await);
            }
            (publisher, before)
        });
        let mut stage = Self {
            child,
            publisher,
            audience,
            message_bytes: message_bytes.max(NUMBER_BYTES),
            number: 0,
            viewer_bytes: 0.0,
            runtime,
            _folder: folder,
        };
        // What a connection needs to deliver belongs to it.
        stage.publish(SETTLE, 1);
        let after = stage.child.memory_bytes();
        stage.viewer_bytes = after.saturating_sub(before) as f64 / viewers as f64;
        stage
    }
}

impl Stage for QuinnStage {
    fn publish(&mut self, pause: Duration, updates: usize) -> Option<Arrival> {
        self.number += 1;
        let mut message = BytesMut::with_capacity(self.message_bytes);
        message.put_u64(self.number);
        message.resize(self.message_bytes, 7);
        let (message, publisher) = (message.freeze(), &self.publisher);
        self.runtime.run(async {
            tokio::time::sleep(pause).await;
            let send = || {
                for _ in 0..updates {
                    publisher
                        .send_datagram(message.clone())
                        .expect("a connection");
                }
            };
            self.audience.publish(self.number, updates, send).await
        })
    }

    fn delivered(&self) -> usize {
        self.audience.delivered()
    }

    fn server_time(&self) -> Duration {
        self.child.processor_time()
    }

    fn settle(&mut self) {
        // The timer is made where the runtime is.
        self.runtime.run(async { tokio::time::sleep(SETTLE).await });
    }

    fn message_bytes(&self) -> usize {
        self.message_bytes
    }

    fn viewer_bytes(&self) -> Option<f64> {
        Some(self.viewer_bytes)
    }
}

fn has_number(message: Bytes, number: u64) -> usize {
    usize::from(message.starts_with(&number.to_be_bytes()))
}
