//! A geofence prepared for judging: whom it concerns, and how.

use skein_wire::error::WireError;
use skein_wire::ids::{SessionId, UserName};
use skein_wire::point::Position;

use crate::geofence::area::Area;
use crate::geofence::polygon::Polygon;
use crate::geofence::record::{GeofenceRecord, Shape};
use crate::ids::GeofenceId;

/// One geofence or alert.
#[derive(Debug)]
pub(crate) struct Rule {
    pub id: GeofenceId,
    pub record: GeofenceRecord,
    /// Whose alert it is.
    pub owner: Option<UserName>,
    pub form: Form,
    /// Only this user's sessions.
    user: Option<UserName>,
}

/// What it encloses.
#[derive(Debug)]
pub(crate) enum Form {
    Area(Area),
    /// Around one session, or around each (`None`).
    Around {
        session: Option<SessionId>,
        near_m: f64,
    },
}

/// A session and its user.
pub(crate) type Who<'a> = (SessionId, &'a UserName);

impl Rule {
    /// From a record; one whose names are none is not judged.
    pub fn new(id: GeofenceId, record: &GeofenceRecord) -> Result<Self, WireError> {
        let named = |text: &str| (!text.is_empty()).then(|| UserName::new(text)).transpose();
        let form = match &record.shape {
            Shape::Circle {
                lat_e6,
                lon_e6,
                radius_m,
            } => {
                let (lat_e6, lon_e6) = (*lat_e6, *lon_e6);
                Form::Area(Area::circle(Position { lat_e6, lon_e6 }, *radius_m))
            }
            Shape::Polygon(corners) => Form::Area(Area::Polygon(Polygon::new(corners))),
            Shape::Around { session, near_m } => Form::Around {
                session: (*session != 0).then_some(SessionId(*session)),
                near_m: f64::from(*near_m),
            },
        };
        Ok(Self {
            id,
            owner: named(&record.owner)?,
            user: named(&record.user)?,
            form,
            record: record.clone(),
        })
    }

    /// Milliseconds that one has to stay.
    pub fn dwell_ms(&self) -> u64 {
        u64::from(self.record.dwell_s) * 1_000
    }

    /// Whether a session has to be judged when it moves.
    pub fn concerns(&self, who: Who<'_>) -> bool {
        match &self.form {
            Form::Area(_) => self.is_about(who),
            Form::Around { session: None, .. } => true,
            Form::Around { session, .. } => *session == Some(who.0) || self.is_about(who),
        }
    }

    /// Of two sessions the one that it is about and the other one, if it is about the two.
    pub fn pair(&self, a: Who<'_>, b: Who<'_>) -> Option<(SessionId, SessionId)> {
        let Form::Around { session, .. } = &self.form else {
            return None;
        };
        if a.1 == b.1 {
            return None;
        }
        match session {
            None if self.is_about(a) || self.is_about(b) => Some((a.0.min(b.0), a.0.max(b.0))),
            Some(middle) if *middle == a.0 && self.is_about(b) => Some((b.0, a.0)),
            Some(middle) if *middle == b.0 && self.is_about(a) => Some((a.0, b.0)),
            _ => None,
        }
    }

    /// Whether it is about a session. Alerts about everybody are not about their owner.
    fn is_about(&self, (session, user): Who<'_>) -> bool {
        let is_users = match &self.user {
            Some(only) => only == user,
            None => self.owner.as_ref() != Some(user),
        };
        is_users && (self.record.session == 0 || self.record.session == session.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> UserName {
        UserName::new(text).unwrap()
    }

    fn rule(owner: &str, user: &str, session: u64, shape: Shape) -> Rule {
        let record = GeofenceRecord {
            name: "gate".into(),
            owner: owner.into(),
            claim: 0,
            shape,
            user: user.into(),
            session,
            dwell_s: 0,
            once: false,
            created_at_ms: 0,
            expires_at_ms: 0,
        };
        Rule::new(GeofenceId(1), &record).unwrap()
    }

    #[test]
    fn it_is_about_whom_it_names() {
        let (ana, ben) = (name("ana"), name("ben"));
        let circle = || Shape::Circle {
            lat_e6: 0,
            lon_e6: 0,
            radius_m: 10,
        };
        for (owner, user, session, about_ana, about_ben) in [
            ("", "", 0, true, true),
            ("", "ben", 0, false, true),
            ("", "", 1, true, false),
            // Her own alert about everybody is not about her; one that names her is.
            ("ana", "", 0, false, true),
            ("ana", "ana", 0, true, false),
        ] {
            let rule = rule(owner, user, session, circle());
            assert_eq!(
                rule.concerns((SessionId(1), &ana)),
                about_ana,
                "{owner} {user}"
            );
            assert_eq!(
                rule.concerns((SessionId(2), &ben)),
                about_ben,
                "{owner} {user}"
            );
            let pair = rule.pair((SessionId(1), &ana), (SessionId(2), &ben));
            assert_eq!(pair, None);
        }
    }

    #[test]
    fn a_pair_has_one_order_whoever_moves() {
        let (ana, ben, cem) = (name("ana"), name("ben"), name("cem"));
        let around = |session| Shape::Around {
            session,
            near_m: 100,
        };
        let (a, b, c) = (
            (SessionId(1), &ana),
            (SessionId(2), &ben),
            (SessionId(3), &cem),
        );
        let all = rule("", "", 0, around(0));
        let ids = |a: u64, b: u64| Some((SessionId(a), SessionId(b)));
        assert_eq!((all.pair(a, b), all.pair(b, a)), (ids(1, 2), ids(1, 2)));
        assert_eq!(all.pair(a, (SessionId(9), &ana)), None, "of one user");
        let hers = rule("ana", "ben", 0, around(1));
        assert_eq!((hers.pair(a, b), hers.pair(b, a)), (ids(2, 1), ids(2, 1)));
        assert_eq!((hers.pair(a, c), hers.pair(b, c)), (None, None));
        assert!(hers.concerns(a) && hers.concerns(b) && !hers.concerns(c));
        let one = rule("", "ben", 0, around(0));
        assert_eq!((one.pair(a, b), one.pair(c, a)), (ids(1, 2), None));
    }
}
