//! Who comes and then says nothing is sent away: each deadline of the edge against a peer that is silent at
//! just that moment, all of them at once.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use skein_tests::cores::Cores;
use skein_tests::peer::{Closed, Peer, Received};
use skein_tests::quic;
use skein_tests::quic_peer::QuicPeer;
use skein_tests::server::{Options, Server};
use skein_tests::tls;
use skein_tests::websocket;
use skein_wire::error::Code;
use skein_wire::limits::ALPN;

/// What all of them have.
const DEADLINE: Duration = Duration::from_secs(5);

/// Clocks of two processes, and a deadline that began while the peer was still at it.
const EARLY: Duration = Duration::from_millis(300);

/// Deadlines are looked at once a second; the rest is for a busy machine.
const LATE: Duration = Duration::from_secs(5);

/// For an unfinished frame.
const FRAME_DEADLINE: Duration = Duration::from_secs(30);

/// A server with every listener, and a token of a member.
struct Stage {
    server: Server,
    token: String,
}

impl Stage {
    fn start() -> Self {
        let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let certificate = certificate.expect("a certificate");
        let folder = tempfile::tempdir().expect("a directory");
        let files = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        std::fs::write(&files[0], certificate.cert.pem()).expect("written");
        std::fs::write(&files[1], certificate.signing_key.serialize_pem()).expect("written");
        let mut options = Options::new(Cores::Two);
        options.https = true;
        options.configuration = format!("[control]\ncert = {:?}\nkey = {:?}\n", files[0], files[1]);
        let server = Server::start_with(options);
        let token = server.token("ana");
        Self { server, token }
    }
}

/// How the silent one is sent away: the last that it hears.
type Silent = fn(&Stage) -> String;

const SILENT: [(&str, Silent); 11] = [
    ("a TLS handshake", |stage| {
        let https = stage.server.ready.https.expect("it listens there");
        heard(tcp(https))
    }),
    ("a TLS handshake of the control API", |stage| {
        heard(tcp(stage.server.ready.control))
    }),
    ("the head of a request", |stage| {
        let mut socket = tcp(stage.server.ready.http);
        write(&mut socket, "GET /v1/health HTTP/1.1\r\nhost: x\r\n");
        heard(socket)
    }),
    ("the head of a request over TLS", |stage| {
        let mut socket = over_tls(stage.server.ready.https.expect("it listens there"));
        write(&mut socket, "GET /v1/health HTTP/1.1\r\nhost: x\r\n");
        heard(socket)
    }),
    ("the next request of a connection", |stage| {
        let mut socket = tcp(stage.server.ready.http);
        write(&mut socket, "GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n");
        heard(socket)
    }),
    ("the body of a request", |stage| {
        let mut socket = tcp(stage.server.ready.http);
        let head = format!("host: x\r\nauthorization: Bearer {}", stage.token);
        write(
            &mut socket,
            &format!("POST /v1/points HTTP/1.1\r\n{head}\r\ncontent-length: 100\r\n\r\n{{"),
        );
        heard(socket)
    }),
    ("the head of a control request", |stage| {
        let mut socket = over_tls(stage.server.ready.control);
        write(
            &mut socket,
            "GET /v1/events HTTP/1.1\r\nhost: localhost\r\n",
        );
        heard(socket)
    }),
    ("a QUIC handshake", |stage| {
        unfinished_handshake(stage.server.ready.quic)
    }),
    ("`Hello` by WebSocket", |stage| {
        let options = websocket::Options::default();
        let mut socket = websocket::WebSocket::connect(stage.server.ready.http, &options);
        let socket = socket.as_mut().expect("an upgrade");
        match skein_tests::peer::receive(socket, &mut Default::default(), 2 * DEADLINE) {
            Some(Received::Update(update)) => format!("{update:?}"),
            other => format!("{other:?}"),
        }
    }),
    ("`Hello` by QUIC", |stage| {
        closed(QuicPeer::silent(stage.server.ready.quic).expect("a connection"))
    }),
    ("`Hello` by WebTransport", |stage| {
        closed(QuicPeer::silent_web(stage.server.ready.quic).expect("a session"))
    }),
];

#[test]
fn who_says_nothing_is_sent_away_in_time() {
    let stage = &Stage::start();
    thread::scope(|scope| {
        let silent = SILENT.map(|(what, peer)| {
            let began = Instant::now();
            let thread = scope.spawn(move || (peer(stage), began.elapsed()));
            (what, thread)
        });
        let late: Vec<String> = silent
            .into_iter()
            .filter_map(|(what, thread)| fault(what, thread.join()))
            .collect();
        assert!(late.is_empty(), "{late:#?}");
    });
    // Nobody keeps a place, and others are served.
    let mut peer = Peer::connect(stage.server.ready.http, &stage.token);
    peer.send(&[skein_wire::request::Request::Ping(1)]);
}

