//! Requests that are no WebSocket, or a wrong one.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::harness::{PATIENCE, TestEdge};
use crate::websocket_client::{UPGRADE, read_head};

fn ask(edge: &TestEdge, request: &str) -> String {
    let mut stream = TcpStream::connect(edge.http()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = read_head(&mut stream);
    let length = answer
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    answer.push_str(std::str::from_utf8(&body).unwrap());
    answer
}

#[test]
fn other_requests_go_to_the_http_service() {
    let edge = TestEdge::start();
    let answer = ask(&edge, "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("GET /v1/health"), "{answer}");
    assert_eq!(edge.with(|edge| edge.stats().http_requests), 1);
}

#[test]
fn a_wrong_upgrade_says_what_is_missing() {
    let edge = TestEdge::start();
    for (change, status, hint) in [
        (("Upgrade: websocket\r\n", ""), "426", "ask for an upgrade"),
        (("skein.v1", "chat.v9"), "400", "skein.v1"),
        (
            ("Host: localhost", "Host: a\r\nOrigin: https://b"),
            "403",
            "origin",
        ),
    ] {
        let answer = ask(&edge, &UPGRADE.replace(change.0, change.1));
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert!(answer.contains(r#""code":"transport""#), "{answer}");
        assert!(answer.contains(hint), "{answer}");
    }
}

#[test]
fn an_endless_header_is_cut() {
    let edge = TestEdge::start();
    let endless = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(20_000));
    let mut stream = TcpStream::connect(edge.http()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The server may close before it has read all of it.
    let _ = stream.write_all(endless.as_bytes());
    let answer = read_head(&mut stream);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
}
