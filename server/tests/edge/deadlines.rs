//! Peers that say nothing, or take nothing, for too long. Time is handed in, nobody waits.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use skein_engine::ids::ConnectionId;
use skein_server::access::Access;
use skein_server::access::key_set::TOKEN_KEY_FILE;
use skein_server::access::signer::TokenSigner;
use skein_server::edge::arrivals::{Arrivals, Upgraded};
use skein_server::edge::event::Event;
use skein_server::edge::poller::Poller;
use skein_server::edge::waker::ShardWaker;
use skein_server::edge::websocket::WebSockets;
use skein_server::edge::websocket_connection::Took;
use skein_server::edge::websocket_frame::{Opcode, frame as frame_of};
use skein_server::limits::{CLOSE_LINGER_MS, FRAME_DEADLINE_MS, HELLO_DEADLINE_MS, IDLE_VIEWER_MS};
use skein_wire::error::Code;
use skein_wire::ids::{ChatHandle, UserName};
use skein_wire::limits::VERSION;
use skein_wire::request::{Hello, Request, Token};
use skein_wire::update::Update;
use tempfile::TempDir;

use crate::harness::{PATIENCE, frame};
use crate::websocket_client::{Message, WebSocketClient, client_frame};
use crate::websocket_rules::update;

/// Any time will do.
const START_MS: u64 = 1_700_000_000_000;
/// The wheel looks once a second.
const TICK_MS: u64 = 1_000;

/// The WebSockets of a shard and one client, upgraded by hand.
struct Fixture {
    websockets: WebSockets,
    poller: Poller,
    client: WebSocketClient<TcpStream>,
    signer: TokenSigner,
    now_ms: u64,
    _dir: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let access = Arc::new(Access::open(dir.path(), true).unwrap());
        let waker = ShardWaker::new().unwrap();
        let (to_shard, arrivals) = Arrivals::channel(waker.clone());
        let websockets = WebSockets::new(access, arrivals, None, START_MS);
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let upgraded = Upgraded {
            stream: listener.accept().unwrap().0,
            tls: None,
            early: Bytes::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(to_shard.send(upgraded));
        let mut fixture = Self {
            websockets,
            poller: Poller::new(&waker).unwrap(),
            client: WebSocketClient { stream: client },
            signer: TokenSigner::open(&dir.path().join(TOKEN_KEY_FILE)).unwrap(),
            now_ms: START_MS,
            _dir: dir,
        };
        assert_eq!(fixture.poll(), []);
        fixture
    }

    fn poll(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        self.poller.wait(Some(Duration::ZERO));
        self.websockets.poll(self.now_ms, &self.poller, &mut events);
        events
    }

    /// Polls until something has arrived over the loopback.
    fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.poll().pop() {
                return event;
            }
        }
    }

    fn after(&mut self, ms: u64) -> Vec<Event> {
        self.now_ms += ms;
        self.poll()
    }

    fn greet(&mut self) -> ConnectionId {
        let user = UserName::new("ana").unwrap();
        let token = self.signer.mint(&user, 3_600, START_MS).unwrap();
        self.client.message(&frame(&Request::Hello(Hello {
            version: VERSION,
            token: Token(token),
            client: String::new(),
        })));
        match self.event() {
            Event::Connected { connection, .. } => connection,
            other => panic!("expected a connection, got {other:?}"),
        }
    }

    fn expect_goodbye(&mut self, code: Code) {
        let answer = loop {
            match self.client.read() {
                // What it had not taken before.
                Message::Binary(bytes) if bytes.len() > 1_000 => {}
                answer => break update(&answer),
            }
        };
        assert!(
            matches!(&answer, Update::Goodbye(g) if g.code == code),
            "{answer:?}"
        );
        assert!(matches!(self.client.read(), Message::Close(c, _) if c == 4_000 + code as u16));
    }
}

/// Events of sockets come once: an end that stands behind the last bytes is not told again.
#[test]
fn an_end_right_behind_the_last_message_is_noticed() {
    let mut f = Fixture::new();
    let connection = f.greet();
    f.client.message(&frame(&Request::Ping(7)));
    f.client.stream.shutdown(Shutdown::Write).unwrap();
    let mut events = Vec::new();
    let began = Instant::now();
    while events.last() != Some(&Event::Disconnected { connection }) {
        assert!(began.elapsed() < PATIENCE, "only {events:?}");
        events.extend(f.poll());
    }
    assert_eq!(f.websockets.count(), 0);
}

#[test]
fn a_connection_without_a_hello_is_closed() {
    let mut f = Fixture::new();
    assert_eq!(f.after(HELLO_DEADLINE_MS - 1), []);
    assert_eq!(f.websockets.count(), 1);
    assert_eq!(f.after(1 + TICK_MS), [], "the shard never knew of it");
    f.expect_goodbye(Code::Deadline);
    assert_eq!(f.websockets.count(), 1, "the goodbye may linger");
    f.after(CLOSE_LINGER_MS + TICK_MS);
    assert_eq!(f.websockets.count(), 0);
}

#[test]
fn a_frame_that_never_ends_is_not_waited_for() {
    let mut f = Fixture::new();
    let connection = f.greet();
    let whole = client_frame(0x82, &frame(&Request::Ping(1)));
    f.client.raw(&whole[..5]);
    while f.websockets.next_deadline_ms() < Some(START_MS + FRAME_DEADLINE_MS) {
        f.poll();
        f.after(TICK_MS);
        assert!(
            f.now_ms < START_MS + FRAME_DEADLINE_MS,
            "the frame has begun"
        );
    }
    assert_eq!(
        f.after(FRAME_DEADLINE_MS + 2 * TICK_MS),
        [Event::Disconnected { connection }]
    );
    f.expect_goodbye(Code::Deadline);
}

#[test]
fn a_viewer_that_takes_nothing_is_closed_after_the_idle_limit() {
    let mut f = Fixture::new();
    let connection = f.greet();
    let batch = Bytes::from(frame_of(Opcode::Binary, &[0; 20_000]));
    while f.websockets.offer(connection, ChatHandle(1), &batch) == Took::All {}
    assert_eq!(f.after(IDLE_VIEWER_MS / 2), []);
    assert_eq!(f.after(IDLE_VIEWER_MS / 2 - 1), []);
    assert_eq!(f.after(1 + TICK_MS), [Event::Disconnected { connection }]);
}

#[test]
fn quiet_viewers_wake_nobody() {
    let mut f = Fixture::new();
    f.greet();
    assert_eq!(f.after(HELLO_DEADLINE_MS + TICK_MS), []);
    assert_eq!(f.websockets.next_deadline_ms(), None);
    assert_eq!(f.after(24 * 3_600_000), []);
    assert_eq!(f.websockets.count(), 1);
}
