//! A geofence as it is asked for and as the control log keeps it.

use serde::{Deserialize, Serialize};
use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatName, GeofenceName, SessionId, UserName};
use skein_wire::point::Position;

use crate::geofence::polygon::Polygon;
use crate::limits::{ALERT_DURATION_S_MAX, DWELL_S_MAX, GEOFENCE_DURATION_S_MAX};
use crate::rights::Rights;

/// Radius of a circle, metres: below, receivers are no better; above, it is a country.
pub const RADIUS_M: std::ops::RangeInclusive<u32> = 10..=100_000;

/// Distance within which two are near, metres: a wide one would make everybody near everybody.
pub const NEAR_M: std::ops::RangeInclusive<u32> = 10..=10_000;

/// What a geofence encloses.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// Everything within a radius of a place.
    Circle {
        /// 1e-6 degree.
        lat_e6: i32,
        /// 1e-6 degree.
        lon_e6: i32,
        /// Metres, see [`RADIUS_M`].
        radius_m: u32,
    },
    /// Everything between the corners: latitude and longitude, 1e-6 degree.
    Polygon(Vec<(i32, i32)>),
    /// Everything within a distance of a session, or, where that is 0, of any.
    Around {
        /// The session in the middle; 0 = each one.
        session: u64,
        /// Metres, see [`NEAR_M`].
        near_m: u32,
    },
}

/// Places never reach a log line.
impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Circle { .. } => "Circle",
            Self::Polygon(_) => "Polygon",
            Self::Around { .. } => "Around",
        })
    }
}

impl Shape {
    /// Whether it can be judged.
    ///
    /// # Errors
    /// `bad_request` for a place that is none, or a size out of range.
    pub fn check(&self) -> Result<(), WireError> {
        let refuse = |text: &'static str| Err(WireError::new(Code::BadRequest, text));
        match self {
            Self::Circle {
                lat_e6,
                lon_e6,
                radius_m,
            } => {
                let (lat_e6, lon_e6) = (*lat_e6, *lon_e6);
                if !(Position { lat_e6, lon_e6 }).in_range() {
                    return refuse("the middle of the circle is not on earth");
                }
                match RADIUS_M.contains(radius_m) {
                    true => Ok(()),
                    false => refuse("`radius_m` is 10 to 100,000 metres"),
                }
            }
            Self::Polygon(corners) => Polygon::check(corners),
            Self::Around { near_m, .. } => match NEAR_M.contains(near_m) {
                true => Ok(()),
                false => refuse("`near_m` is 10 to 10,000 metres"),
            },
        }
    }
}

/// A geofence or an alert as the control log keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeofenceRecord {
    /// Unique among the geofences of the chat, or among the alerts of its owner there.
    pub name: String,
    /// The member whose alert it is; empty = a geofence of the chat.
    pub owner: String,
    /// Rights in the chat that the owner's token brought.
    pub claim: u8,
    /// What it encloses.
    pub shape: Shape,
    /// Only this user's sessions; empty = everybody's.
    pub user: String,
    /// Only this session; 0 = every one.
    pub session: u64,
    /// How long one has to stay until it counts, seconds.
    pub dwell_s: u32,
    /// It is over when it has been entered once.
    pub once: bool,
    /// Server time, milliseconds since 1970.
    pub created_at_ms: u64,
    /// Server time of its end, milliseconds since 1970; 0 = until it is removed.
    pub expires_at_ms: u64,
}

impl GeofenceRecord {
    /// Whether it is an alert of a member.
    pub fn is_alert(&self) -> bool {
        !self.owner.is_empty()
    }

    /// Whether it is this user's, or about this user alone.
    pub fn names(&self, user: &str) -> bool {
        self.owner == user || self.user == user
    }

