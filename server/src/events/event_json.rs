//! Chat events as JSON: a committed command, said in the words of a chat service.

use std::fmt;

use serde_json::{Value, json};
use skein_engine::command::{Command, RIGHTS_REVOKED};
use skein_engine::geofence::ledger::CrossingRecord;
use skein_wire::ids::SessionId;
use skein_wire::update::{CrossingKind, SessionState};

use crate::control::event_place::EventPlace;
use crate::control::feed::{EventFeed, FeedItem};
use crate::events::member_json::member_json;

/// One event.
#[derive(Clone, Debug)]
pub struct EventJson {
    kind: &'static str,
    value: Value,
}

impl EventJson {
    /// The event of what a feed gave; some commands are nobody's business.
    pub fn new(feed: &EventFeed, item: &FeedItem) -> Option<Self> {
        match item {
            FeedItem::Resync { first_index } => Some(resync(feed, *first_index)),
            FeedItem::Command {
                index,
                command,
                time_ms,
            } => Self::of_command(feed.place(*index), *time_ms, command),
        }
    }

    fn of_command(place: EventPlace, time_ms: u64, command: &Command) -> Option<Self> {
        let (kind, details) = describe(command)?;
        let mut value = json!({
            "id": place.to_string(),
            "index": place.index,
            "type": kind,
            "chat": command.chat(),
            "at": time_ms,
        });
        if let (Value::Object(all), Value::Object(details)) = (&mut value, details) {
            all.extend(details.into_iter().filter(|(_, value)| !value.is_null()));
        }
        Some(Self { kind, value })
    }

    /// `started`, `extended`, `stopped`, `expired`, `revoked`, `member_put`, `members_put`, `member_removed`,
    /// `guest_put`, `guest_removed`, `chat_put`, `geofence_put`, `geofence_removed`, `alert_put`,
    /// `alert_removed`, `enter`, `exit`, `near`, `far` or `resync`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The event as an object.
    pub fn value(&self) -> &Value {
        &self.value
    }
}

impl fmt::Display for EventJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// The place behind an item: who has it goes on from there.
pub fn place_of(feed: &EventFeed, item: &FeedItem) -> EventPlace {
    match item {
        FeedItem::Resync { first_index } => feed.place(first_index - 1),
        FeedItem::Command { index, .. } => feed.place(*index),
    }
}

/// "Events before this index are no longer kept; read the lists again."
fn resync(feed: &EventFeed, first_index: u64) -> EventJson {
    let place = feed.place(first_index - 1);
    EventJson {
        kind: "resync",
        value: json!({ "id": place.to_string(), "type": "resync", "first_index": first_index }),
    }
}

fn describe(command: &Command) -> Option<(&'static str, Value)> {
    let id = |session: &u64| SessionId(*session).to_string();
    // What older versions wrote does not say whose session it was.
    let name = |user: &String| (!user.is_empty()).then(|| user.clone());
    Some(match command {
        Command::PutMember {
            user,
            rights: RIGHTS_REVOKED,
            ..
        } => ("member_removed", json!({ "user": user })),
        Command::PutMember { user, rights, .. } => ("member_put", member_json(user, *rights)),
        Command::RemoveMember { user, .. } => ("member_removed", json!({ "user": user })),
        Command::StartSession {
            session,
            user,
            started_at_ms,
            expires_at_ms,
            ..
        } => (
            "started",
            json!({
                "session": id(session),
                "user": user,
                "at": started_at_ms,
                "expires_at": expires_at_ms,
            }),
        ),
        Command::ExtendSession {
            session,
            expires_at_ms,
            user,
            ..
        } => (
            "extended",
            json!({ "session": id(session), "user": name(user), "expires_at": expires_at_ms }),
        ),
        Command::EndSession {
            session,
            state,
            at_ms,
            user,
            ..
        } => {
            let why = SessionState::from_u8(*state).map_or("ended", SessionState::name);
            (
                why,
                json!({ "session": id(session), "user": name(user), "at": at_ms }),
            )
        }
        Command::NameChat { .. } => return None,
        Command::PutMembers { members, .. } => {
            let members: Vec<Value> = members
                .iter()
                .map(|(user, rights)| member_json(user, *rights))
                .collect();
            ("members_put", json!({ "members": members }))
        }
        Command::PutGuest { guest, record, .. } => (
            "guest_put",
            json!({ "guest": id(guest), "expires_at": record.expires_at_ms }),
        ),
        Command::SealChat { sealed, .. } => ("chat_put", json!({ "sealed": sealed })),
        Command::RemoveGuest { guest, .. } => ("guest_removed", json!({ "guest": id(guest) })),
        Command::PutGeofence { record, .. } => {
            let kind = match record.is_alert() {
                true => "alert_put",
                false => "geofence_put",
            };
            let expires_at = (record.expires_at_ms != 0).then_some(record.expires_at_ms);
            (
                kind,
                named(
                    &record.name,
                    &record.owner,
                    json!({ "expires_at": expires_at }),
                ),
            )
        }
        Command::RemoveGeofence { name, owner, .. } => {
            let kind = match owner.is_empty() {
                true => "geofence_removed",
                false => "alert_removed",
            };
            (kind, named(name, owner, json!({})))
        }
        Command::Cross { crossing, .. } => crossing_json(crossing),
    })
}

