//! How long a peer over TCP may take nothing of what is there for it.

use std::os::fd::AsFd;
use std::time::Duration;

use socket2::SockRef;

/// Lets the kernel end a connection of HTTP whose peer takes nothing for `limit_ms`: we only see a full
/// socket. A kernel that refuses costs a place, not correctness.
pub fn bound(stream: &impl AsFd, limit_ms: u64) {
    let limit = Duration::from_millis(limit_ms);
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(limit)) {
        tracing::debug!(%error, "the kernel refused a socket option");
    }
}
