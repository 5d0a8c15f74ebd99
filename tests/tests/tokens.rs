//! Tokens from their first frame to their end: keys of a JWK set, renewal, expiry.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use skein_server::access::signer::TokenSigner;
use skein_tests::cores::Cores;
use skein_tests::fleet::now_ms;
use skein_tests::http::Request as HttpRequest;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::name;
use skein_tests::server::{Options, Server};
use skein_tests::talker::{TRANSPORTS, Talker, Transport};
use skein_tests::wait::{self, PATIENCE};
use skein_tests::webhook;
use skein_wire::error::Code;
use skein_wire::ids::{RequestNumber, UserName};
use skein_wire::request::{Delivery, Request, ShareStart, Token, Watch};
use skein_wire::update::Update;

on_one_and_two_shards!(
    keys_of_a_file_come_and_go,
    keys_are_fetched_when_a_token_needs_them,
    keys_come_by_https_from_whom_the_authority_names,
    a_renewed_token_keeps_the_connection,
    an_expired_token_ends_everything,
    the_rules_of_the_configuration_hold,
);

fn signer(server: &Server, file: &str) -> TokenSigner {
    TokenSigner::open_or_create(&server.scratch().join(file)).expect("a key")
}

fn token_for(signer: &TokenSigner, user: &str, ttl_s: u64) -> String {
    let user = UserName::new(user).expect("a user's name");
    signer.mint(&user, ttl_s, now_ms()).expect("a token")
}

/// The public half of a signer as a JWK.
fn jwk(signer: &TokenSigner) -> Value {
    json!({
        "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
        "kid": signer.kid(), "x": base64url(signer.public()),
    })
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let number = u32::from_be_bytes(group);
        for digit in 0..=chunk.len() {
            let value = number >> (18 - 6 * digit) & 63;
            text.push(char::from(DIGITS[value as usize]));
        }
    }
    text
}

fn set_of(keys: &[&TokenSigner]) -> String {
    let keys: Vec<Value> = keys.iter().map(|signer| jwk(signer)).collect();
    json!({ "keys": keys }).to_string()
}

/// What a token leads to: `Ok`, or the code of the refusal.
fn outcome(server: &Server, transport: Transport, token: &str) -> Code {
    match Talker::try_connect(server, transport, token) {
        Ok(_) => Code::Ok,
        Err(closed) => closed.protocol_code().expect("a code of the protocol"),
    }
}

fn with_access(cores: Cores, lines: &str) -> Options {
    let mut options = Options::new(cores);
    options.configuration = format!("[access]\n{lines}\n");
    options
}

fn keys_of_a_file_come_and_go(cores: Cores) {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("keys.json");
    let write = |text: &str| {
        let new = file.with_extension("new");
        std::fs::write(&new, text).expect("written");
        std::fs::rename(&new, &file).expect("renamed");
    };
    let first = TokenSigner::open_or_create(&place.path().join("a.pem")).expect("a key");
    let second = TokenSigner::open_or_create(&place.path().join("b.pem")).expect("a key");
    let (old, new) = (
        token_for(&first, "ana", 600),
        token_for(&second, "ana", 600),
    );
    write(&set_of(&[&first]));
    let jwks = format!("jwks = \"{}\"", file.display());
    let server = Server::start_with(with_access(cores, &jwks));
    for transport in TRANSPORTS {
        assert_eq!(outcome(&server, transport, &old), Code::Ok);
    }
    assert_ne!(outcome(&server, Transport::WebSocket, &new), Code::Ok);

    write(&set_of(&[&first, &second]));
    wait::until("both keys count", PATIENCE, || {
        TRANSPORTS
            .iter()
            .all(|it| outcome(&server, *it, &new) == Code::Ok)
    });
    assert_eq!(outcome(&server, Transport::Quic, &old), Code::Ok);
    // What cannot be read changes nothing, and says so.
    write("{\"keys\": [");
    wait::until("the refusal is said", PATIENCE, || {
        let said = server.process.stderr.since(0).join("\n");
        said.contains("keys.json") && said.contains("stay as they were")
    });
    assert_eq!(outcome(&server, Transport::WebSocket, &new), Code::Ok);
    assert!(server.metrics().sum("skein_jwks_failures_total") >= 1.0);
    // A withdrawn key lets nobody in any more; the server's own stays.
    write(&set_of(&[&second]));
    wait::until("the old key is gone", PATIENCE, || {
        outcome(&server, Transport::WebSocket, &old) == Code::BadToken
    });
    assert_eq!(outcome(&server, Transport::Quic, &new), Code::Ok);
    let own = server.quick_token("ana");
    assert_eq!(outcome(&server, Transport::Quic, &own), Code::Ok);
}

