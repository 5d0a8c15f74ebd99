//! A server that says back what it hears, for judges of WebSocket implementations.
//!
//! Upgrade, frames, masks, control frames, partial writes and the closing handshake are the server's
//! own code. The product takes whole binary messages only; what it refuses and a judge expects,
//! texts and messages in several frames, is put together here.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use skein_server::access::Access;
use skein_server::app::entrance::{Entrance, Lobby};
use skein_server::clock::Clock;
use skein_server::edge::arrivals::{Arrivals, Upgraded};
use skein_server::edge::bind::{self, Addresses};
use skein_server::edge::certificate::CertificateStore;
use skein_server::edge::http_listener::{Gate, HttpCounters};
use skein_server::edge::origins::Origins;
use skein_server::edge::poller::Poller;
use skein_server::edge::stats::TransportStats;
use skein_server::edge::tls::Tls;
use skein_server::edge::upgrade::WEBSOCKET_PATH;
use skein_server::edge::waker::ShardWaker;
use skein_server::edge::websocket_frame::{self, Opcode, Rules, Violation, status};
use skein_server::edge::websocket_link::{DataFrame, Fault, WebSocketLink};
use skein_server::edge::websocket_socket::Socket;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Bytes of a message: what the largest case of a judge takes, many times over.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes read at a time: less than many messages have, so that they come in pieces.
const READ_BYTES: usize = 16 * 1024;

/// Longest silence of a peer.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a peer may take to end its direction once ours is ended.
const LINGER: Duration = Duration::from_secs(2);

const RULES: Rules = Rules {
    text: true,
    fragments: true,
    payload_bytes_max: MESSAGE_BYTES_MAX,
    controls_per_s_max: 1_000,
};

/// A running echo server; it takes no more connections once dropped.
pub struct WebSocketEcho {
    /// Where it listens.
    pub address: SocketAddr,
    _runtime: Runtime,
    _close: watch::Sender<bool>,
}

impl WebSocketEcho {
    /// Starts one on a free port; its certificate, which nobody asks for, lies in `folder`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(folder: &Path) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let asked = Addresses {
            http: Some(any),
            ..Addresses::default()
        };
        let mut bound = bind::bind(&asked, 1).expect("a free port");
        let sockets = bound.shards.pop().expect("one shard");
        let waker = ShardWaker::new().expect("a descriptor");
        let (to_echo, arrivals) = Arrivals::channel(waker.clone());
        let entrance = Entrance {
            http: sockets.http,
            https: None,
            arrivals: to_echo,
            counters: Arc::new(HttpCounters::default()),
        };
        let (close, closed) = watch::channel(false);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certificates =
            CertificateStore::open_or_create(folder, Clock::start().now_ms() / 1_000, provider);
        let lobby = Lobby {
            router: Default::default(),
            origins: Origins::default(),
            gate: Gate {
                access: Arc::new(Access::open(folder, true).expect("keys")),
                clock: Clock::start(),
            },
            tls: Tls::new(&certificates.expect("a certificate"))
                .expect("TLS")
                .tcp,
            closed,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let opened = runtime.block_on(async { entrance.open(&lobby) });
        opened.expect("the runtime takes the listener");
        thread::spawn(move || receive(arrivals, &waker));
        Self {
            address: bound.addresses.http.expect("asked for"),
            _runtime: runtime,
            _close: close,
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("ws://{}{WEBSOCKET_PATH}", self.address)
    }
}

/// Gives each connection a thread.
fn receive(mut arrivals: Arrivals, waker: &ShardWaker) {
    let mut poller = Poller::new(waker).expect("a descriptor");
    loop {
        waker.announce_sleep();
        if !arrivals.has_input() {
            poller.wait(Some(SILENCE));
        }
        waker.announce_awake();
        while let Some(upgraded) = arrivals.pop() {
            thread::spawn(move || {
                if let Ok(echo) = Echo::new(upgraded) {
                    // However it ends, the judge has seen it.
                    let _ = echo.run();
                }
            });
        }
    }
}

/// One connection.
struct Echo {
    link: WebSocketLink,
    clock: Clock,
    stats: TransportStats,
    message: Message,
}

impl Echo {
    fn new(upgraded: Upgraded) -> io::Result<Self> {
        let socket = Socket::new(upgraded.stream, upgraded.tls)?;
        let clock = Clock::start();
        Ok(Self {
            link: WebSocketLink::new(socket, &upgraded.early, clock.now_ms()),
            clock,
            stats: TransportStats::default(),
            message: Message::default(),
        })
    }

