//! AES-128-CTR with a truncated HMAC-SHA-256: the composition of RFC 9605, section 4.5.1.
//!
//! ```text
//!  key material = AES key (16) · HMAC key (32)
//!  counter block = nonce (12) · 0 (4)
//!  tag = first bytes of HMAC(aad length u64 · ciphertext length u64 · tag length u64
//!                            · nonce · aad · ciphertext)          lengths big-endian
//! ```

use aws_lc_rs::cipher::{
    AES_128, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;

/// Bytes of an AES-128 key.
const AES_KEY_BYTES: usize = 16;

/// Bytes of a counter block behind the nonce.
const BLOCK_COUNTER_BYTES: usize = 4;

/// A pair of keys.
#[derive(Debug)]
pub(crate) struct CtrHmac {
    encrypting: EncryptingKey,
    decrypting: DecryptingKey,
    signing: hmac::Key,
    tag_bytes: usize,
}

impl CtrHmac {
    /// From 48 bytes of key material.
    pub fn new(material: &[u8], tag_bytes: usize) -> Result<Self, Unspecified> {
        let (aes, mac) = material
            .split_at_checked(AES_KEY_BYTES)
            .ok_or(Unspecified)?;
        Ok(Self {
            encrypting: EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, aes)?)?,
            decrypting: DecryptingKey::ctr(UnboundCipherKey::new(&AES_128, aes)?)?,
            signing: hmac::Key::new(hmac::HMAC_SHA256, mac),
            tag_bytes,
        })
    }

    /// Replaces the plaintext behind `start` by the ciphertext and its tag.
    pub fn seal(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        bytes: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), Unspecified> {
        let context = EncryptionContext::Iv128(block(nonce));
        self.encrypting
            .less_safe_encrypt(&mut bytes[start..], context)?;
        let tag = self.tag(nonce, aad, &bytes[start..]);
        bytes.extend_from_slice(&tag.as_ref()[..self.tag_bytes]);
        Ok(())
    }

    /// The plaintext of a ciphertext with its tag.
    pub fn open<'b>(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        bytes: &'b mut [u8],
    ) -> Result<&'b [u8], Unspecified> {
        let length = bytes.len().checked_sub(self.tag_bytes).ok_or(Unspecified)?;
        let (ciphertext, tag) = bytes.split_at_mut(length);
        let wanted = self.tag(nonce, aad, ciphertext);
        verify_slices_are_equal(&wanted.as_ref()[..self.tag_bytes], tag)?;
        let context = DecryptionContext::Iv128(block(nonce));
        self.decrypting
            .decrypt(ciphertext, context)
            .map(|plain| &*plain)
    }

    fn tag(&self, nonce: &[u8; 12], aad: &[u8], ciphertext: &[u8]) -> hmac::Tag {
        let mut mac = hmac::Context::with_key(&self.signing);
        for length in [aad.len(), ciphertext.len(), self.tag_bytes] {
            mac.update(&(length as u64).to_be_bytes());
        }
        for part in [nonce.as_slice(), aad, ciphertext] {
            mac.update(part);
        }
        mac.sign()
    }
}

fn block(nonce: &[u8; 12]) -> FixedLength<16> {
    let mut block = [0; 12 + BLOCK_COUNTER_BYTES];
    block[..12].copy_from_slice(nonce);
    FixedLength::from(&block)
}

#[cfg(test)]
mod tests {
    use crate::seal::ctr_hmac::CtrHmac;

    fn unhex(text: &str) -> Vec<u8> {
        let byte = |index| u8::from_str_radix(&text[index..index + 2], 16).expect("hex");
        (0..text.len()).step_by(2).map(byte).collect()
    }

    /// RFC 9605, appendix C.2: one key, nonce, aad and plaintext; the suites differ in their tags.
    #[test]
    fn the_vectors_of_rfc_9605_hold() {
        let material: Vec<u8> = (0..48).collect();
        let nonce: [u8; 12] = std::array::from_fn(|index| 0x10 + index as u8);
        let aad = b"IETF SFrame WG";
        let plain = b"draft-ietf-sframe-enc";
        for (tag_bytes, expect) in [
            (
                10,
                "6339af04ada1d064688a442b8dc69d5b6bfa40f4bef0583e8081069cc60705",
            ),
            (
                8,
                "6339af04ada1d064688a442b8dc69d5b6bfa40f4be6e93b7da076927bb",
            ),
            (4, "6339af04ada1d064688a442b8dc69d5b6bfa40f4be09480509"),
        ] {
            let cipher = CtrHmac::new(&material, tag_bytes).expect("keys");
            let mut bytes = plain.to_vec();
            cipher.seal(&nonce, aad, &mut bytes, 0).expect("sealed");
            assert_eq!(bytes, unhex(expect), "{tag_bytes}");
            let opened = cipher.open(&nonce, aad, &mut bytes).expect("opened");
            assert_eq!(opened, plain);
        }
    }

    #[test]
    fn any_changed_bit_is_refused() {
        let material: Vec<u8> = (0..48).collect();
        let cipher = CtrHmac::new(&material, 8).expect("keys");
        let (nonce, aad) = ([7; 12], b"aad");
        let mut sealed = b"plain".to_vec();
        cipher.seal(&nonce, aad, &mut sealed, 0).expect("sealed");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(cipher.open(&nonce, aad, &mut changed).is_err(), "bit {bit}");
        }
        let mut nonce_changed = nonce;
        nonce_changed[11] ^= 1;
        assert!(
            cipher
                .open(&nonce_changed, aad, &mut sealed.clone())
                .is_err()
        );
        assert!(cipher.open(&nonce, b"aae", &mut sealed.clone()).is_err());
        for cut in 0..sealed.len() {
            let mut short = sealed[..cut].to_vec();
            assert!(cipher.open(&nonce, aad, &mut short).is_err(), "{cut}");
        }
    }
}
