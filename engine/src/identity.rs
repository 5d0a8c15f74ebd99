//! Who is at the other end of a connection, as its verified token says.

use skein_wire::ids::UserName;

/// A verified user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The token's subject.
    pub user: UserName,
    /// Server time at which the token is no longer good, milliseconds since 1970.
    pub expires_at_ms: u64,
}