/// An issuer's web server: answers every request with what it holds now.
struct Issuer {
    address: SocketAddr,
    answer: Arc<Mutex<Option<String>>>,
    asked: Arc<Mutex<usize>>,
}

impl Issuer {
    fn start(answer: Option<String>) -> Self {
        Self::start_with(answer, None)
    }

    /// The same over TLS where there is a configuration.
    fn start_with(answer: Option<String>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let answer = Arc::new(Mutex::new(answer));
        let asked = Arc::new(Mutex::new(0));
        let (held, count) = (answer.clone(), asked.clone());
        // Ends with the process: it waits in `accept` for ever.
        thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(socket) = socket else { continue };
                match &tls {
                    None => serve(socket, &held, &count),
                    Some(config) => {
                        let connection = ServerConnection::new(config.clone());
                        let connection = connection.expect("a sound configuration");
                        serve(StreamOwned::new(connection, socket), &held, &count);
                    }
                }
            }
        });
        Self {
            address,
            answer,
            asked,
        }
    }

    fn set(&self, answer: Option<String>) {
        *self.answer.lock().expect("no panic inside") = answer;
    }

    fn asked(&self) -> usize {
        *self.asked.lock().expect("no panic inside")
    }
}

/// Answers one request, if one comes: a handshake that fails brings none.
fn serve(mut socket: impl Read + Write, held: &Mutex<Option<String>>, count: &Mutex<usize>) {
    let mut head = [0; 4096];
    if socket.read(&mut head).unwrap_or(0) == 0 {
        return;
    }
    *count.lock().expect("no panic inside") += 1;
    let text = match &*held.lock().expect("no panic inside") {
        Some(body) => format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ),
        None => "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
    };
    let _ = socket.write_all(text.as_bytes());
    let _ = socket.flush();
}

fn keys_come_by_https_from_whom_the_authority_names(cores: Cores) {
    // Another server's certificate is as good as any for 127.0.0.1.
    let donor = Server::start(Cores::One);
    let keys = donor.data_dir().join("keys");
    let read = |name: &str| std::fs::read(keys.join(name)).expect(name);
    let tls = webhook::tls(&read("cert.pem"), &read("key.pem"));
    let key = signer(&donor, "issuer.pem");
    let token = token_for(&key, "ana", 600);
    let issuer = Issuer::start_with(Some(set_of(&[&key])), Some(tls));
    let jwks = format!("jwks = \"https://{}/jwks\"", issuer.address);

    let trusting = format!("{jwks}\njwks_ca = {:?}", keys.join("cert.pem"));
    let server = Server::start_with(with_access(cores, &trusting));
    for transport in TRANSPORTS {
        wait::until("the issuer's key counts", PATIENCE, || {
            outcome(&server, transport, &token) == Code::Ok
        });
    }
    // Whoever cannot prove to be the issuer is not asked, and none of its keys counts.
    let asked = issuer.asked();
    let server = Server::start_with(with_access(cores, &jwks));
    wait::until("it fails", PATIENCE, || {
        assert_ne!(outcome(&server, Transport::Quic, &token), Code::Ok);
        server.metrics().sum("skein_jwks_failures_total") >= 1.0
    });
    assert_ne!(outcome(&server, Transport::WebSocket, &token), Code::Ok);
    assert_eq!(issuer.asked(), asked);
}

