//! Our stage over QUIC: a real server, one publisher and the viewers of its chat.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use quinn::{Connection, RecvStream, SendStream};
use skein_wire::frame::decode_update;
use skein_wire::ids::ShareNumber;
use skein_wire::limits::{ALPN, SERVER_FRAME_BYTES_MAX};
use skein_wire::request::Request;
use skein_wire::splitter::Splitter;
use skein_wire::update::Update;

use crate::audience::Arrival;
use crate::protocol;
use crate::quic_audience::{QuicAudience, Sockets};
use crate::server::{Server, UNPACED};
use crate::stage::Stage;
use crate::stage_runtime::StageRuntime;

/// The chat that everybody is in.
const CHAT: &str = "stage";

/// Requests that the server takes from a connection at once; after that there is a pause.
const SHARES_AT_ONCE: usize = 150;

/// As above.
const SHARE_PAUSE: Duration = Duration::from_millis(25);

/// Bytes of a batch with one row, and of a floor's message beside it.
const MESSAGE_BYTES: usize = 48;

/// Time after which acknowledgements have come: clients delay them by up to 25 ms.
const SETTLE: Duration = Duration::from_millis(40);

/// Handshakes that are under way at once: fewer than a server takes before it asks for proof of addresses.
const HANDSHAKES_AT_ONCE: usize = 16;

/// Publications until all viewers watch.
const TRIES: usize = 50;

/// Everybody in front of and behind our server.
pub struct QuicStage {
    server: Server,
    publisher: Connection,
    shares: Vec<ShareNumber>,
    counter: u64,
    audience: QuicAudience,
    /// Bytes of memory that each viewer has added to the server.
    viewer_bytes: f64,
    // Last, so that connections can say goodbye.
    runtime: StageRuntime,
}

/// A control stream after its greeting. Both halves are kept: the end of one is the end of both.
struct Control {
    out: SendStream,
    updates: RecvStream,
    splitter: Splitter,
}

impl QuicStage {
    /// Starts a server on a core and connects everybody.
    ///
    /// # Panics
    /// If the server refuses anybody, or a viewer gets nothing.
    pub fn start(core: usize, viewers: usize, sessions: usize) -> Self {
        Self::start_by(&core.to_string(), viewers, sessions, &[])
    }

    /// The same with a shard on each of some cores, which sends each position as soon as it can.
    ///
    /// # Panics
    /// If the server refuses anybody, or a viewer gets nothing.
    pub fn start_unpaced(cores: &str, viewers: usize, sessions: usize) -> Self {
        Self::start_by(cores, viewers, sessions, &[UNPACED])
    }

    fn start_by(cores: &str, viewers: usize, sessions: usize, variables: &[(&str, &str)]) -> Self {
        let server = Server::start_with(cores, variables);
        server.put_member(CHAT, "sender", &["share"]);
        server.put_member(CHAT, "viewer", &["watch"]);
        let runtime = StageRuntime::new();
        let mut audience = QuicAudience::new(protocol::fresh);
        let (publisher, shares, before) = runtime.run(async {
            let mut sockets = Sockets::new(server.quic, &server.certificate(), ALPN, viewers + 1);
            let publisher = sockets.connect().await;
            let token = server.token("sender");
            let mut control = Control::open(&publisher, &[protocol::hello(&token)]).await;
            let mut shares = Vec::new();
            for number in 0..sessions {
                shares.push(control.share(number).await);
            }
            tokio::task::spawn_local(control.drain());
            let before = server.child.memory_bytes();
            let token = server.token("viewer");
            let greeting = [protocol::hello(&token), protocol::watch(CHAT)];
            let greeting = &greeting;
            let joining = (0..viewers).map(|_| {
                let connecting = sockets.begin();
                async move {
                    let viewer = connecting.await.expect("a handshake");
                    let control = Control::open(&viewer, greeting).await;
                    (viewer, control)
                }
            });
            // So that both sides always have one to work at.
            let mut joining = stream::iter(joining).buffer_unordered(HANDSHAKES_AT_ONCE);
            while let Some((viewer, control)) = joining.next().await {
                tokio::task::spawn_local(control.drain());
                audience.add(viewer);
            }
            drop(joining);
            (publisher, shares, before)
        });
        let mut stage = Self {
            server,
            publisher,
            shares,
            counter: 0,
            audience,
            viewer_bytes: 0.0,
            runtime,
        };
        let mut tries = (0..TRIES).map(|_| stage.publish(Duration::from_millis(20), 1));
        assert!(
            tries.any(|arrival| arrival.is_some()),
            "viewers get nothing"
        );
        let after = stage.server.child.memory_bytes();
        stage.viewer_bytes = after.saturating_sub(before) as f64 / viewers as f64;
        stage
    }
}

impl Stage for QuicStage {
    fn publish(&mut self, pause: Duration, updates: usize) -> Option<Arrival> {
        self.counter += 1;
        let (counter, publisher) = (self.counter, &self.publisher);
        let shares = &self.shares[..updates];
        self.runtime.run(async {
            tokio::time::sleep(pause).await;
            let send = || {
                // A frame each; many go in one packet.
                for share in shares {
                    let frame = protocol::encoded(&[protocol::point(*share, counter)]);
                    publisher.send_datagram(frame.into()).expect("a connection");
                }
            };
            self.audience.publish(counter, updates, send).await
        })
    }

    fn delivered(&self) -> usize {
        self.audience.delivered()
    }

    fn server_time(&self) -> Duration {
        self.server.child.processor_time()
    }

    fn settle(&mut self) {
        // The timer is made where the runtime is.
        self.runtime.run(async { tokio::time::sleep(SETTLE).await });
    }

    fn message_bytes(&self) -> usize {
        MESSAGE_BYTES
    }

    fn viewer_bytes(&self) -> Option<f64> {
        Some(self.viewer_bytes)
    }
}

impl Control {
    async fn open(connection: &Connection, greeting: &[Request]) -> Self {
        let (mut out, updates) = connection.open_bi().await.expect("a stream");
        let greeting = protocol::encoded(greeting);
        out.write_all(&greeting).await.expect("a connection");
        Self {
            out,
            updates,
            splitter: Splitter::new(SERVER_FRAME_BYTES_MAX),
        }
    }

    /// The next update; `None` when the connection is over.
    async fn next(&mut self) -> Option<Update> {
        let mut buffer = [0; 4_096];
        loop {
            while let Some(frame) = self.splitter.next_frame().expect("whole frames") {
                if let Some(update) = decode_update(frame).expect("a frame of the protocol") {
                    return Some(update);
                }
            }
            let count = self.updates.read(&mut buffer).await.ok()??;
            self.splitter.push(&buffer[..count]);
        }
    }

    async fn share(&mut self, number: usize) -> ShareNumber {
        if number >= SHARES_AT_ONCE {
            tokio::time::sleep(SHARE_PAUSE).await;
        }
        let request = protocol::encoded(&[protocol::share(CHAT, number)]);
        self.out.write_all(&request).await.expect("a connection");
        loop {
            match self.next().await {
                Some(Update::Shared(shared)) => return shared.share,
                Some(Update::Welcome(_) | Update::Demand(_) | Update::Accepted(_)) => {}
                other => panic!("no session: {other:?}"),
            }
        }
    }

    /// Takes what comes until the end.
    async fn drain(mut self) {
        while let Some(update) = self.next().await {
            if let Update::Refused(refused) = update {
                panic!("refused: {refused:?}");
            }
        }
    }
}
