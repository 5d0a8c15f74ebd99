//! A server that may hold few descriptors, all of which clients would take: it turns away who comes beyond,
//! and keeps enough for files of its own. The log goes on, and who runs the server is heard.

use std::io::{Read, Write};
use std::net::TcpStream;

use skein_tests::cores::Cores;
use skein_tests::fleet::point_at;
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};
use skein_tests::websocket::Options as SocketOptions;

on_one_and_two_shards!(clients_leave_descriptors_to_the_log);

/// Descriptors of the process.
const DESCRIPTORS: usize = 512;

/// Clients that find no room before the test goes on.
const TURNED_AWAY: usize = 8;

/// Chats that get their first session when clients hold what they can: nearly as many partitions get their
/// first file.
const CHATS: usize = 24;

fn clients_leave_descriptors_to_the_log(cores: Cores) {
    let server = Server::start_with(Options {
        wrapper: [
            "sh",
            "-c",
            &format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\""),
        ]
        .map(str::to_owned)
        .into(),
        ..Options::new(cores)
    });
    let chats: Vec<String> = (0..CHATS).map(|number| format!("chat-{number}")).collect();
    for chat in &chats {
        let added = server.put_member(chat, "ana", &["share", "watch"]);
        added.expect_success("a member");
    }
    let mut ana = Peer::connect(server.ready.http, &server.quick_token("ana"));
    let token = server.quick_token("crowd");
    let mut crowd = Vec::new();
    let mut turned_away = 0;
    while turned_away < TURNED_AWAY {
        match Peer::try_connect(server.ready.http, &token, &SocketOptions::default()) {
            Ok(peer) => crowd.push(peer),
            Err(_) => turned_away += 1,
        }
        assert!(crowd.len() < DESCRIPTORS, "more than there are");
    }
    eprintln!("---- {} clients of {DESCRIPTORS} descriptors", crowd.len());
    assert!(crowd.len() > DESCRIPTORS / 2, "{}", crowd.len());

    for (number, chat) in chats.iter().enumerate() {
        let shared = ana.share(chat, 600, &format!("share-{number}"));
        // It is acknowledged when it is in a file.
        ana.durable_point(shared.share, point_at(0, 1));
    }
    assert_eq!(server.metrics().sum("skein_log_degraded"), 0.0);
    hears_when_to_come_again(&server);
    // A shard that has nothing to do tells its figures later.
    wait::until("those who were turned away are counted", PATIENCE, || {
        server.metrics().sum("skein_connections_shed_total") >= TURNED_AWAY as f64
    });
    drop(crowd);
    wait::until("there is room again", PATIENCE, || {
        Peer::try_connect(server.ready.http, &token, &SocketOptions::default()).is_ok()
    });
}

/// Whoever asks by HTTP is told that the server is full, and not that it is gone.
fn hears_when_to_come_again(server: &Server) {
    let mut said = String::new();
    wait::until("who finds no room is answered", PATIENCE, || {
        said.clear();
        let asked = TcpStream::connect(server.ready.http).and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            // Whole only if the server takes what it does not look at.
            let request = format!("GET /v1/ws HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(2_000));
            stream.write_all(request.as_bytes())?;
            stream.read_to_string(&mut said)
        });
        asked.is_ok() && !said.is_empty()
    });
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    let after = said
        .lines()
        .find_map(|line| line.strip_prefix("retry-after: "));
    let after: u64 = after.expect("when to come again").parse().expect("seconds");
    assert!((1..=8).contains(&after), "{said}");
    assert!(said.contains(r#""code":"busy""#), "{said}");
}