/// What is wrong with how and when a silent one was sent away, if anything is.
fn fault(what: &str, ended: thread::Result<(String, Duration)>) -> Option<String> {
    let Ok((heard, after)) = ended else {
        return Some(format!("{what}: it was not sent away"));
    };
    println!("{what}: {after:?}: {heard}");
    let expected = match what {
        "the body of a request" => "408",
        "the next request of a connection" => "200",
        it if it.contains("Hello") => "deadline",
        _ => "",
    };
    let in_time = (DEADLINE - EARLY..DEADLINE + LATE).contains(&after);
    let fits = in_time && heard.to_lowercase().contains(expected);
    (!fits).then(|| format!("{what}: {after:?}: {heard}"))
}

#[test]
fn a_frame_that_is_never_whole_ends_its_connection() {
    let server = &Server::start(Cores::One);
    let token = &server.token("ana");
    let by = [QuicPeer::try_connect, QuicPeer::try_connect_web];
    thread::scope(|scope| {
        let threads = by.map(|connect| {
            scope.spawn(move || {
                let mut peer = connect(server.ready.quic, token).expect("a welcome");
                let began = Instant::now();
                // The length of a frame that does not come.
                peer.send_bytes(&[9]);
                (peer_end(&mut peer, FRAME_DEADLINE + LATE), began.elapsed())
            })
        });
        for thread in threads {
            let (end, after) = thread.join().expect("no panic");
            assert_eq!(end.protocol_code(), Some(Code::Deadline), "{end:?}");
            assert!(after > FRAME_DEADLINE - EARLY, "{after:?}: {end:?}");
        }
    });
}

fn tcp(to: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(to).expect("connected");
    let limit = Some(2 * DEADLINE);
    socket.set_read_timeout(limit).expect("an option");
    socket
}

fn over_tls(to: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    let config = tls::any_certificate(b"http/1.1");
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(config, name).expect("a configuration");
    StreamOwned::new(connection, tcp(to))
}

fn write(socket: &mut impl Write, text: &str) {
    socket.write_all(text.as_bytes()).expect("sent");
    socket.flush().expect("sent");
}

/// What comes until the other side ends the connection.
///
/// # Panics
/// If it does not.
fn heard(mut socket: impl Read) -> String {
    let mut all = Vec::new();
    match socket.read_to_end(&mut all) {
        Ok(_) => {}
        // Cut off, within TLS too.
        Err(end)
            if matches!(
                end.kind(),
                ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof
            ) => {}
        Err(open) => panic!("still open: {open}"),
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn closed(mut peer: QuicPeer) -> String {
    format!("{:?}", peer_end(&mut peer, 2 * DEADLINE).protocol_code())
}

fn peer_end(peer: &mut QuicPeer, limit: Duration) -> Closed {
    let end = Instant::now() + limit;
    loop {
        match peer.receive(end.saturating_duration_since(Instant::now())) {
            Some(Received::Closed(closed)) => return closed,
            Some(Received::Update(_)) => {}
            None => panic!("still open after {limit:?}"),
        }
    }
}

/// A client whose handshake does not get beyond its first datagram: how the server ends it.
fn unfinished_handshake(server: SocketAddr) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let way = Way::start(server).expect("sockets");
        let endpoint = quic::endpoint_for(ALPN).expect("a socket");
        let connecting = endpoint.connect(way, "localhost").expect("an address");
        let ended = async {
            match connecting.await {
                Ok(connection) => connection.closed().await,
                Err(error) => error,
            }
        };
        let ended = tokio::time::timeout(2 * DEADLINE, ended).await;
        ended.expect("the server ends it").to_string()
    })
}

/// A way on which all of the server's datagrams pass, and of the client's only the first one; that
/// comes again and again, which proves nothing and lets the server say more.
struct Way;

impl Way {
    const AGAIN: Duration = Duration::from_millis(500);

    /// Where the client sends to. It ends by itself.
    fn start(server: SocketAddr) -> io::Result<SocketAddr> {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
        let back = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
        back.connect(server)?;
        let address = front.local_addr()?;
        let limit = Some(3 * DEADLINE);
        front.set_read_timeout(limit)?;
        back.set_read_timeout(limit)?;
        thread::spawn(move || -> io::Result<()> {
            let mut first = vec![0; 65_536];
            let (len, client) = front.recv_from(&mut first)?;
            let end = Instant::now() + 2 * DEADLINE;
            let (to_client, from_server) = (front.clone(), back.clone());
            thread::spawn(move || -> io::Result<()> {
                let mut bytes = vec![0; 65_536];
                loop {
                    let len = from_server.recv(&mut bytes)?;
                    to_client.send_to(&bytes[..len], client)?;
                }
            });
            while Instant::now() < end {
                back.send(&first[..len])?;
                thread::sleep(Self::AGAIN);
            }
            Ok(())
        });
        Ok(address)
    }
}
