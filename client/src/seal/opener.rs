//! Opens the sealed points of a chat.

use std::collections::HashMap;

use skein_wire::ids::{ChatName, Counter, SessionId};
use skein_wire::point::Fix;

use crate::limits::{SEAL_SESSIONS_MAX, SEAL_STREAMS_MAX};
use crate::seal::blob::{Head, StreamId};
use crate::seal::error::OpenError;
use crate::seal::fix_bytes;
use crate::seal::key_ring::KeyRing;
use crate::seal::stream::Stream;
use crate::seen_counters::SeenCounters;

/// What derived keys are kept by.
type StreamPlace = (SessionId, u32, StreamId);

/// Opens points with the keys of a ring.
///
/// It keeps the derived keys of streams that have spoken truly, and the counters of each session
/// that were opened by [`Opener::open_once`]; both bounded.
#[derive(Debug)]
pub struct Opener {
    chat: ChatName,
    ring: KeyRing,
    streams: HashMap<StreamPlace, Stream>,
    seen: HashMap<SessionId, SeenCounters>,
}

impl Opener {
    /// With the keys that a member has.
    pub fn new(chat: ChatName, ring: KeyRing) -> Self {
        Self {
            chat,
            ring,
            streams: HashMap::new(),
            seen: HashMap::new(),
        }
    }

    /// The keys.
    pub fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Takes other keys; what is known of counters stays.
    pub fn set_ring(&mut self, ring: KeyRing) {
        self.ring = ring;
        self.streams.clear();
    }

