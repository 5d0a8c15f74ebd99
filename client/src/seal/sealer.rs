//! Seals the points of one session.

use aws_lc_rs::rand;
use bytes::Bytes;
use skein_wire::ids::{Counter, SessionId};
use skein_wire::point::Fix;

use crate::seal::blob::STREAM_BYTES;
use crate::seal::error::SealError;
use crate::seal::fix_bytes;
use crate::seal::key::SealKey;
use crate::seal::stream::Stream;

/// One run of one sender with one key. Make a new one at every start, and for every new key; never
/// store one.
#[derive(Debug)]
pub struct Sealer {
    session: SessionId,
    epoch: u32,
    stream: Stream,
    counter_last: u64,
}

impl Sealer {
    /// Begins a stream: draws its random id.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn new(key: &SealKey, session: SessionId) -> Result<Self, SealError> {
        let mut id = [0; STREAM_BYTES];
        rand::fill(&mut id).map_err(|_| SealError::NoRandom)?;
        Self::with_stream(key, session, id)
    }

    /// A stream with a known id, for test vectors.
    pub(crate) fn with_stream(
        key: &SealKey,
        session: SessionId,
        id: [u8; STREAM_BYTES],
    ) -> Result<Self, SealError> {
        Ok(Self {
            session,
            epoch: key.epoch(),
            stream: Stream::new(key, session, id)?,
            counter_last: 0,
        })
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The epoch of its key.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Seals one fix. Counters only grow.
    ///
    /// # Errors
    /// `CounterUsed` for a counter that is not above all before it.
    pub fn seal(
        &mut self,
        counter: Counter,
        captured_at_ms: i64,
        fix: &Fix,
    ) -> Result<Bytes, SealError> {
        if counter.0 <= self.counter_last {
            return Err(SealError::CounterUsed { counter: counter.0 });
        }
        self.counter_last = counter.0;
        let blob = self
            .stream
            .seal(counter, captured_at_ms, &fix_bytes::encode(fix))?;
        Ok(blob.into())
    }
}
