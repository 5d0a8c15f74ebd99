//! Reads the feed of chat events: server-sent events from the control API.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Reads the events after an index until `enough` says so.
///
/// The index of an event is its `id:`; it is put into the object as `index`.
///
/// # Panics
/// If there are not enough within `limit`, or an event is not JSON.
pub fn read(
    control: SocketAddr,
    after: u64,
    limit: Duration,
    enough: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    let end = Instant::now() + limit;
    let mut socket = TcpStream::connect(control).expect("the control listener");
    socket.set_read_timeout(Some(limit)).expect("an option");
    let request = format!("GET /v1/events?after={after} HTTP/1.1\r\nhost: {control}\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("sent");
    let mut events = Vec::new();
    let mut index = 0;
    for line in BufReader::new(socket).lines().map_while(Result::ok) {
        if let Some(id) = line.strip_prefix("id:") {
            index = id.trim().parse::<u64>().expect("an index");
        } else if let Some(data) = line.strip_prefix("data:") {
            let mut event: Value = serde_json::from_str(data.trim()).expect("an event in JSON");
            event["index"] = index.into();
            events.push(event);
        }
        if enough(&events) {
            return events;
        }
        assert!(Instant::now() < end, "not enough events: {events:?}");
    }
    panic!("the feed ended with {events:?}");
}