    /// Until the peer ends its direction.
    fn run(mut self) -> io::Result<()> {
        let mut scratch = vec![0; READ_BYTES];
        let mut parted: Option<Instant> = None;
        self.take(&mut [])?;
        loop {
            if self.link.is_parting() {
                let since = *parted.get_or_insert_with(Instant::now);
                if since.elapsed() > LINGER {
                    return Ok(());
                }
            }
            self.wait(PollFlags::IN)?;
            if self.link.is_busy() {
                self.link.flush(self.clock.now_ms(), &mut self.stats)?;
            }
            match self.link.read(&mut scratch) {
                Ok(0) => return Ok(()),
                Ok(count) => self.take(&mut scratch[..count])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        match self.take_frames(bytes) {
            Ok(()) => Ok(()),
            Err(Fault::Cut) => Err(ErrorKind::OutOfMemory.into()),
            Err(Fault::Close(violation)) => {
                let mut payload = violation.status.to_be_bytes().to_vec();
                payload.extend_from_slice(violation.error.text.as_bytes());
                let last = websocket_frame::frame(Opcode::Close, &payload);
                self.link
                    .part(&[last], self.clock.now_ms(), &mut self.stats)
            }
        }
    }

    fn take_frames(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        let now_ms = self.clock.now_ms();
        let mut feed = self.link.begin_feed(bytes);
        while let Some(frame) = self
            .link
            .next_frame(&mut feed, &RULES, now_ms, &mut self.stats)?
        {
            if let Some((opcode, payload)) = self.message.join(&frame, feed.payload(&frame))? {
                let echo = websocket_frame::frame(opcode, &payload).into();
                self.send(&echo).map_err(|_| Fault::Cut)?;
            }
        }
        self.link.end_feed(feed, now_ms);
        Ok(())
    }

    /// Sends one frame of whatever length; a peer that does not read is waited for.
    fn send(&mut self, frame: &Bytes) -> io::Result<()> {
        loop {
            let now_ms = self.clock.now_ms();
            let is_free = !self.link.is_busy() || self.link.flush(now_ms, &mut self.stats)?;
            if is_free && self.link.write(frame, None, now_ms, &mut self.stats)? {
                return Ok(());
            }
            self.wait(PollFlags::OUT)?;
        }
    }

    /// Waits for what is asked for, and for room while something waits to leave.
    fn wait(&self, mut what: PollFlags) -> io::Result<()> {
        if self.link.is_busy() {
            what |= PollFlags::OUT;
        }
        let silence = match self.link.is_parting() {
            true => LINGER,
            false => SILENCE,
        };
        let limit = Timespec {
            tv_sec: silence.as_secs() as i64,
            tv_nsec: 0,
        };
        match poll(&mut [PollFd::new(&self.link, what)], Some(&limit))? {
            0 => Err(ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }
}

/// A message that comes in one or more frames.
#[derive(Default)]
struct Message {
    kind: Option<Opcode>,
    bytes: Vec<u8>,
    /// Bytes of a text that are known to be UTF-8.
    checked: usize,
}

impl Message {
    /// Takes the next frame; gives the message when it was the last.
    fn join(
        &mut self,
        frame: &DataFrame,
        payload: &[u8],
    ) -> Result<Option<(Opcode, Vec<u8>)>, Violation> {
        let kind = match (self.kind, frame.opcode) {
            (Some(kind), Opcode::Continuation) => kind,
            (None, Opcode::Text | Opcode::Binary) => frame.opcode,
            _ => {
                let text = "a frame that does not go on where the last one ended";
                return Err(Violation::transport(status::PROTOCOL, text));
            }
        };
        if self.bytes.len() + payload.len() > MESSAGE_BYTES_MAX {
            let text = "a message is too large";
            return Err(Violation::transport(status::TOO_LARGE, text));
        }
        self.kind = Some(kind);
        self.bytes.extend_from_slice(payload);
        if kind == Opcode::Text {
            self.check_text(frame.fin)?;
        }
        if !frame.fin {
            return Ok(None);
        }
        let whole = std::mem::take(self);
        Ok(Some((kind, whole.bytes)))
    }

    fn check_text(&mut self, is_last: bool) -> Result<(), Violation> {
        match std::str::from_utf8(&self.bytes[self.checked..]) {
            Ok(_) => self.checked = self.bytes.len(),
            // A character that goes on in the next frame.
            Err(error) if error.error_len().is_none() && !is_last => {
                self.checked += error.valid_up_to();
            }
            Err(_) => {
                let text = "a text is not UTF-8";
                return Err(Violation::transport(status::INVALID_TEXT, text));
            }
        }
        Ok(())
    }
}
