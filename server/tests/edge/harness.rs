//! An edge on a thread of its own, driven like a shard drives it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_server::access::Access;
use skein_server::access::key_set::TOKEN_KEY_FILE;
use skein_server::access::signer::TokenSigner;
use skein_server::app::entrance::{Entrance, Lobby};
use skein_server::clock::Clock;
use skein_server::config::websocket_sends::WebSocketSends;
use skein_server::edge::arrivals::Arrivals;
use skein_server::edge::bind::{self, Addresses};
use skein_server::edge::certificate::{CERTIFICATE_FILE, CertificateStore};
use skein_server::edge::edge::{Edge, EdgeConfig, Sources};
use skein_server::edge::event::Event;
use skein_server::edge::http_listener::{Gate, HttpCounters};
use skein_server::edge::origins::Origins;
use skein_server::edge::quic_keys::QuicKeys;
use skein_server::edge::tls::Tls;
use skein_server::edge::waker::ShardWaker;
use skein_wire::frame::encode_request;
use skein_wire::ids::UserName;
use skein_wire::limits::VERSION;
use skein_wire::request::{Hello, Request, Token};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Longest wait for anything; only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(10);

type Command = Box<dyn FnOnce(&mut Edge) + Send>;

/// Edges of one server; each has a thread.
pub struct TestEdge {
    pub addresses: Addresses,
    pub events: Receiver<(u16, Event)>,
    pub clock: Clock,
    signer: TokenSigner,
    dir: Arc<TempDir>,
    commands: Vec<(mpsc::Sender<Command>, ShardWaker)>,
    threads: Vec<JoinHandle<()>>,
    http: Option<(Runtime, watch::Sender<bool>)>,
}

impl TestEdge {
    /// One shard on free ports.
    pub fn start() -> Self {
        Self::start_sending(WebSocketSends::Auto)
    }

