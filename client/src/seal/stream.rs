//! The cipher of one run of one sender: derived from the chat's secret, bound to its place.
//!
//! A *stream* is what one sender seals between its start and its end with one key. Its id is random,
//! so the keys of two streams differ even where everything else is the same: a phone that starts
//! anew without its memory, or a server that gives out one session id twice, never makes anybody use
//! a nonce again. Within a stream the counter of the point makes the nonce.

use skein_wire::ids::{ChatName, Counter, SessionId};

use crate::seal::blob::{Head, StreamId};
use crate::seal::cipher::Cipher;
use crate::seal::error::{OpenError, SealError};
use crate::seal::fix_bytes::FIX_BYTES;
use crate::seal::key::SealKey;

/// Bytes of a nonce.
const NONCE_BYTES: usize = 12;

/// Most bytes of key material that a suite wants.
const MATERIAL_BYTES_MAX: usize = 48;

/// Most bytes of a ciphertext with its tag.
const CIPHERTEXT_BYTES_MAX: usize = FIX_BYTES + 16;

/// A cipher in its place.
#[derive(Debug)]
pub(crate) struct Stream {
    head: Head,
    cipher: Cipher,
    salt: [u8; NONCE_BYTES],
    /// Suite, epoch, stream, session and chat: what keys and tags are bound to.
    context: Vec<u8>,
}

impl Stream {
    /// Derives the keys.
    pub fn new(key: &SealKey, session: SessionId, id: StreamId) -> Result<Self, SealError> {
        let suite = key.suite();
        let context = context(key, session, id);
        let mut material = [0; MATERIAL_BYTES_MAX];
        let material = &mut material[..suite.key_bytes()];
        key.derive(&[b"key", &context], material)?;
        let mut salt = [0; NONCE_BYTES];
        key.derive(&[b"salt", &context], &mut salt)?;
        Ok(Self {
            head: Head {
                suite,
                epoch: key.epoch(),
                stream: id,
            },
            cipher: Cipher::new(suite, material).map_err(|_| SealError::Cipher)?,
            salt,
            context,
        })
    }

    /// The blob of a plaintext. Once per counter.
    pub fn seal(
        &self,
        counter: Counter,
        captured_at_ms: i64,
        plain: &[u8; FIX_BYTES],
    ) -> Result<Vec<u8>, SealError> {
        let mut blob = Vec::with_capacity(16 + CIPHERTEXT_BYTES_MAX);
        self.head.put(&mut blob);
        let start = blob.len();
        blob.extend_from_slice(plain);
        let aad = self.aad(counter, captured_at_ms);
        self.cipher
            .seal(self.nonce(counter), &aad, &mut blob, start)
            .map_err(|_| SealError::Cipher)?;
        Ok(blob)
    }

    /// The plaintext of what stands behind a blob's head, handed to `read`.
    pub fn open<T>(
        &self,
        counter: Counter,
        captured_at_ms: i64,
        ciphertext: &[u8],
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, OpenError> {
        let mut buffer = [0; CIPHERTEXT_BYTES_MAX];
        let bytes = buffer.get_mut(..ciphertext.len());
        let bytes = bytes.ok_or(OpenError::Malformed)?;
        bytes.copy_from_slice(ciphertext);
        let aad = self.aad(counter, captured_at_ms);
        let plain = self.cipher.open(self.nonce(counter), &aad, bytes);
        plain.map(read).map_err(|_| OpenError::NotAuthentic)
    }

    /// The counter, big-endian, laid over the end of the salt: RFC 9605, section 4.4.3.
    fn nonce(&self, counter: Counter) -> [u8; NONCE_BYTES] {
        let mut nonce = self.salt;
        let counter = counter.0.to_be_bytes();
        for (byte, of_counter) in nonce[NONCE_BYTES - 8..].iter_mut().zip(counter) {
            *byte ^= of_counter;
        }
        nonce
    }

    fn aad(&self, counter: Counter, captured_at_ms: i64) -> Vec<u8> {
        let mut aad = Vec::with_capacity(5 + self.context.len() + 16);
        aad.extend_from_slice(b"point");
        aad.extend_from_slice(&self.context);
        aad.extend_from_slice(&counter.0.to_le_bytes());
        aad.extend_from_slice(&captured_at_ms.to_le_bytes());
        aad
    }
}

fn context(key: &SealKey, session: SessionId, id: StreamId) -> Vec<u8> {
    let chat: &ChatName = key.chat();
    let mut context = Vec::with_capacity(1 + 4 + 8 + 8 + chat.as_str().len());
    context.push(key.suite().number());
    context.extend_from_slice(&key.epoch().to_le_bytes());
    context.extend_from_slice(&id);
    context.extend_from_slice(&session.0.to_le_bytes());
    // Last, and the only part without a fixed length.
    context.extend_from_slice(chat.as_str().as_bytes());
    context
}
