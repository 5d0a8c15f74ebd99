//! Reads the feed of chat events: server-sent events from the control API.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// An open stream of events.
pub struct Events {
    lines: Lines<BufReader<TcpStream>>,
    patience: Duration,
}

impl Events {
    /// Opens one behind an event, by its id or index. Each event is waited for `patience`.
    ///
    /// # Panics
    /// If there is nobody to ask.
    pub fn open(control: SocketAddr, after: &str, patience: Duration) -> Self {
        Self::request(control, &format!("?after={after}"), "", patience)
    }

    /// The same by the header that browsers send when they reconnect.
    ///
    /// # Panics
    /// If there is nobody to ask.
    pub fn reopen(control: SocketAddr, last_id: &str, patience: Duration) -> Self {
        let header = format!("last-event-id: {last_id}\r\n");
        // What the first request of a page said stands in its address for ever.
        Self::request(control, "?after=0", &header, patience)
    }

    fn request(control: SocketAddr, query: &str, headers: &str, patience: Duration) -> Self {
        let mut socket = TcpStream::connect(control).expect("the control listener");
        socket.set_read_timeout(Some(patience)).expect("an option");
        let request = format!("GET /v1/events{query} HTTP/1.1\r\nhost: {control}\r\n{headers}\r\n");
        socket.write_all(request.as_bytes()).expect("sent");
        Self {
            lines: BufReader::new(socket).lines(),
            patience,
        }
    }
}

/// Ends when the connection does, or when nothing has come for too long. Each event must have the id of its object as `id:`, and its type
/// as `event:`.
impl Iterator for Events {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        let (mut id, mut kind) = (String::new(), String::new());
        let end = Instant::now() + self.patience;
        // Comments keep the connection alive, and come for ever.
        while Instant::now() < end {
            let line = self.lines.next()?.ok()?;
            if let Some(text) = line.strip_prefix("id:") {
                text.trim().clone_into(&mut id);
            } else if let Some(text) = line.strip_prefix("event:") {
                text.trim().clone_into(&mut kind);
            } else if let Some(data) = line.strip_prefix("data:") {
                // A connection that breaks off may do so within a line.
                let event: Value = serde_json::from_str(data.trim()).ok()?;
                assert_eq!(event["id"], id.as_str(), "{event}");
                assert_eq!(event["type"], kind.as_str(), "{event}");
                return Some(event);
            }
        }
        None
    }
}

/// Reads the events after an index until `enough` says so.
///
/// # Panics
/// If there are not enough within `limit`.
pub fn read(
    control: SocketAddr,
    after: u64,
    limit: Duration,
    enough: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    let end = Instant::now() + limit;
    let mut events = Vec::new();
    for event in Events::open(control, &after.to_string(), limit) {
        events.push(event);
        if enough(&events) {
            return events;
        }
        assert!(Instant::now() < end, "not enough events: {events:?}");
    }
    panic!("the feed ended with {events:?}");
}
