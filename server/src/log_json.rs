//! One record of a log as one JSON object, the same in `skein log` and over HTTP.

use serde_json::{Value, json};
use skein_engine::journal::Entry;
use skein_log::RecordRef;
use skein_wire::ids::SessionId;
use skein_wire::point::{Payload, Point};

use crate::control::record::{ControlRecord, decode};
use crate::raw_record::raw;

/// Where a record lies.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its partition.
    pub partition: u16,
    /// Its offset.
    pub offset: u64,
    /// When it was appended, server time in milliseconds since 1970.
    pub time_ms: u64,
}

/// A record of the event log. Without `show_positions` points have no coordinates.
pub fn event(place: Place, record: &RecordRef<'_>, show_positions: bool) -> Value {
    let (kind, details) = match Entry::decode(&raw(record)) {
        Ok(entry) => entry_json(&entry, show_positions),
        Err(error) => ("unknown", json!({ "problem": error.to_string() })),
    };
    line(place, kind, json!({ "chat_handle": record.key }), details)
}

/// Records from `from` to before `next` are not there: retention has dropped them, or the disk had
/// failed, as a `Gap` of the log says. What is `damaged` should be there and cannot be read.
pub fn missing(partition: u16, from: u64, next: u64, damaged: bool) -> Value {
    let kind = if damaged { "damaged" } else { "gap" };
    json!({ "partition": partition, "kind": kind, "from": from, "next": next })
}

/// A record of the control log.
pub fn control(place: Place, record: &RecordRef<'_>) -> Value {
    let (kind, details) = match decode(record) {
        Ok(ControlRecord::Command(command)) => {
            let mut command = json!(command);
            name_sessions(&mut command);
            ("command", json!({ "command": command }))
        }
        Ok(ControlRecord::Void { first, last }) => {
            ("void", json!({ "first": first, "last": last }))
        }
        Ok(ControlRecord::Begin { number, header }) => (
            "checkpoint_begin",
            json!({
                "number": number,
                "chunks": header.chunks,
                "bytes": header.bytes,
                "applied_index": header.applied_index,
            }),
        ),
        Ok(ControlRecord::Chunk {
            number,
            index,
            bytes,
        }) => (
            "checkpoint_chunk",
            json!({ "number": number, "chunk": index, "bytes": bytes.len() }),
        ),
        Ok(ControlRecord::End { number }) => ("checkpoint_end", json!({ "number": number })),
        Err(error) => ("unknown", json!({ "problem": error.to_string() })),
    };
    line(place, kind, json!({}), details)
}