    /// Whether its time is over.
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.expires_at_ms != 0 && self.expires_at_ms <= now_ms
    }

    /// Whether it ends with this session: it is about nobody else.
    pub fn ends_with(&self, session: u64) -> bool {
        let around = match self.shape {
            Shape::Around { session, .. } => session,
            _ => 0,
        };
        session != 0 && (self.session == session || around == session)
    }

    /// Whether it is an alert whose owner may not watch any more, by these rights of the table.
    pub fn is_lost_with(&self, user: &str, rights: u8) -> bool {
        let claim = Rights::from_bits(self.claim);
        let left = Rights::from_bits(rights).with_claim(claim);
        self.is_alert() && self.owner == user && !left.has(Rights::WATCH)
    }

    /// Whether it is the same wish: then nothing changes for who is inside.
    pub fn is_like(&self, other: &Self) -> bool {
        let same = Self {
            created_at_ms: other.created_at_ms,
            expires_at_ms: other.expires_at_ms,
            claim: other.claim,
            ..self.clone()
        };
        same == *other
    }
}

/// A geofence or an alert that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeofenceWish {
    /// Where.
    pub chat: ChatName,
    /// Its name; one of this name is replaced.
    pub name: GeofenceName,
    /// Whose alert it is; `None` = a geofence of the chat.
    pub owner: Option<UserName>,
    /// What it encloses. Around a session of the owner: 0 means the newest one.
    pub shape: Shape,
    /// Only this user's sessions.
    pub user: Option<UserName>,
    /// Only this session.
    pub session: Option<SessionId>,
    /// How long one has to stay until it counts, seconds.
    pub dwell_s: u32,
    /// It is over when it has been entered once.
    pub once: bool,
    /// How long it lasts, seconds; `None` = until it is removed, which alerts may not.
    pub duration_s: Option<u32>,
}

impl GeofenceWish {
    /// Whether it is well-formed.
    ///
    /// # Errors
    /// `bad_request` or `bad_duration`, with what is out of range.
    pub fn check(&self) -> Result<(), WireError> {
        self.shape.check()?;
        if self.dwell_s > DWELL_S_MAX {
            let text = "`dwell_s` is at most an hour";
            return Err(WireError::new(Code::BadRequest, text));
        }
        let refuse = |text: &'static str| Err(WireError::new(Code::BadDuration, text));
        match (&self.owner, self.duration_s) {
            (Some(_), Some(1..=ALERT_DURATION_S_MAX)) | (None, None) => Ok(()),
            (None, Some(1..=GEOFENCE_DURATION_S_MAX)) => Ok(()),
            (Some(_), _) => refuse("an alert lasts 1 second to a day"),
            (None, _) => refuse("a geofence lasts 1 second to a year, or until it is removed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> GeofenceRecord {
        GeofenceRecord {
            name: "gate".into(),
            owner: "ana".into(),
            claim: 0,
            shape: Shape::Around {
                session: 7,
                near_m: 100,
            },
            user: "ben".into(),
            session: 9,
            dwell_s: 0,
            once: true,
            created_at_ms: 1,
            expires_at_ms: 100,
        }
    }

    #[test]
    fn an_alert_ends_with_what_it_is_about() {
        let alert = record();
        assert!(alert.ends_with(7) && alert.ends_with(9));
        assert!(!alert.ends_with(8) && !alert.ends_with(0));
        assert!(!alert.is_over(99) && alert.is_over(100));
    }

    #[test]
    fn an_alert_needs_the_right_to_watch() {
        let mut alert = record();
        assert!(alert.is_lost_with("ana", 0) && alert.is_lost_with("ana", 1));
        assert!(!alert.is_lost_with("ana", 2) && !alert.is_lost_with("ben", 0));
        // By a token, unless a revocation is stored.
        alert.claim = 2;
        assert!(!alert.is_lost_with("ana", 0));
        assert!(alert.is_lost_with("ana", Rights::REVOKED.bits()));
        alert.owner.clear();
        assert!(!alert.is_lost_with("", 0), "a geofence is nobody's");
    }

    #[test]
    fn the_same_wish_with_another_end_is_the_same() {
        let later = GeofenceRecord {
            expires_at_ms: 900,
            ..record()
        };
        assert!(record().is_like(&later));
        let other = GeofenceRecord {
            dwell_s: 1,
            ..record()
        };
        assert!(!record().is_like(&other));
    }
}
