//! Too often, over all connections, transports and cores: an address and a user are held back, are told
//! when to come back, and nobody else notices.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use skein_tests::cores::Cores;
use skein_tests::http::Request as HttpRequest;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer;
use skein_tests::server::{Options, Server};
use skein_tests::talker::{TRANSPORTS, Talker, Transport};
use skein_tests::wait::{self, PATIENCE};
use skein_wire::error::Code;
use skein_wire::ids::RequestNumber;
use skein_wire::request::{Delivery, Request, Token};
use skein_wire::update::Update;
use socket2::{Domain, Socket, Type};

on_one_and_two_shards!(
    an_address_that_comes_too_often_is_held_back,
    a_quic_address_is_held_back_once_it_is_proved,
    a_user_is_held_back_over_all_connections,
    tokens_on_one_connection_have_a_rate,
);

fn limited(cores: Cores, lines: &str) -> Server {
    let mut options = Options::new(cores);
    options.configuration = format!("[limits]\n{lines}\n");
    Server::start_with(options)
}

/// What is answered to a request from this address; `None` when the connection is cut.
fn ask_from(from: IpAddr, to: SocketAddr, head: &str) -> Option<String> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::new(from, 0).into())
        .expect("an address of this machine");
    socket.connect(&to.into()).expect("connected");
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
    socket.write_all(head.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
}

const HEALTH: &str = "GET /v1/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
const BUSY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
const CALM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 3));

/// Tokens that a connection may bring at once.
const TOKENS: usize = 8;

fn tokens_on_one_connection_have_a_rate(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("hike", "ana");
    for transport in TRANSPORTS {
        let mut talker = Talker::connect(&server, transport, &server.quick_token("ana"));
        for _ in 0..4 * TOKENS {
            talker.send(Request::Auth(Token("noise".to_owned())));
        }
        let codes: Vec<_> = (0..4 * TOKENS)
            .map(|_| {
                talker.expect("a refusal", |update| match update {
                    Update::Refused(refused) => Some(refused.code),
                    _ => None,
                })
            })
            .collect();
        let looked_at = codes.iter().filter(|&&code| code == Code::BadToken).count();
        // One more for each second that this has taken.
        assert!(
            (TOKENS..3 * TOKENS).contains(&looked_at),
            "{transport:?}: {codes:?}"
        );
        assert_eq!(codes[TOKENS], Code::RateLimited, "{transport:?}: {codes:?}");
        // The connection goes on with the token that it has.
        talker.send(Request::Ping(7));
        talker.expect("a pong", |update| {
            matches!(update, Update::Pong(_)).then_some(())
        });
    }
}

/// A connection and the request on it: two of the address's.
const COST: u32 = 2;
const BURST: u32 = 21;

fn an_address_that_comes_too_often_is_held_back(cores: Cores) {
    let lines =
        "address_exempt = []\naddress_requests_per_second_max = 1\naddress_requests_burst_max = 21";
    let server = limited(cores, lines);
    let to = server.ready.http;
    let answers: Vec<_> = (0..BURST).map(|_| ask_from(BUSY, to, HEALTH)).collect();
    let is_ok = |answer: &Option<String>| answer.as_ref().is_some_and(|it| it.contains(" 200 "));
    let served = answers.iter().filter(|it| is_ok(it)).count() as u32;
    assert!(
        (BURST / COST..BURST / COST + 3).contains(&served),
        "{served} were served"
    );
    // The last of the burst opened a connection, and the request on it was one too many.
    let told = answers.iter().flatten().find(|it| it.contains(" 429 "));
    let told = told.expect("one is told").to_ascii_lowercase();
    assert!(
        told.contains("retry-after: ") && told.contains("rate_limited"),
        "{told}"
    );
    assert!(told.contains("of this address; try again in"), "{told}");
    assert!(answers.last().expect("some").is_none(), "the rest is cut");
    // A WebSocket is a request as any other, and others are not concerned.
    assert!(is_ok(&ask_from(CALM, to, HEALTH)));
    let refused = server.metrics().sum("skein_address_rate_refused_total");
    assert!(refused >= f64::from(BURST - served), "{refused}");
    // It passes.
    wait::until("the address may come again", PATIENCE, || {
        std::thread::sleep(Duration::from_secs(3));
        is_ok(&ask_from(BUSY, to, HEALTH))
    });
}

