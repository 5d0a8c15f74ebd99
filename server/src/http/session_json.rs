//! Sessions and positions as JSON.

use serde::Serialize;
use skein_engine::request::{PositionInfo, SessionInfo};

use crate::http::point_json::PointJson;

/// A live session.
#[derive(Clone, Debug, Serialize)]
pub struct SessionJson {
    /// Its id, 16 hexadecimal digits.
    pub session: String,
    /// Whose.
    pub user: String,
    /// `live`, `stationary` or `stale`.
    pub state: &'static str,
    /// Server time, milliseconds since 1970.
    pub started_at: u64,
    /// Server time of its end, milliseconds since 1970.
    pub expires_at: u64,
    /// Points are end-to-end encrypted.
    pub sealed: bool,
    /// Greatest counter that was accepted.
    pub counter_last: u64,
}

impl From<&SessionInfo> for SessionJson {
    fn from(info: &SessionInfo) -> Self {
        Self {
            session: info.session.to_string(),
            user: info.user.to_string(),
            state: info.state.name(),
            started_at: info.started_at_ms,
            expires_at: info.expires_at_ms,
            sealed: info.sealed,
            counter_last: info.counter_last.0,
        }
    }
}

/// A live session with its newest point.
#[derive(Clone, Debug, Serialize)]
pub struct PositionJson {
    /// The session's own fields.
    #[serde(flatten)]
    pub session: SessionJson,
    /// Its newest point, absent for a session that has just begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub point: Option<PointJson>,
}

impl From<&PositionInfo> for PositionJson {
    fn from(info: &PositionInfo) -> Self {
        Self {
            session: SessionJson::from(&info.session),
            point: info.newest.as_ref().map(PointJson::from),
        }
    }
}