    /// Opens a point, however often. For what is shown again, as the newest point of a table.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn open(
        &mut self,
        session: SessionId,
        counter: Counter,
        captured_at_ms: i64,
        blob: &[u8],
    ) -> Result<Fix, OpenError> {
        let mut rest = blob;
        let head = Head::read(&mut rest)?;
        let place = (session, head.epoch, head.stream);
        let fix = |plain: &[u8]| fix_bytes::decode(plain).ok_or(OpenError::NotAPoint);
        if let Some(stream) = self.streams.get(&place) {
            return stream.open(counter, captured_at_ms, rest, fix)?;
        }
        let key = self.ring.find(&self.chat, session, head.epoch);
        let key = key.ok_or(OpenError::UnknownKey { epoch: head.epoch })?;
        if key.suite() != head.suite {
            return Err(OpenError::NotAuthentic);
        }
        let stream = Stream::new(key, session, head.stream);
        let stream = stream.map_err(|_| OpenError::NotAuthentic)?;
        let fix = stream.open(counter, captured_at_ms, rest, fix)?;
        // Only now: whoever makes ids up must not push out those that are real.
        if self.streams.len() >= SEAL_STREAMS_MAX {
            self.streams.clear();
        }
        self.streams.insert(place, stream);
        fix
    }

    /// Opens a point that is news: a counter of a session is opened once.
    ///
    /// # Errors
    /// As [`Opener::open`]; `Replayed` for a counter that was opened before, or lies so far below
    /// the greatest that nobody remembers.
    pub fn open_once(
        &mut self,
        session: SessionId,
        counter: Counter,
        captured_at_ms: i64,
        blob: &[u8],
    ) -> Result<Fix, OpenError> {
        let fix = self.open(session, counter, captured_at_ms, blob)?;
        if self.seen.len() >= SEAL_SESSIONS_MAX && !self.seen.contains_key(&session) {
            self.seen.clear();
        }
        let seen = self.seen.entry(session);
        let seen = seen.or_insert_with(|| SeenCounters::new(true));
        match seen.insert(counter.0) {
            true => Ok(fix),
            false => Err(OpenError::Replayed),
        }
    }

    /// A session is over: nothing of it needs to be remembered.
    pub fn forget(&mut self, session: SessionId) {
        self.seen.remove(&session);
        self.streams.retain(|(of, _, _), _| *of != session);
    }

    /// Everything is told anew, points that were opened before as well.
    pub fn restart(&mut self) {
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use skein_wire::ids::{ChatName, Counter, SessionId};
    use skein_wire::point::{Fix, Heading, Position};

    use crate::seal::error::{OpenError, SealError};
    use crate::seal::key::SealKey;
    use crate::seal::key_ring::KeyRing;
    use crate::seal::opener::Opener;
    use crate::seal::sealer::Sealer;
    use crate::seal::suite::Suite;

    const SESSION: SessionId = SessionId(0xa1);
    const AT_MS: i64 = 1_777_627_800_000;

    fn chat(name: &str) -> ChatName {
        ChatName::new(name).expect("a name")
    }

    fn key(epoch: u32, suite: Suite, byte: u8) -> SealKey {
        SealKey::from_parts(chat("geese"), None, epoch, suite, [byte; 32])
    }

    fn fix(lat_e6: i32) -> Fix {
        Fix {
            position: Position {
                lat_e6,
                lon_e6: 13_000_000,
            },
            heading: Some(Heading(64)),
            ..Fix::default()
        }
    }

    fn opener(keys: &[SealKey]) -> Opener {
        let mut ring = KeyRing::default();
        for key in keys {
            ring.insert(key.clone()).expect("room");
        }
        Opener::new(chat("geese"), ring)
    }

    fn seal(key: &SealKey, counter: u64) -> Bytes {
        let mut sealer = Sealer::new(key, SESSION).expect("a stream");
        let blob = sealer.seal(Counter(counter), AT_MS, &fix(45_000_000));
        blob.expect("sealed")
    }

    #[test]
    fn every_suite_opens_what_it_sealed_and_blobs_have_one_length() {
        for (suite, bytes) in [
            (Suite::CtrHmac64, 31),
            (Suite::CtrHmac80, 33),
            (Suite::Gcm128, 39),
        ] {
            let key = key(1, suite, 1);
            let mut sealer = Sealer::new(&key, SESSION).expect("a stream");
            let mut opener = opener(std::slice::from_ref(&key));
            for (counter, fix) in [(1, fix(45_000_000)), (2, Fix::default())] {
                let counter = Counter(counter);
                let blob = sealer.seal(counter, AT_MS, &fix).expect("sealed");
                assert_eq!(blob.len(), bytes, "{suite:?}");
                assert_eq!(opener.open(SESSION, counter, AT_MS, &blob), Ok(fix));
            }
        }
    }

    /// For other implementations, and for ourselves: a changed byte here breaks every key that is out there.
    #[test]
    fn the_vectors_of_the_document_hold() {
        let page = include_str!("../../../docs/SEALED.md");
        for suite in Suite::ALL {
            let secret = std::array::from_fn(|index| index as u8);
            let key = SealKey::from_parts(chat("geese"), None, 300, suite, secret);
            let id = *b"\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7";
            let mut sealer = Sealer::with_stream(&key, SESSION, id).expect("a stream");
            let blob = sealer.seal(Counter(260), AT_MS, &fix(45_270_010));
            let blob = blob.expect("sealed");
            let hex: String = blob.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(page.contains(&hex), "{suite:?} gives {hex}");
            assert!(page.contains(&key.to_text()), "{}", key.to_text());
            assert!(page.contains(&key.fingerprint()));
            let opened = opener(&[key]).open(SESSION, Counter(260), AT_MS, &blob);
            assert_eq!(opened, Ok(fix(45_270_010)));
        }
    }

    #[test]
    fn a_blob_opens_at_its_place_only() {
        for suite in Suite::ALL {
            let key = key(1, suite, 1);
            let blob = seal(&key, 5);
            let mut opener_here = opener(std::slice::from_ref(&key));
            let mut open =
                |session, counter, at_ms| opener_here.open(session, Counter(counter), at_ms, &blob);
            assert!(open(SESSION, 5, AT_MS).is_ok());
            let refused = Err(OpenError::NotAuthentic);
            assert_eq!(open(SessionId(0xa2), 5, AT_MS), refused, "another session");
            assert_eq!(open(SESSION, 6, AT_MS), refused, "another counter");
            assert_eq!(open(SESSION, 5, AT_MS + 1), refused, "another time");
            let secret = SealKey::from_parts(chat("ducks"), None, 1, suite, [1; 32]);
            let mut ring = KeyRing::default();
            ring.insert(secret).expect("room");
            let mut elsewhere = Opener::new(chat("ducks"), ring);
            let opened = elsewhere.open(SESSION, Counter(5), AT_MS, &blob);
            assert_eq!(opened, refused, "another chat");
        }
    }

    #[test]
    fn wrong_and_missing_keys_are_told_apart() {
        let blob = seal(&key(2, Suite::default(), 1), 1);
        let open = |keys: &[SealKey]| opener(keys).open(SESSION, Counter(1), AT_MS, &blob);
        assert_eq!(
            open(&[key(1, Suite::default(), 1)]),
            Err(OpenError::UnknownKey { epoch: 2 })
        );
        assert_eq!(
            open(&[key(2, Suite::default(), 9)]),
            Err(OpenError::NotAuthentic)
        );
        // The same secret under another suite: nobody chooses a weaker tag for somebody else's key.
        assert_eq!(
            open(&[key(2, Suite::CtrHmac64, 1)]),
            Err(OpenError::NotAuthentic)
        );
    }

    #[test]
    fn any_changed_bit_is_refused() {
        let key = key(1, Suite::default(), 1);
        let blob = seal(&key, 1);
        let mut opener = opener(&[key]);
        for bit in 0..blob.len() * 8 {
            let mut changed = blob.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            let opened = opener.open(SESSION, Counter(1), AT_MS, &changed);
            assert!(opened.is_err(), "bit {bit}");
        }
        for cut in 0..blob.len() {
            let opened = opener.open(SESSION, Counter(1), AT_MS, &blob[..cut]);
            assert!(opened.is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_counter_is_sealed_once_and_opened_once() {
        let key = key(1, Suite::default(), 1);
        let mut sealer = Sealer::new(&key, SESSION).expect("a stream");
        let one = sealer.seal(Counter(1), AT_MS, &fix(1)).expect("sealed");
        let used = sealer.seal(Counter(1), AT_MS, &fix(2));
        assert_eq!(used, Err(SealError::CounterUsed { counter: 1 }));
        let two = sealer.seal(Counter(2), AT_MS, &fix(2)).expect("sealed");
        let mut opener = opener(&[key]);
        // Late points come after newer ones.
        assert!(opener.open_once(SESSION, Counter(2), AT_MS, &two).is_ok());
        assert!(opener.open_once(SESSION, Counter(1), AT_MS, &one).is_ok());
        for (counter, blob) in [(1, &one), (2, &two)] {
            let again = opener.open_once(SESSION, Counter(counter), AT_MS, blob);
            assert_eq!(again, Err(OpenError::Replayed));
        }
        opener.restart();
        assert!(opener.open_once(SESSION, Counter(2), AT_MS, &two).is_ok());
    }

    /// A sender that starts again without its memory uses its counters again, for other places.
    #[test]
    fn a_restarted_sender_never_repeats_a_key_and_nonce() {
        for suite in Suite::ALL {
            let key = key(1, suite, 1);
            let (before, after) = (seal(&key, 1), seal(&key, 1));
            // The same plaintext at the same counter: with the same key and nonce the ciphertexts would agree.
            assert_ne!(before[10..23], after[10..23], "{suite:?}");
            assert_ne!(before[2..10], after[2..10], "streams differ");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_error(blob in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut opener = opener(&[key(1, Suite::default(), 1)]);
            prop_assert!(opener.open(SESSION, Counter(1), AT_MS, &blob).is_err());
        }
    }
}
