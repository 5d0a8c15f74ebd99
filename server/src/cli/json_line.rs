//! A change as JSON: the stable format of `skein watch`.

use serde::Serialize;
use serde_json::{Value, json};
use skein_client::change::{Change, Event, ShownPoint};
use skein_client::seal::error::OpenError;
use skein_wire::point::{Fix, Payload};

use crate::cli::map_json::{ClusterJson, ViewJson};

/// One change. Fields that do not apply are left out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct JsonLine {
    /// `started`, `point`, `heartbeat`, `stale`, `ended`, `skipped`, `enter`, `exit`, `near`, `far`, `left`,
    /// `view`, `clusters` or `resync`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The chat.
    pub chat: String,
    /// The session, 16 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Its member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Start again from here after this change.
    pub cursor: String,
    /// Degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lat: Option<f64>,
    /// Degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lon: Option<f64>,
    /// Device time, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captured_at: Option<i64>,
    /// The sender's count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<u64>,
    /// Metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Degrees clockwise from north.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heading: Option<f64>,
    /// Metres per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    /// Percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery: Option<u8>,
    /// An encrypted point, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// Why an encrypted point stays so, where keys were given: `unknown_key`, `not_authentic`,
    /// `replayed`, `malformed`, `unknown_suite` or `not_a_point`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unopened: Option<&'static str>,
    /// True: it lies behind a point that came before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub historical: Option<bool>,
    /// Metres of the grid that places are shown on from here on; not there = as they were reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid_m: Option<u32>,
    /// Server time of the start, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    /// Server time of the end, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// True: the session was known, its end is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extended: Option<bool>,
    /// Server time of a state, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// Why a session ended: `stopped`, `expired`, `revoked`, or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// How many points were skipped, or how many sessions are elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The geofence that was crossed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub geofence: Option<String>,
    /// The own alert that it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// The other session, of two that came near each other or parted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_session: Option<String>,
    /// Its member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_user: Option<String>,
    /// The part of the map that rows are of.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub view: Option<ViewJson>,
    /// Sessions elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clusters: Option<Vec<ClusterJson>>,
}

impl JsonLine {
    /// The line of a change; `None` for the end of a watch, which is not a change of the chat.
    pub fn of(change: &Change, unopened: Option<OpenError>) -> Option<Self> {
        let subject = change.subject.as_deref();
        let line = Self {
            chat: change.chat.to_string(),
            session: subject.map(|subject| subject.session.to_string()),
            user: subject.map(|subject| subject.user.to_string()),
            cursor: change.cursor.to_string(),
            unopened: unopened.map(OpenError::name),
            ..Self::default()
        };
        Some(match &change.event {
            Event::Started {
                started_at_ms,
                expires_at_ms,
                ..
            } => Self {
                kind: "started",
                started_at: Some(*started_at_ms),
                expires_at: Some(*expires_at_ms),
                ..line
            },
            Event::Extended { expires_at_ms } => Self {
                kind: "started",
                expires_at: Some(*expires_at_ms),
                extended: Some(true),
                ..line
            },
            Event::Point { point, historical } => Self {
                kind: "point",
                historical: historical.then_some(true),
                ..line.with_point(point)
            },
            Event::Heartbeat { at_ms } => Self {
                kind: "heartbeat",
                at: Some(*at_ms),
                ..line
            },
            Event::Stale { at_ms } => Self {
                kind: "stale",
                at: Some(*at_ms),
                ..line
            },
            Event::Ended { why, at_ms } => Self {
                kind: "ended",
                why: Some(why.map_or("unknown", |why| why.name())),
                at: *at_ms,
                ..line
            },
            Event::Skipped { count } => Self {
                kind: "skipped",
                count: Some(*count),
                ..line
            },
            Event::Crossed {
                kind,
                name,
                is_alert,
                other,
                at_ms,
            } => {
                let name = Some(name.to_string());
                let (geofence, alert) = if *is_alert {
                    (None, name)
                } else {
                    (name, None)
                };
                Self {
                    kind: kind.name(),
                    at: Some(*at_ms),
                    geofence,
                    alert,
                    other_session: other.as_ref().map(|other| other.session.to_string()),
                    other_user: other.as_ref().map(|other| other.user.to_string()),
                    ..line
                }
            }
            Event::Left => Self {
                kind: "left",
                ..line
            },
            Event::Viewing { area, cells } => Self {
                kind: "view",
                view: Some(ViewJson::of(area, cells)),
                ..line
            },
            Event::Clusters { clusters } => Self {
                kind: "clusters",
                count: Some(
                    clusters
                        .iter()
                        .map(|cluster| u64::from(cluster.count))
                        .sum(),
                ),
                clusters: Some(clusters.iter().map(ClusterJson::from).collect()),
                ..line
            },
            Event::Grid { grid_m } => Self {
                kind: "grid",
                grid_m: *grid_m,
                ..line
            },
            Event::Resync => Self {
                kind: "resync",
                ..line
            },
            Event::WatchEnded { .. } => return None,
        })
    }

