//! A point allocates nothing on its way from a WebSocket to the log.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use skein_engine::ids::{ConnectionId, PartitionId};
use skein_engine::journal::Entry;
use skein_engine::record::OwnedRecord;
use skein_engine::time::Timestamp;
use skein_log::{Log, MemoryStorage, Options};
use skein_server::access::Access;
use skein_server::access::key_set::TOKEN_KEY_FILE;
use skein_server::access::signer::TokenSigner;
use skein_server::edge::event::Event;
use skein_server::edge::stats::TransportStats;
use skein_server::edge::websocket_connection::{Fate, Turn, WebSocketConnection};
use skein_server::edge::websocket_gathered::Gathered;
use skein_server::edge::websocket_socket::Socket;
use skein_server::shard::log_writer::LogWriters;
use skein_wire::frame::encode_request;
use skein_wire::ids::{ChatHandle, Counter, SessionId, ShareNumber, UserName};
use skein_wire::limits::VERSION;
use skein_wire::point::{Fix, Payload, Point};
use skein_wire::request::{Hello, Request, SharePoint, Token};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Longest wait for bytes over loopback; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Times that something is done before its allocations are counted, and while they are.
const WARM: u64 = 10;
const TIMES: u64 = 1_000;

/// Allocations of this thread while something is done again and again.
fn allocations(mut act: impl FnMut(u64)) -> u64 {
    (0..WARM).for_each(&mut act);
    let before = ALLOCATIONS.get();
    (WARM..WARM + TIMES).for_each(act);
    ALLOCATIONS.get() - before
}

fn point(counter: u64) -> Point {
    Point {
        counter: Counter(counter),
        captured_at_ms: 1_700_000_000_000,
        payload: Payload::Fix(Fix::default()),
    }
}

/// A binary message of a client, with a mask of zeros.
fn message(request: &Request) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_request(request, &mut frame);
    let mut message = vec![0x82];
    match u8::try_from(frame.len()).ok().filter(|len| *len < 126) {
        Some(len) => message.push(0x80 | len),
        None => {
            message.push(0x80 | 126);
            message.extend_from_slice(&(frame.len() as u16).to_be_bytes());
        }
    }
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&frame);
    message
}

fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    (client, listener.accept().expect("accepted").0)
}

#[test]
fn a_point_by_websocket_allocates_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let access = Access::open(folder.path(), true).expect("keys");
    let signer = TokenSigner::open(&folder.path().join(TOKEN_KEY_FILE)).expect("a key");
    let now_ms = 1_700_000_000_000;
    let token = signer.mint(&UserName::new("ana").expect("a name"), 60, now_ms);
    let hello = Request::Hello(Hello {
        version: VERSION,
        token: Token(token.expect("a token")),
        client: String::new(),
    });
    let (mut client, socket) = connected();
    let socket = Socket::new(socket, None).expect("a socket");
    let mut connection = WebSocketConnection::new(socket, &[], now_ms);
    let mut stats = TransportStats::default();
    let mut gathered = Gathered::default();
    let (mut events, mut requests) = (Vec::with_capacity(16), Vec::new());
    let mut scratch = vec![0; 16 * 1_024];
    let messages: Vec<Vec<u8>> = (0..WARM + TIMES)
        .map(|counter| match counter {
            0 => message(&hello),
            _ => message(&Request::Point(SharePoint {
                share: ShareNumber(1),
                durable: false,
                point: point(counter),
            })),
        })
        .collect();
    let mut taken = 0;
    let allocated = allocations(|number| {
        client.write_all(&messages[number as usize]).expect("sent");
        let mut turn = Turn {
            access: &access,
            now_ms,
            stats: &mut stats,
            events: &mut events,
            hellos_left: 1,
            gathered: &mut gathered,
            requests: &mut requests,
        };
        // Loopback hands the bytes over at once, or a moment later.
        let begun = Instant::now();
        while turn.events.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "nothing arrives");
            let fate = connection.handle_readable(ConnectionId(1), &mut scratch, &mut turn);
            assert_eq!(fate, Fate::Stays);
        }
        let is_point = |event: &Event| {
            matches!(
                event,
                Event::Frame {
                    request: Request::Point(_),
                    ..
                }
            )
        };
        taken += events.drain(..).filter(is_point).count() as u64;
    });
    assert_eq!((allocated, taken), (0, WARM + TIMES - 1));
}

#[test]
fn a_point_on_its_way_into_the_log_allocates_nothing() {
    let options = Options {
        partitions: 1,
        segment_bytes_min: 4 << 20,
        ..Options::default()
    };
    let (mut log, _) = Log::open(MemoryStorage::new(), options, 0, 1).expect("a log");
    let writer = log
        .take_writer(skein_log::PartitionId(0))
        .expect("a writer");
    let mut writers = LogWriters::new(vec![(PartitionId(0), writer)], u64::MAX, false);
    let entry = Entry::Point {
        session: SessionId(1),
        point: point(1),
    };
    let records: Vec<OwnedRecord> = vec![entry.encode(ChatHandle(1)); 3];
    let mut appended = 0;
    let allocated = allocations(|number| {
        let alone = &records[..1 + number as usize % records.len()];
        let taken = writers.append(Timestamp(1_000 + number), PartitionId(0), alone);
        appended += taken.appended;
    });
    assert_eq!(allocated, 0);
    assert!(appended > WARM + TIMES, "all of them");
}
