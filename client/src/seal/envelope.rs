//! A key as bytes and as a line of text: what the chat application carries from member to member,
//! inside of its own encrypted messages, and what key files hold.
//!
//! ```text
//!  version u8 (1) · suite u8 · epoch u32 · session u64 (0 = every session of the chat)
//!  · chat length u8 · chat name · secret (32 bytes) · check (4 bytes)
//! ```
//!
//! Numbers are little-endian. The check is the first bytes of SHA-256 over what stands before it,
//! against copies that were cut off or mistyped. As text: `skein-key-1:` and base64url without
//! padding.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use skein_wire::ids::{ChatName, SessionId};

use crate::seal::key::{SECRET_BYTES, SealKey};
use crate::seal::suite::Suite;

/// How a key begins as text.
pub const TEXT_PREFIX: &str = "skein-key-1:";

/// First byte of an envelope.
const VERSION: u8 = 1;

/// Bytes before the chat's name.
const HEAD_BYTES: usize = 1 + 1 + 4 + 8 + 1;

/// Bytes of the check.
const CHECK_BYTES: usize = 4;

impl SealKey {
    /// The envelope. It is the key itself: only for the eyes of members.
    pub fn to_bytes(&self) -> Vec<u8> {
        let chat = self.chat().as_str().as_bytes();
        let mut bytes = Vec::with_capacity(HEAD_BYTES + chat.len() + SECRET_BYTES + CHECK_BYTES);
        bytes.extend([VERSION, self.suite().number()]);
        bytes.extend(self.epoch().to_le_bytes());
        bytes.extend(self.session().map_or(0, |session| session.0).to_le_bytes());
        // A chat's name has at most 128 bytes.
        bytes.push(chat.len() as u8);
        bytes.extend(chat);
        bytes.extend(self.secret());
        let check = check(&bytes);
        bytes.extend(check);
        bytes
    }

    /// The key of an envelope.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        let cut = "a key is cut off or has bytes too many; copy it anew";
        let length = bytes.len().checked_sub(CHECK_BYTES).ok_or(cut)?;
        let (body, sum) = bytes.split_at(length);
        let (head, rest) = body.split_at_checked(HEAD_BYTES).ok_or(cut)?;
        if head[0] != VERSION {
            return Err("a key of another version; use a newer program");
        }
        if sum != check(body) {
            return Err("a key is damaged; copy it anew");
        }
        let (chat, secret) = rest
            .split_at_checked(usize::from(head[HEAD_BYTES - 1]))
            .ok_or(cut)?;
        let secret: [u8; SECRET_BYTES] = secret.try_into().map_err(|_| cut)?;
        let number = |range: std::ops::Range<usize>| {
            let bytes = head[range].iter().rev();
            bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        let suite = Suite::from_number(head[1]);
        let suite = suite.ok_or("a key for a suite that is not known here; use a newer program")?;
        let chat = std::str::from_utf8(chat).ok();
        let chat = chat.and_then(|chat| ChatName::new(chat).ok());
        let session = number(6..14);
        Ok(Self::from_parts(
            chat.ok_or("a key for a chat whose name cannot be")?,
            (session != 0).then_some(SessionId(session)),
            number(2..6) as u32,
            suite,
            secret,
        ))
    }

    /// The envelope as a line of text.
    pub fn to_text(&self) -> String {
        format!("{TEXT_PREFIX}{}", URL_SAFE_NO_PAD.encode(self.to_bytes()))
    }

    /// The key of such a line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_text(text: &str) -> Result<Self, &'static str> {
        let coded = text.trim().strip_prefix(TEXT_PREFIX);
        let coded = coded.ok_or("no key: one begins with `skein-key-1:`")?;
        let bytes = URL_SAFE_NO_PAD.decode(coded);
        Self::from_bytes(&bytes.map_err(|_| "a key is not base64url; copy it anew")?)
    }
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = digest::digest(&digest::SHA256, bytes);
    std::array::from_fn(|index| digest.as_ref()[index])
}

#[cfg(test)]
mod tests {
    use skein_wire::ids::{ChatName, SessionId};

    use crate::seal::key::SealKey;
    use crate::seal::suite::Suite;

    fn key(session: Option<SessionId>) -> SealKey {
        let chat = ChatName::new("geese").expect("a name");
        let secret = std::array::from_fn(|index| index as u8);
        SealKey::from_parts(chat, session, 0x0102_0304, Suite::Gcm128, secret)
    }

    #[test]
    fn the_bytes_are_as_documented() {
        let bytes = key(Some(SessionId(0xa1))).to_bytes();
        assert_eq!(
            bytes[..15],
            [1, 4, 4, 3, 2, 1, 0xa1, 0, 0, 0, 0, 0, 0, 0, 5]
        );
        assert_eq!(&bytes[15..20], b"geese");
        assert_eq!((bytes[20], bytes[51], bytes.len()), (0, 31, 56));
        for key in [key(None), key(Some(SessionId(7)))] {
            assert_eq!(SealKey::from_text(&key.to_text()), Ok(key));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_a_reason() {
        let good = key(None).to_bytes();
        for cut in 0..good.len() {
            assert!(SealKey::from_bytes(&good[..cut]).is_err(), "{cut}");
        }
        for bit in 0..good.len() * 8 {
            let mut changed = good.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(SealKey::from_bytes(&changed).is_err(), "bit {bit}");
        }
        for text in [
            "",
            "skein-key-1:",
            "skein-key-1:*",
            "skein-key-2:AAAA",
            "secret",
        ] {
            assert!(SealKey::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let shown = format!("{:?}", key(None));
        assert!(!shown.contains("secret"), "{shown}");
        assert_eq!(key(None).fingerprint().len(), 16);
    }
}
