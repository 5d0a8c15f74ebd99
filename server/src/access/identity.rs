//! Who a valid token names, and for how long.

use skein_wire::ids::UserName;

/// A user, as a valid token names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub user: UserName,
    /// Until when, milliseconds since 1970.
    pub expires_at_ms: u64,
}
