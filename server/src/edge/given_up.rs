//! How often a client gives up a stream that it or we have begun.
//!
//! Each costs the server the making and the forgetting of a stream and the client one packet: a client that does
//! nothing else is ended (the "rapid reset" of HTTP/2).

use skein_engine::rate::{Rate, RateLimit};
use skein_engine::time::Timestamp;
use skein_wire::error::{Code, WireError};

use crate::limits::{QUIC_GIVEN_UP_BURST_MAX, QUIC_GIVEN_UP_PER_SECOND_MAX};

/// The streams of one connection that were given up.
#[derive(Clone, Copy, Debug, Default)]
pub struct GivenUp(Rate);

impl GivenUp {
    /// One more.
    ///
    /// # Errors
    /// `limit_reached` when that is too often.
    pub fn count(&mut self, now_ms: u64) -> Result<(), WireError> {
        let limit = RateLimit::new(QUIC_GIVEN_UP_PER_SECOND_MAX, QUIC_GIVEN_UP_BURST_MAX);
        match self.0.take(Timestamp(now_ms), limit) {
            true => Ok(()),
            false => Err(WireError::new(
                Code::LimitReached,
                "too many streams are given up; read them, or watch less",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::edge::given_up::GivenUp;

    #[test]
    fn a_burst_then_ten_a_second() {
        let mut given_up = GivenUp::default();
        let mut taken = |now_ms| {
            (0..1_000)
                .filter(|_| given_up.count(now_ms).is_ok())
                .count()
        };
        assert_eq!(taken(5_000), 128);
        assert_eq!(taken(6_000), 10);
        assert_eq!(taken(600_000), 128);
    }
}
