//! Guests: holders of a link to one chat or one session, without an account.
//!
//! A guest is a member under a reserved name with the right to watch. So a link is granted, revoked,
//! fenced and replayed like a membership; what it shows is in the token, which the server has signed.

use serde::{Deserialize, Serialize};
use skein_wire::ids::{ChatName, SessionId, UserName};

use crate::grid::Grid;
use crate::ids::GuestId;

/// How the reserved names begin. No token of a user may carry one.
pub const GUEST_NAME_PREFIX: &str = "guest:";

/// The name under which a guest is a member.
///
/// ```
/// use skein_engine::guest::{guest_user, is_guest};
/// use skein_engine::ids::GuestId;
/// let user = guest_user(GuestId(0xab));
/// assert_eq!(user.as_str(), "guest:00000000000000ab");
/// assert!(is_guest(&user));
/// ```
pub fn guest_user(guest: GuestId) -> UserName {
    UserName::new(&format!("{GUEST_NAME_PREFIX}{:016x}", guest.0)).expect("a short name of letters")
}

/// Whether a name is reserved for guests.
pub fn is_guest(user: &UserName) -> bool {
    user.as_str().starts_with(GUEST_NAME_PREFIX)
}

/// What a link shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestGrant {
    /// Which link.
    pub guest: GuestId,
    /// Of which chat.
    pub chat: ChatName,
    /// Only this session of it.
    pub session: Option<SessionId>,
    /// Where people are now, nothing of where they were.
    pub last_only: bool,
    /// Places on a grid.
    pub grid: Option<Grid>,
}

impl GuestGrant {
    /// Whether it shows a session.
    pub fn shows(&self, session: SessionId) -> bool {
        self.session.is_none_or(|only| only == session)
    }

    /// Whether it shows nothing but the newest point of a session.
    pub fn is_newest_only(&self) -> bool {
        self.last_only || self.grid.is_some()
    }
}

/// A link as the control log keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestRecord {
    /// Only this session; 0 = the whole chat.
    pub session: u64,
    /// Where people are now, nothing of where they were.
    pub last_only: bool,
    /// Metres of the grid; 0 = as exact as it was reported.
    pub grid_m: u32,
    /// Watches at a time; 0 = no limit.
    pub viewers_max: u32,
    /// Server time, milliseconds since 1970.
    pub created_at_ms: u64,
    /// Server time from which it is no longer good, milliseconds since 1970.
    pub expires_at_ms: u64,
    /// A note of whoever made it.
    pub label: String,
}