fn keys_are_fetched_when_a_token_needs_them(cores: Cores) {
    let issuer = Issuer::start(None);
    // An hour: what happens within the test, tokens asked for.
    let lines = format!(
        "jwks = \"http://{}/jwks\"\njwks_interval = \"1h\"",
        issuer.address
    );
    let server = Server::start_with(with_access(cores, &lines));
    let first = signer(&server, "a.pem");
    let token = token_for(&first, "ana", 600);
    wait::until(
        "a server comes up without its issuer, and says so",
        PATIENCE,
        || server.process.stderr.text().contains("it answered 500"),
    );
    issuer.set(Some(set_of(&[&first])));
    // A failed fetch is tried again, or the token asks for it.
    wait::until("the issuer's key counts", PATIENCE, || {
        outcome(&server, Transport::WebSocket, &token) == Code::Ok
    });
    // A new key, unknown until its first token asks; then nobody waits for the hour.
    let second = signer(&server, "b.pem");
    issuer.set(Some(set_of(&[&first, &second])));
    let token = token_for(&second, "ana", 600);
    let mut codes = Vec::new();
    wait::until("the new key counts", PATIENCE, || {
        codes.push(outcome(&server, Transport::Quic, &token));
        codes.last() == Some(&Code::Ok)
    });
    let refusals: Vec<&Code> = codes.iter().filter(|code| **code != Code::Ok).collect();
    let known = [Code::Busy, Code::BadToken];
    assert!(
        refusals.iter().all(|code| known.contains(code)),
        "{refusals:?}"
    );
    // Strangers with keys that nobody knows do not drive the issuer.
    let before = issuer.asked();
    let stranger = token_for(&signer(&server, "c.pem"), "mallory", 600);
    for _ in 0..50 {
        assert_ne!(outcome(&server, Transport::WebSocket, &stranger), Code::Ok);
    }
    assert!(
        issuer.asked() - before <= 2,
        "{} fetches",
        issuer.asked() - before
    );
    // A fetch that fails leaves the keys as they were.
    issuer.set(None);
    assert_eq!(outcome(&server, Transport::Quic, &token), Code::Ok);
}

fn watch(talker: &mut Talker, request: u32, chat: &str) -> Result<(), Code> {
    let request = RequestNumber(request);
    talker.send(Request::Watch(Watch {
        request,
        chat: name(chat),
        session: None,
        view: None,
        cursor: None,
        delivery: Delivery::Latest,
        trail: 0,
        interval_ms: 0,
    }));
    talker.expect("an answer to a watch", |update| match update {
        Update::Watching(watching) if watching.request == request => Some(Ok(())),
        Update::Refused(refused) if refused.request == request => Some(Err(refused.code)),
        _ => None,
    })
}

fn share(talker: &mut Talker, request: u32, chat: &str) {
    let request = RequestNumber(request);
    talker.send(Request::ShareStart(ShareStart {
        request,
        chat: name(chat),
        duration_s: 600,
        idempotency_key: String::new(),
        sealed: false,
    }));
    talker.expect("a session", |update| match update {
        Update::Shared(shared) if shared.request == request => Some(()),
        Update::Refused(refused) => panic!("{refused:?}"),
        _ => None,
    });
}

/// A clock that differs by nothing, so that seconds are seconds.
const NO_SKEW: &str = "clock_skew = \"0s\"";

fn own_signer(server: &Server) -> TokenSigner {
    let path = server.data_dir().join("keys").join("token.pem");
    TokenSigner::open(Path::new(&path)).expect("the server's own key")
}

