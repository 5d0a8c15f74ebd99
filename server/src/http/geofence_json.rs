//! Geofences and alerts as JSON, in and out.

use serde::Deserialize;
use serde_json::{Value, json};
use skein_engine::geofence::record::{GeofenceRecord, Shape};
use skein_engine::request::{GeofenceInfo, InsideInfo};
use skein_wire::error::Code;
use skein_wire::ids::{SessionId, UserName};
use skein_wire::point::Position;

use crate::http::error::ApiError;

/// Body of a geofence or an alert. Exactly one of `circle`, `polygon` and `near_m`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeofenceBody {
    /// Everything within a radius of a place.
    #[serde(default)]
    circle: Option<CircleBody>,
    /// Everything between the corners, each latitude and longitude in degrees.
    #[serde(default)]
    polygon: Option<Vec<(f64, f64)>>,
    /// Two that are within so many metres of each other.
    #[serde(default)]
    near_m: Option<u32>,
    /// The own session in the middle of `near_m`, of an alert; absent = the one that began last.
    #[serde(default)]
    around: Option<String>,
    /// Only this user's sessions.
    #[serde(default)]
    user: Option<String>,
    /// Only this session.
    #[serde(default)]
    session: Option<String>,
    /// How long one has to stay until it counts, seconds.
    #[serde(default)]
    pub dwell_s: u32,
    /// Over when it has been entered once. Alerts are, unless they say no.
    #[serde(default)]
    pub once: Option<bool>,
    /// How long it lasts, seconds.
    #[serde(default)]
    pub duration_s: Option<u32>,
    /// Whose alert it is; for the operator only, a user is who the token says.
    #[serde(default)]
    pub owner: Option<String>,
}

/// A circle.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CircleBody {
    /// Degrees.
    lat: f64,
    /// Degrees.
    lon: f64,
    /// Metres.
    radius_m: u32,
}

impl GeofenceBody {
    /// What it encloses.
    ///
    /// # Errors
    /// `bad_request` unless there is exactly one shape, or for a place that is none; `bad_name` for a
    /// session id that is none.
    pub fn shape(&self) -> Result<Shape, ApiError> {
        let around = self.around.as_deref().map(session).transpose()?;
        match (&self.circle, &self.polygon, self.near_m) {
            (Some(circle), None, None) if around.is_none() => {
                let (lat_e6, lon_e6) = e6(circle.lat, circle.lon)?;
                Ok(Shape::Circle {
                    lat_e6,
                    lon_e6,
                    radius_m: circle.radius_m,
                })
            }
            (None, Some(corners), None) if around.is_none() => {
                let corners = corners.iter().map(|(lat, lon)| e6(*lat, *lon));
                Ok(Shape::Polygon(corners.collect::<Result<_, _>>()?))
            }
            (None, None, Some(near_m)) => Ok(Shape::Around {
                session: around.map_or(0, |session| session.0),
                near_m,
            }),
            _ => Err(ApiError::new(
                Code::BadRequest,
                "give one of `circle`, `polygon` and `near_m`; `around` goes with `near_m`",
            )),
        }
    }

    /// Whether a session is named that is to be in the middle.
    pub fn has_middle(&self) -> bool {
        self.around.is_some()
    }

    /// Only this user's sessions.
    ///
    /// # Errors
    /// `bad_name`.
    pub fn user(&self) -> Result<Option<UserName>, ApiError> {
        let user = self.user.as_deref().map(UserName::new);
        user.transpose().map_err(ApiError::from)
    }

    /// Only this session.
    ///
    /// # Errors
    /// `bad_name`.
    pub fn session(&self) -> Result<Option<SessionId>, ApiError> {
        self.session.as_deref().map(session).transpose()
    }
}

fn session(text: &str) -> Result<SessionId, ApiError> {
    text.parse().map_err(ApiError::from)
}

fn e6(lat: f64, lon: f64) -> Result<(i32, i32), ApiError> {
    let place = Position::from_degrees(lat, lon).map_err(|_| {
        ApiError::new(
            Code::BadRequest,
            "a place has a latitude from -90 to 90 and a longitude from -180 to 180",
        )
    })?;
    Ok((place.lat_e6, place.lon_e6))
}

/// A geofence or an alert, in the fields of the body that makes it, and who is inside.
pub fn geofence_json(info: &GeofenceInfo) -> Value {
    let record = &info.record;
    let mut json = json!({
        "name": record.name,
        "created_at": record.created_at_ms,
        "once": record.once,
        "inside_total": info.inside_total,
        "inside": info.inside.iter().map(inside_json).collect::<Vec<Value>>(),
    });
    put_shape(&mut json, record);
    let mut put = |key: &str, value: Value, is_there: bool| {
        if is_there {
            json[key] = value;
        }
    };
    let session = SessionId(record.session).to_string();
    put("owner", json!(record.owner), record.is_alert());
    put("user", json!(record.user), !record.user.is_empty());
    put("session", json!(session), record.session != 0);
    put("dwell_s", json!(record.dwell_s), record.dwell_s != 0);
    let expires_at = record.expires_at_ms;
    put("expires_at", json!(expires_at), expires_at != 0);
    json
}

fn put_shape(json: &mut Value, record: &GeofenceRecord) {
    let degrees = |e6: i32| f64::from(e6) / 1e6;
    match &record.shape {
        Shape::Circle {
            lat_e6,
            lon_e6,
            radius_m,
        } => {
            let (lat, lon) = (degrees(*lat_e6), degrees(*lon_e6));
            json["circle"] = json!({ "lat": lat, "lon": lon, "radius_m": radius_m });
        }
        Shape::Polygon(corners) => {
            let corners = corners.iter();
            let corners = corners.map(|(lat, lon)| (degrees(*lat), degrees(*lon)));
            json["polygon"] = json!(corners.collect::<Vec<_>>());
        }
        Shape::Around { session, near_m } => {
            json["near_m"] = json!(near_m);
            if *session != 0 {
                json["around"] = json!(SessionId(*session).to_string());
            }
        }
    }
}

fn inside_json(inside: &InsideInfo) -> Value {
    let (session, user) = &inside.subject;
    let mut json = json!({ "session": session.to_string(), "user": user.as_str() });
    if let Some((session, user)) = &inside.other {
        json["other_session"] = json!(session.to_string());
        json["other_user"] = json!(user.as_str());
    }
    json
}