fn a_quic_address_is_held_back_once_it_is_proved(cores: Cores) {
    let lines =
        "address_exempt = []\naddress_requests_per_second_max = 1\naddress_requests_burst_max = 8";
    let server = limited(cores, lines);
    let token = server.token("ana");
    let mut kept = Vec::new();
    let refused =
        (0..30).find_map(
            |_| match Talker::try_connect(&server, Transport::Quic, &token) {
                Ok(talker) => {
                    kept.push(talker);
                    None
                }
                Err(closed) => Some(closed),
            },
        );
    assert!(refused.is_some(), "{} connections", kept.len());
    assert!((8..=14).contains(&kept.len()), "{} connections", kept.len());
    // Who is connected goes on.
    let ping = Request::Ping(9);
    for talker in &mut kept {
        talker.send(ping.clone());
        talker.expect("a pong", |update| {
            matches!(update, Update::Pong(_)).then_some(())
        });
    }
    wait::until("the address may come again", PATIENCE, || {
        std::thread::sleep(Duration::from_secs(2));
        Talker::try_connect(&server, Transport::Quic, &token).is_ok()
    });
}

/// What becomes of a watch: `Ok`, or the code and text of the refusal.
fn outcome(talker: &mut Talker, number: u32) -> Result<(), (Code, String)> {
    talker.send(peer::watch(
        RequestNumber(number),
        "hike",
        None,
        Delivery::Latest,
    ));
    talker.expect("an answer", |update| match update {
        Update::Watching(watching) if watching.request.0 == number => Some(Ok(())),
        Update::Refused(refused) if refused.request.0 == number => {
            Some(Err((refused.code, refused.text.clone())))
        }
        _ => None,
    })
}

fn a_user_is_held_back_over_all_connections(cores: Cores) {
    let lines = "user_requests_per_second_max = 2\nuser_requests_burst_max = 12";
    let server = limited(cores, lines);
    for user in ["ana", "ben"] {
        server.add_member("hike", user);
    }
    let (ana, ben) = (server.token("ana"), server.token("ben"));
    let mut lines: Vec<Talker> = (0..4)
        .flat_map(|_| TRANSPORTS)
        .map(|transport| Talker::connect(&server, transport, &ana))
        .collect();
    let began = Instant::now();
    let (mut taken, mut refused) = (0, Vec::new());
    for number in 1..=5 {
        for line in &mut lines {
            match outcome(line, number) {
                Ok(()) => taken += 1,
                Err(why) => refused.push(why),
            }
        }
    }
    // Not one of the lines has used up what a connection may ask.
    let earned = 2 * (began.elapsed().as_secs() as usize + 1);
    assert!((12..=12 + earned).contains(&taken), "{taken} were taken");
    assert_eq!(taken + refused.len(), 5 * lines.len());
    for (code, text) in &refused {
        assert_eq!(*code, Code::RateLimited, "{text}");
        assert!(text.contains("of this user; try again in"), "{text}");
    }
    // By HTTP it is the same user.
    let sessions = |token: &str| {
        HttpRequest::new("GET", "/v1/chats/hike/sessions")
            .token(token)
            .send(server.ready.http)
    };
    let answers: Vec<_> = (0..3).map(|_| sessions(&ana)).collect();
    let told = answers.iter().find(|answer| answer.status == 429);
    let told = told.expect("one is refused");
    assert_eq!(told.json()["code"], "rate_limited", "{told:?}");
    // Another user is not concerned, and it passes.
    assert_eq!(sessions(&ben).status, 200);
    for transport in TRANSPORTS {
        let mut line = Talker::connect(&server, transport, &ben);
        assert_eq!(outcome(&mut line, 1), Ok(()));
    }
    assert!(server.metrics().sum("skein_user_rate_refused_total") >= refused.len() as f64);
    wait::until("ana may ask again", PATIENCE, || {
        sessions(&ana).status == 200
    });
}