fn a_renewed_token_keeps_the_connection(cores: Cores) {
    let server = Server::start_with(with_access(cores, NO_SKEW));
    server.add_member("hike", "ana");
    let own = own_signer(&server);
    for transport in TRANSPORTS {
        let mut talker = Talker::connect(&server, transport, &token_for(&own, "ana", 3));
        watch(&mut talker, 1, "hike").expect("a member");
        // A refused one leaves the old token in place.
        for (bad, code) in [
            ("noise".to_owned(), Code::BadToken),
            (
                token_for(&signer(&server, "x.pem"), "ana", 60),
                Code::BadToken,
            ),
            (token_for(&own, "ana", 0), Code::TokenExpired),
        ] {
            talker.send(Request::Auth(Token(bad)));
            let refused = talker.expect("a refusal", |update| match update {
                Update::Refused(refused) => Some((refused.request, refused.code)),
                _ => None,
            });
            assert_eq!(refused, (RequestNumber(0), code), "{transport:?}");
        }
        talker.send(Request::Auth(Token(token_for(&own, "ana", 600))));
        let renewed = talker.expect("a renewal", |update| match update {
            Update::Done(done) => Some(done.request),
            _ => None,
        });
        assert_eq!(renewed, RequestNumber(0));
        thread::sleep(Duration::from_secs(4));
        watch(&mut talker, 2, "hike").expect("beyond the first token's end");
        // Another user's token is none of this connection's.
        talker.send(Request::Auth(Token(token_for(&own, "ben", 600))));
        let closed = talker.expect_close(PATIENCE);
        assert_eq!(
            closed.protocol_code(),
            Some(Code::BadToken),
            "{transport:?}"
        );
    }
}

fn an_expired_token_ends_everything(cores: Cores) {
    let server = Server::start_with(with_access(cores, NO_SKEW));
    server.add_member("hike", "ana");
    server.add_member("hike", "eve");
    let own = own_signer(&server);
    let mut talkers: Vec<(Transport, Talker)> = Vec::new();
    let token = token_for(&own, "ana", 4);
    for transport in TRANSPORTS {
        let mut talker = Talker::connect(&server, transport, &token);
        watch(&mut talker, 1, "hike").expect("a member");
        share(&mut talker, 2, "hike");
        talkers.push((transport, talker));
    }
    for (transport, mut talker) in talkers {
        let closed = talker.expect_close(Duration::from_secs(8));
        assert_eq!(
            closed.protocol_code(),
            Some(Code::TokenExpired),
            "{transport:?}"
        );
        assert_eq!(outcome(&server, transport, &token), Code::TokenExpired);
    }
    let answer = HttpRequest::new("GET", "/v1/chats/hike/positions")
        .token(&token)
        .send(server.ready.http);
    assert_eq!(answer.json()["code"], "token_expired", "{answer:?}");
    // The sessions are the user's and go on until their own end: a new token finds them.
    let sessions = server.sessions("hike", "eve");
    assert_eq!(
        sessions["sessions"].as_array().map(Vec::len),
        Some(TRANSPORTS.len()),
        "{sessions}"
    );
    wait::until("no watch outlives its token", PATIENCE, || {
        server.metrics().sum("skein_viewers") == 0.0
    });
}

fn the_rules_of_the_configuration_hold(cores: Cores) {
    let lines = "audience = \"maps\"\nissuer = \"https://id.example\"";
    let server = Server::start_with(with_access(cores, lines));
    let place = server.data_dir().display().to_string();
    let made = |arguments: &[&str]| {
        let mut all = vec!["token", "--user", "ana", "--data-dir", &place];
        all.extend_from_slice(arguments);
        let ended = skein_tests::process::run(all).expect_success("skein token");
        ended.stdout.trim().to_owned()
    };
    let good = made(&["--audience", "maps", "--issuer", "https://id.example"]);
    for transport in TRANSPORTS {
        assert_eq!(outcome(&server, transport, &good), Code::Ok);
        for arguments in [
            &[] as &[&str],
            &["--audience", "maps"],
            &["--issuer", "https://id.example"],
            &["--audience", "maps", "--issuer", "https://id.example.org"],
        ] {
            let token = made(arguments);
            assert_eq!(
                outcome(&server, transport, &token),
                Code::BadToken,
                "{arguments:?}"
            );
        }
    }
}
