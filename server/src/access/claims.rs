//! What a token says of its user.

use serde::{Deserialize, Serialize};

/// `aud` of tokens meant for this server, unless the configuration names another one.
pub const TOKEN_AUDIENCE: &str = "skein";

/// The claims that count. `aud` and `iss` are compared by the token library and not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// End of validity, whole seconds since 1970.
    pub exp: u64,
    /// Start of validity, whole seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
}