    /// The same, with batches that get onto WebSockets in this way.
    pub fn start_sending(sends: WebSocketSends) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Self::start_all(dir, free(), 1, sends)
    }

    /// Several shards in a given directory, on given ports.
    pub fn start_in(dir: Arc<TempDir>, addresses: Addresses, shards: u16) -> Self {
        Self::start_all(dir, addresses, shards, WebSocketSends::Auto)
    }

    fn start_all(
        dir: Arc<TempDir>,
        addresses: Addresses,
        shards: u16,
        sends: WebSocketSends,
    ) -> Self {
        let access = Arc::new(Access::open(dir.path(), true).unwrap());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let now_s = Clock::start().now_ms() / 1_000;
        let certificates = CertificateStore::open_or_create(dir.path(), now_s, provider).unwrap();
        let tls = Tls::new(&certificates).unwrap();
        let keys = QuicKeys::open_or_create(dir.path()).unwrap();
        let clock = Clock::start();
        let gate = Gate {
            access: access.clone(),
            clock,
        };
        let config = EdgeConfig {
            access,
            clock,
            quic: None,
            shards,
            websocket_sends: sends,
        };
        let config = config.with_quic(&tls, keys, Origins::default());
        let bound = bind::bind(&addresses, shards).unwrap();
        let (send_event, events) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (close, closed) = watch::channel(false);
        let lobby = Lobby {
            router: Router::new().fallback(answer),
            origins: Origins::default(),
            gate,
            tls: tls.tcp,
            closed,
        };
        let mut edge = Self {
            addresses: bound.addresses,
            events,
            clock,
            signer: TokenSigner::open(&dir.path().join(TOKEN_KEY_FILE)).unwrap(),
            dir,
            commands: Vec::new(),
            threads: Vec::new(),
            http: None,
        };
        for (shard, sockets) in (0..).zip(bound.shards) {
            let waker = ShardWaker::new().unwrap();
            let (to_shard, arrivals) = Arrivals::channel(waker.clone());
            let http = Arc::new(HttpCounters::default());
            let entrance = Entrance {
                http: sockets.http,
                https: sockets.https,
                arrivals: to_shard,
                counters: http.clone(),
            };
            runtime.block_on(async { entrance.open(&lobby).unwrap() });
            let sources = Sources {
                quic: sockets.quic,
                arrivals,
                http,
            };
            let (send_command, commands) = mpsc::channel();
            let (config, send_event) = (config.clone(), send_event.clone());
            edge.commands.push((send_command, waker.clone()));
            edge.threads.push(std::thread::spawn(move || {
                let edge = Edge::new(&config, shard, sources, &waker).unwrap();
                drive(edge, shard, &waker, &commands, &send_event);
            }));
        }
        edge.http = Some((runtime, close));
        edge
    }

    /// Stops all threads without a goodbye; the directory stays for a successor.
    pub fn kill(mut self) -> Arc<TempDir> {
        // Its ports are free when the runtime is gone.
        self.http = None;
        for (commands, waker) in self.commands.drain(..) {
            drop(commands);
            waker.wake();
        }
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
        self.dir
    }

    /// Does something on the thread of shard 0.
    pub fn with<R: Send + 'static>(&self, act: impl FnOnce(&mut Edge) -> R + Send + 'static) -> R {
        let (send, receive) = mpsc::channel();
        let command = Box::new(move |edge: &mut Edge| send.send(act(edge)).unwrap());
        let (commands, waker) = &self.commands[0];
        assert!(commands.send(command).is_ok(), "the shard runs");
        waker.wake();
        receive.recv_timeout(PATIENCE).expect("the shard answers")
    }

    /// The next event.
    pub fn event(&self) -> Event {
        self.shard_event().1
    }

    /// The next event and the shard it happened on.
    pub fn shard_event(&self) -> (u16, Event) {
        self.events.recv_timeout(PATIENCE).expect("an event")
    }

    /// The next event, which is a connection of `ana`.
    pub fn connected(&self) -> ConnectionId {
        match self.event() {
            Event::Connected {
                connection,
                identity,
            } => {
                assert_eq!(identity.person.user, UserName::new("ana").unwrap());
                connection
            }
            other => panic!("expected a connection, got {other:?}"),
        }
    }

    /// A token for `ana`.
    pub fn token(&self) -> String {
        let user = UserName::new("ana").unwrap();
        self.signer.mint(&user, 3_600, self.clock.now_ms()).unwrap()
    }

    /// A whole `Hello` frame of `ana`.
    pub fn hello(&self) -> Vec<u8> {
        frame(&Request::Hello(Hello {
            version: VERSION,
            token: Token(self.token()),
            client: "edge tests".to_owned(),
        }))
    }

    pub fn http(&self) -> SocketAddr {
        self.addresses.http.unwrap()
    }

    pub fn https(&self) -> SocketAddr {
        self.addresses.https.unwrap()
    }

    pub fn quic(&self) -> SocketAddr {
        self.addresses.quic.unwrap()
    }

    pub fn certificate(&self) -> Vec<u8> {
        read(&self.dir.path().join(CERTIFICATE_FILE))
    }
}

/// Everything on loopback, ports to be found.
pub fn free() -> Addresses {
    let any = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    Addresses {
        http: any,
        https: any,
        quic: any,
    }
}

/// A whole frame.
pub fn frame(request: &Request) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_request(request, &mut frame);
    frame
}

/// A viewer's number.
pub fn viewer(index: u32) -> ViewerId {
    ViewerId {
        index,
        generation: 1,
    }
}

/// A frame with `len` bytes in all, that a client skips, filled with `fill`.
pub fn filler(len: usize, fill: u8) -> Vec<u8> {
    let mut frame = Vec::new();
    let head = skein_wire::varint::len(len as u64);
    skein_wire::varint::put(&mut frame, (len - head) as u64);
    frame.push(0xff);
    frame.resize(len, fill);
    frame
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn drive(
    mut edge: Edge,
    shard: u16,
    waker: &ShardWaker,
    commands: &Receiver<Command>,
    send_event: &mpsc::Sender<(u16, Event)>,
) {
    let mut events = Vec::new();
    loop {
        waker.announce_sleep();
        let limit = match commands.try_recv() {
            Ok(command) => {
                command(&mut edge);
                Some(Duration::ZERO)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => return,
        };
        edge.wait(limit);
        waker.announce_awake();
        edge.poll_events(&mut events);
        edge.flush();
        for event in events.drain(..) {
            // The test may be over already.
            let _ = send_event.send((shard, event));
        }
    }
}

/// An HTTP service that repeats what it is asked.
async fn answer(method: http::Method, uri: http::Uri) -> String {
    format!("{method} {}", uri.path())
}
