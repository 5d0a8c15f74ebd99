//! How the command line says that it has no connection, the same for those who share and watch.

use std::fmt;

use crate::text::time_text::clock_text;

/// What is said when an answer does not come, before it is known why.
pub const DOUBTFUL: &str = "the server does not answer: you may be offline";

/// `offline: timed out; trying again in 1.5 s`.
pub fn text(why: impl fmt::Display, retry_ms: u64) -> String {
    let seconds = retry_ms as f64 / 1_000.0;
    format!("offline: {why}; trying again in {seconds:.1} s")
}

/// `the relay hears nothing from its server since 06:15:50 UTC: what is shown is as of then`.
pub fn upstream_text(since_ms: u64) -> String {
    let time = clock_text(since_ms);
    format!("the relay hears nothing from its server since {time} UTC: what is shown is as of then")
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