/// What happened at a geofence or an alert: its kind, who, and whose alert; no place.
pub fn crossing_json(crossing: &CrossingRecord) -> (&'static str, Value) {
    let mut details = json!({
        "session": SessionId(crossing.session).to_string(),
        "user": crossing.user,
        "at": crossing.at_ms,
    });
    if crossing.other != 0 {
        details["other_session"] = json!(SessionId(crossing.other).to_string());
        details["other_user"] = json!(crossing.other_user);
    }
    let kind = crossing.kind().map_or("crossed", CrossingKind::name);
    (kind, named(&crossing.name, &crossing.owner, details))
}

/// With the name of a geofence, or of an alert and whose it is.
fn named(name: &str, owner: &str, mut details: Value) -> Value {
    if owner.is_empty() {
        details["geofence"] = json!(name);
    } else {
        details["alert"] = json!(name);
        details["owner"] = json!(owner);
    }
    details
}

#[cfg(test)]
mod tests {
    use crate::events::event_json::EventJson;
    use skein_engine::command::Command;
    use skein_engine::geofence::ledger::CrossingRecord;
    use skein_engine::geofence::record::{GeofenceRecord, Shape};
    use skein_log::LogId;
    use skein_wire::update::CrossingKind;

    use crate::control::event_place::EventPlace;

    #[test]
    fn an_event_says_what_happened() {
        let end = |user: &str| Command::EndSession {
            chat: "c".into(),
            session: 10,
            state: 4,
            at_ms: 5,
            user: user.into(),
        };
        let place = EventPlace {
            log: Some(LogId(11)),
            index: 7,
        };
        let event = EventJson::of_command(place, 6, &end("u")).expect("an event");
        assert_eq!(event.kind(), "expired");
        let expect = r#"{"at":5,"chat":"c","id":"000000000000000b-7","index":7,"session":"000000000000000a","type":"expired","user":"u"}"#;
        assert_eq!(event.to_string(), expect);
        let old = EventJson::of_command(place, 6, &end("")).expect("an event");
        assert!(old.value().get("user").is_none(), "{old}");
    }

    #[test]
    fn a_crossing_says_who_and_whose_alert_and_no_place() {
        let place = EventPlace {
            log: Some(LogId(11)),
            index: 7,
        };
        let crossing = |kind, owner: &str, other| Command::Cross {
            chat: "c".into(),
            crossing: CrossingRecord {
                geofence: 1,
                name: "gate".into(),
                owner: owner.into(),
                kind: kind as u8,
                session: 10,
                user: "u".into(),
                other,
                other_user: if other == 0 { "" } else { "v" }.into(),
                at_ms: 5,
            },
        };
        let text = |command: &Command| {
            EventJson::of_command(place, 6, command)
                .expect("an event")
                .to_string()
        };
        assert_eq!(
            text(&crossing(CrossingKind::Enter, "", 0)),
            r#"{"at":5,"chat":"c","geofence":"gate","id":"000000000000000b-7","index":7,"session":"000000000000000a","type":"enter","user":"u"}"#
        );
        assert_eq!(
            text(&crossing(CrossingKind::Far, "w", 11)),
            r#"{"alert":"gate","at":5,"chat":"c","id":"000000000000000b-7","index":7,"other_session":"000000000000000b","other_user":"v","owner":"w","session":"000000000000000a","type":"far","user":"u"}"#
        );
        let record = GeofenceRecord {
            name: "gate".into(),
            owner: "w".into(),
            claim: 0,
            shape: Shape::Circle {
                lat_e6: 45_123_456,
                lon_e6: 1,
                radius_m: 10,
            },
            user: String::new(),
            session: 0,
            dwell_s: 0,
            once: true,
            created_at_ms: 1,
            expires_at_ms: 9,
        };
        let put = text(&Command::PutGeofence {
            chat: "c".into(),
            geofence: 1,
            record,
        });
        assert!(put.contains("alert_put") && !put.contains("45"), "{put}");
    }
}
