//! How the command line says that it has no connection, the same for those who share and watch.

use std::fmt;

/// `offline: timed out; trying again in 1.5 s`.
pub fn text(why: impl fmt::Display, retry_ms: u64) -> String {
    let seconds = retry_ms as f64 / 1_000.0;
    format!("offline: {why}; trying again in {seconds:.1} s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_and_the_next_try_are_said() {
        assert_eq!(
            text("the server is silent", 1_540),
            "offline: the server is silent; trying again in 1.5 s"
        );
    }
}