    /// The line as a GeoJSON feature: a point, or no geometry where there is none.
    pub fn to_feature(&self) -> Value {
        let geometry = match (self.lat, self.lon, &self.clusters) {
            (Some(lat), Some(lon), _) => json!({"type": "Point", "coordinates": [lon, lat]}),
            (_, _, Some(clusters)) => {
                let places: Vec<[f64; 2]> = clusters.iter().map(|it| [it.lon, it.lat]).collect();
                json!({"type": "MultiPoint", "coordinates": places})
            }
            _ => Value::Null,
        };
        let mut properties = serde_json::to_value(self).unwrap_or_default();
        if let Some(properties) = properties.as_object_mut() {
            properties.remove("lat");
            properties.remove("lon");
        }
        json!({"type": "Feature", "geometry": geometry, "properties": properties})
    }

    fn with_point(self, point: &ShownPoint) -> Self {
        let line = Self {
            counter: Some(point.counter.0),
            captured_at: Some(point.captured_at_ms),
            ..self
        };
        match &point.payload {
            Payload::Fix(fix) => line.with_fix(fix),
            Payload::Sealed(blob) => Self {
                sealed: Some(blob.iter().map(|byte| format!("{byte:02x}")).collect()),
                ..line
            },
        }
    }

    fn with_fix(self, fix: &Fix) -> Self {
        let hundredths = |value: f64| (value * 100.0).round() / 100.0;
        Self {
            lat: Some(fix.position.lat()),
            lon: Some(fix.position.lon()),
            accuracy: fix.accuracy.map(|accuracy| hundredths(accuracy.metres())),
            heading: fix.heading.map(|heading| hundredths(heading.degrees())),
            speed: fix.speed.map(|speed| hundredths(speed.mps())),
            battery: fix.battery,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skein_client::change::{Change, Event, ShownPoint, Subject};
    use skein_wire::ids::{ChatName, Counter, Cursor, GeofenceName, SessionId, UserName};
    use skein_wire::map_cell::MapCell;
    use skein_wire::map_view::MapView;
    use skein_wire::point::{Accuracy, Fix, Heading, Payload, Position, Speed};
    use skein_wire::update::{Cluster, CrossingKind, SessionState};

    use crate::cli::json_line::JsonLine;

    fn line(event: Event, with_subject: bool) -> JsonLine {
        let subject = Subject {
            session: SessionId(0xa1),
            user: UserName::new("ana \"b\"").expect("a name"),
        };
        let change = Change {
            chat: ChatName::new("geese").expect("a name"),
            subject: with_subject.then(|| Arc::new(subject)),
            cursor: Cursor {
                log: 0xabc,
                epoch: 3,
                offset: 77,
            },
            event,
        };
        JsonLine::of(&change, None).expect("a change of the chat")
    }

    fn check(event: Event, with_subject: bool, expect: &str) {
        let line = line(event, with_subject);
        assert_eq!(serde_json::to_string(&line).expect("json"), expect);
    }

    fn point(payload: Payload) -> ShownPoint {
        ShownPoint {
            counter: Counter(9),
            captured_at_ms: -1,
            payload,
        }
    }

    #[test]
    fn the_lines_are_the_stable_format() {
        let position = Position {
            lat_e6: 45_273_519,
            lon_e6: -13_000_000,
        };
        let fix = Fix {
            position,
            ..Fix::default()
        };
        let full = Fix {
            heading: Some(Heading(64)),
            speed: Speed::from_mps(1.35),
            accuracy: Accuracy::from_metres(5.0),
            battery: Some(81),
            ..fix
        };
        let who = r#""chat":"geese","session":"00000000000000a1","user":"ana \"b\"","cursor":"0000000000000abc-3-77""#;
        let cases = [
            (
                Event::Started {
                    started_at_ms: 1,
                    expires_at_ms: 2,
                    sealed: false,
                },
                r#"{"type":"started",WHO,"started_at":1,"expires_at":2}"#,
            ),
            (
                Event::Extended { expires_at_ms: 3 },
                r#"{"type":"started",WHO,"expires_at":3,"extended":true}"#,
            ),
            (
                Event::Point {
                    point: point(Payload::Fix(fix)),
                    historical: false,
                },
                r#"{"type":"point",WHO,"lat":45.273519,"lon":-13.0,"captured_at":-1,"counter":9}"#,
            ),
            (
                Event::Point {
                    point: point(Payload::Fix(full)),
                    historical: true,
                },
                r#"{"type":"point",WHO,"lat":45.273519,"lon":-13.0,"captured_at":-1,"counter":9,"accuracy":5.01,"heading":90.0,"speed":1.35,"battery":81,"historical":true}"#,
            ),
            (
                Event::Point {
                    point: point(Payload::Sealed(vec![0, 255].into())),
                    historical: false,
                },
                r#"{"type":"point",WHO,"captured_at":-1,"counter":9,"sealed":"00ff"}"#,
            ),
            (
                Event::Heartbeat { at_ms: 4 },
                r#"{"type":"heartbeat",WHO,"at":4}"#,
            ),
            (Event::Stale { at_ms: 5 }, r#"{"type":"stale",WHO,"at":5}"#),
            (
                Event::Ended {
                    why: Some(SessionState::Expired),
                    at_ms: Some(6),
                },
                r#"{"type":"ended",WHO,"at":6,"why":"expired"}"#,
            ),
            (
                Event::Ended {
                    why: None,
                    at_ms: None,
                },
                r#"{"type":"ended",WHO,"why":"unknown"}"#,
            ),
            (
                Event::Skipped { count: 7 },
                r#"{"type":"skipped",WHO,"count":7}"#,
            ),
            (
                Event::Crossed {
                    kind: CrossingKind::Enter,
                    name: GeofenceName::new("school").expect("a name"),
                    is_alert: false,
                    other: None,
                    at_ms: 8,
                },
                r#"{"type":"enter",WHO,"at":8,"geofence":"school"}"#,
            ),
            (
                Event::Crossed {
                    kind: CrossingKind::Far,
                    name: GeofenceName::new("ana is here").expect("a name"),
                    is_alert: true,
                    other: Some(Subject {
                        session: SessionId(0xb2),
                        user: UserName::new("ben").expect("a name"),
                    }),
                    at_ms: 9,
                },
                r#"{"type":"far",WHO,"at":9,"alert":"ana is here","other_session":"00000000000000b2","other_user":"ben"}"#,
            ),
        ];
        for (event, expect) in cases {
            check(event, true, &expect.replace("WHO", who));
        }
        check(
            Event::Left,
            true,
            &r#"{"type":"left",WHO}"#.replace("WHO", who),
        );
        check(
            Event::Viewing {
                area: MapView {
                    south_e6: 45_000_000,
                    west_e6: 11_250_000,
                    north_e6: 47_812_500,
                    east_e6: 16_875_000,
                    rows: 256,
                },
                cells: vec![MapCell::new(1, 1, 1), MapCell::new(2, 0, 0)],
            },
            false,
            r#"{"type":"view","chat":"geese","cursor":"0000000000000abc-3-77","area":[45.0,11.25,47.8125,16.875],"rows":256,"cells":[7,16]}"#,
        );
        let cluster = |cell, count| Cluster {
            cell,
            count,
            east: 128,
            north: 64,
        };
        check(
            Event::Clusters {
                clusters: vec![
                    cluster(MapCell::EARTH, 3),
                    cluster(MapCell::new(1, 1, 1), 40),
                ],
            },
            false,
            r#"{"type":"clusters","chat":"geese","cursor":"0000000000000abc-3-77","count":43,"clusters":[{"cell":1,"count":3,"lat":-44.648438,"lon":0.703125},{"cell":7,"count":40,"lat":22.675781,"lon":90.351562}]}"#,
        );
        check(
            Event::Grid { grid_m: Some(500) },
            false,
            r#"{"type":"grid","chat":"geese","cursor":"0000000000000abc-3-77","grid_m":500}"#,
        );
        check(
            Event::Grid { grid_m: None },
            false,
            r#"{"type":"grid","chat":"geese","cursor":"0000000000000abc-3-77"}"#,
        );
        check(
            Event::Resync,
            false,
            r#"{"type":"resync","chat":"geese","cursor":"0000000000000abc-3-77"}"#,
        );
    }

    #[test]
    fn a_feature_has_its_place_in_its_geometry_alone() {
        let position = Position {
            lat_e6: 1_500_000,
            lon_e6: 2_250_000,
        };
        let payload = Payload::Fix(Fix {
            position,
            ..Fix::default()
        });
        let event = Event::Point {
            point: point(payload),
            historical: false,
        };
        let feature = line(event, true).to_feature();
        assert_eq!(feature["geometry"]["coordinates"][0], 2.25);
        assert_eq!(feature["properties"]["type"], "point");
        assert!(feature["properties"].get("lat").is_none());
        let feature = line(Event::Stale { at_ms: 1 }, true).to_feature();
        assert!(feature["geometry"].is_null());
    }
}