/// Writes session ids as everywhere else: 16 hexadecimal digits, where numbers lose digits in
/// many readers of JSON.
fn name_sessions(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_u64() {
                    Some(id) if name == "session" => *field = SessionId(id).to_string().into(),
                    _ => name_sessions(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(name_sessions),
        _ => {}
    }
}

fn line(place: Place, kind: &str, prefix: Value, details: Value) -> Value {
    let mut line = json!({
        "partition": place.partition,
        "offset": place.offset,
        "time_ms": place.time_ms,
        "kind": kind,
    });
    if let Value::Object(line) = &mut line {
        for part in [prefix, details] {
            if let Value::Object(part) = part {
                line.extend(part);
            }
        }
    }
    line
}

fn entry_json(entry: &Entry, show_positions: bool) -> (&'static str, Value) {
    match entry {
        Entry::Point { session, point } => (
            "point",
            point_json(&session.to_string(), point, show_positions),
        ),
        Entry::HistoricalPoint { session, point } => (
            "historical_point",
            point_json(&session.to_string(), point, show_positions),
        ),
        Entry::Heartbeat { session } => ("heartbeat", json!({ "session": session.to_string() })),
        Entry::State {
            session,
            state,
            at_ms,
        } => (
            "state",
            json!({ "session": session.to_string(), "state": state.name(), "at": at_ms }),
        ),
        Entry::Started { session, started } => (
            "started",
            json!({
                "session": session.to_string(),
                "slot": started.slot.0,
                "user": started.user.as_str(),
                "started_at": started.started_at_ms,
                "expires_at": started.expires_at_ms,
                "sealed": started.sealed,
            }),
        ),
        Entry::Extended {
            session,
            expires_at_ms,
        } => (
            "extended",
            json!({ "session": session.to_string(), "expires_at": expires_at_ms }),
        ),
        Entry::Ended {
            session,
            state,
            at_ms,
        } => (
            "ended",
            json!({ "session": session.to_string(), "why": state.name(), "at": at_ms }),
        ),
        Entry::MemberPut { user, rights } => (
            "member_put",
            json!({ "user": user.as_str(), "rights": rights }),
        ),
        Entry::MemberRemoved { user } => ("member_removed", json!({ "user": user.as_str() })),
        Entry::Crossed { session, crossed } => {
            let other = crossed.other.as_ref();
            (
                "crossed",
                json!({
                    "session": session.to_string(),
                    "user": crossed.user.as_str(),
                    "what": crossed.kind.name(),
                    "name": crossed.name.as_str(),
                    "owner": crossed.owner.as_ref().map(|owner| owner.as_str()),
                    "other_session": other.map(|(session, _)| session.to_string()),
                    "other_user": other.map(|(_, user)| user.as_str()),
                    "at": crossed.at_ms,
                }),
            )
        }
        Entry::CheckpointBegin { number } => ("checkpoint_begin", json!({ "number": number })),
        Entry::CheckpointChat { horizon, as_of } => (
            "checkpoint_chat",
            json!({ "horizon": horizon, "as_of": as_of }),
        ),
        Entry::CheckpointRow { session, row } => (
            "checkpoint_row",
            json!({
                "session": session.to_string(),
                "user": row.started.user.as_str(),
                "state": row.state.name(),
                "expires_at": row.started.expires_at_ms,
                "points_total": row.points_total,
            }),
        ),
        Entry::CheckpointMember { user, rights } => (
            "checkpoint_member",
            json!({ "user": user.as_str(), "rights": rights }),
        ),
        Entry::CheckpointEnd { number } => ("checkpoint_end", json!({ "number": number })),
    }
}

fn point_json(session: &str, point: &Point, show_positions: bool) -> Value {
    let mut json = json!({
        "session": session,
        "counter": point.counter.0,
        "captured_at": point.captured_at_ms,
    });
    match &point.payload {
        Payload::Sealed(blob) => json["sealed_bytes"] = blob.len().into(),
        Payload::Fix(fix) if show_positions => {
            json["lat"] = fix.position.lat().into();
            json["lon"] = fix.position.lon().into();
        }
        Payload::Fix(_) => {}
    }
    json
}

#[cfg(test)]
mod tests {
    use skein_engine::journal::Entry;
    use skein_wire::ids::{Counter, SessionId};
    use skein_wire::point::{Fix, Payload, Point, Position};

    use crate::log_json::{entry_json, name_sessions};

    #[test]
    fn sessions_are_named_as_everywhere_else() {
        let mut command = serde_json::json!({ "EndSession": { "session": 255, "at_ms": 255 } });
        name_sessions(&mut command);
        assert_eq!(command["EndSession"]["session"], "00000000000000ff");
        assert_eq!(command["EndSession"]["at_ms"], 255);
    }

    #[test]
    fn coordinates_stay_out_unless_asked_for() {
        let position = Position::from_degrees(45.281, 13.713).unwrap();
        let fix = Fix {
            position,
            ..Fix::default()
        };
        let point = Point {
            counter: Counter(1),
            captured_at_ms: 2,
            payload: Payload::Fix(fix),
        };
        let entry = Entry::Point {
            session: SessionId(1),
            point,
        };
        let (_, hidden) = entry_json(&entry, false);
        assert!(!hidden.to_string().contains("45.28"), "{hidden}");
        let (_, shown) = entry_json(&entry, true);
        assert_eq!(shown["lat"], 45.281);
    }
}
