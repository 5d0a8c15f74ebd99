//! Why there is no TLS with a server, in words that say what to change.

use std::fmt;

/// What the library says of a certificate that may sign others, and so may stand for no server. It has no
/// type for it that outlives a QUIC connection, only this word.
const OF_AUTHORITY: &str = "CaUsedAsEndEntity";

/// The text for whoever cannot connect.
pub fn text(error: impl fmt::Display) -> String {
    let error = error.to_string();
    if error.contains(OF_AUTHORITY) {
        return "the server's certificate is one of an authority (CA:TRUE), which cannot be a server's own; make it anew with `-addext basicConstraints=critical,CA:FALSE`, as OPERATIONS.md shows".to_owned();
    }
    format!("the server's TLS handshake failed: {error}; check its certificate (--ca) and address")
}
