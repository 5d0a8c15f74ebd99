//! One suite with its keys: seals and opens bytes.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;

use crate::seal::ctr_hmac::CtrHmac;
use crate::seal::suite::Suite;

/// A cipher with its keys. `Debug` of the library shows nothing of them.
#[derive(Debug)]
pub(crate) enum Cipher {
    CtrHmac(Box<CtrHmac>),
    Gcm(LessSafeKey),
}

impl Cipher {
    /// From as much key material as the suite wants.
    pub fn new(suite: Suite, material: &[u8]) -> Result<Self, Unspecified> {
        Ok(match suite {
            Suite::CtrHmac80 | Suite::CtrHmac64 => {
                Self::CtrHmac(Box::new(CtrHmac::new(material, suite.tag_bytes())?))
            }
            Suite::Gcm128 => Self::Gcm(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, material)?)),
        })
    }

    /// Replaces the plaintext behind `start` by the ciphertext and its tag. Never twice with one
    /// nonce: the caller's promise.
    pub fn seal(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        bytes: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), Unspecified> {
        match self {
            Self::CtrHmac(cipher) => cipher.seal(&nonce, aad, bytes, start),
            Self::Gcm(key) => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                let plain = &mut bytes[start..];
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), plain)?;
                bytes.extend_from_slice(tag.as_ref());
                Ok(())
            }
        }
    }

    /// The plaintext of a ciphertext with its tag.
    pub fn open<'b>(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        bytes: &'b mut [u8],
    ) -> Result<&'b [u8], Unspecified> {
        match self {
            Self::CtrHmac(cipher) => cipher.open(&nonce, aad, bytes),
            Self::Gcm(key) => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                let plain = key.open_in_place(nonce, Aad::from(aad), bytes)?;
                Ok(plain)
            }
        }
    }
}
