//! Tokens of guests: what a link shows and until when, signed by this server.
//!
//! ```text
//!   skg1.BASE64URL( guest u64 · expires_at_ms u64 · session u64 · grid_m u32 · options u8 · chat · tag )
//! ```
//!
//! Numbers are little-endian, session 0 is the whole chat, options 1 is "newest only", the chat's name is
//! what lies before the last 32 bytes: the HMAC-SHA-256 of all before it. A token opens nothing by itself:
//! the link must still be one of the chat's, so that it can be revoked.

use std::fmt;
use std::path::Path;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use skein_engine::grid::Grid;
use skein_engine::guest::GuestGrant;
use skein_engine::ids::GuestId;
use skein_wire::ids::{ChatName, SessionId};

use crate::access::error::AccessError;
use crate::access::secret_file;

/// How tokens of guests begin; no JWT does.
pub const GUEST_TOKEN_PREFIX: &str = "skg1.";

/// The key within the directory of keys.
const GUEST_KEY_FILE: &str = "guest.key";

/// Says what the key signs, so that a tag is good for nothing else.
const CONTEXT: &[u8] = b"skein guest token 1";

/// Bytes of the tag.
const TAG_BYTES: usize = 32;

/// Option: nothing of where people were.
const LAST_ONLY: u8 = 1;

/// The key that signs and verifies tokens of guests. `Debug` shows nothing of it.
pub struct GuestKey(Key);

impl GuestKey {
    /// Reads the key in the directory of keys, or makes it.
    ///
    /// # Errors
    /// When the file cannot be read or made, or is no key.
    pub fn open_or_create(dir: &Path) -> Result<Self, AccessError> {
        let key = secret_file::read_or_create_key(&dir.join(GUEST_KEY_FILE))?;
        Ok(Self(Key::new(HMAC_SHA256, &key)))
    }

    /// The token of a link.
    pub fn sign(&self, grant: &GuestGrant, expires_at_ms: u64) -> String {
        let mut bytes = Vec::with_capacity(64 + grant.chat.as_str().len());
        bytes.extend(grant.guest.0.to_le_bytes());
        bytes.extend(expires_at_ms.to_le_bytes());
        bytes.extend(grant.session.map_or(0, |session| session.0).to_le_bytes());
        bytes.extend(grant.grid.map_or(0, Grid::metres).to_le_bytes());
        bytes.push(if grant.last_only { LAST_ONLY } else { 0 });
        bytes.extend(grant.chat.as_str().as_bytes());
        let tag = sign(&self.0, &[CONTEXT, &bytes].concat());
        bytes.extend(tag.as_ref());
        format!("{GUEST_TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What a token shows, and when it ends in milliseconds since 1970; `None` if it is not signed by
    /// this key.
    pub fn verify(&self, token: &str) -> Option<(GuestGrant, u64)> {
        let text = token.strip_prefix(GUEST_TOKEN_PREFIX)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (signed, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
        verify(&self.0, &[CONTEXT, signed].concat(), tag).ok()?;
        read(signed)
    }
}

impl fmt::Debug for GuestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuestKey(..)")
    }
}

fn read(bytes: &[u8]) -> Option<(GuestGrant, u64)> {
    let (guest, bytes) = bytes.split_first_chunk()?;
    let (expires, bytes) = bytes.split_first_chunk()?;
    let (session, bytes) = bytes.split_first_chunk()?;
    let (grid, bytes) = bytes.split_first_chunk()?;
    let (options, chat) = bytes.split_first()?;
    let session = SessionId(u64::from_le_bytes(*session));
    let metres = u32::from_le_bytes(*grid);
    let grant = GuestGrant {
        guest: GuestId(u64::from_le_bytes(*guest)),
        chat: ChatName::new(std::str::from_utf8(chat).ok()?).ok()?,
        session: (session.0 != 0).then_some(session),
        last_only: *options == LAST_ONLY,
        grid: match metres {
            0 => None,
            metres => Some(Grid::new(metres)?),
        },
    };
    Some((grant, u64::from_le_bytes(*expires)))
}

#[cfg(test)]
mod tests {
    use skein_engine::grid::Grid;
    use skein_engine::guest::GuestGrant;
    use skein_engine::ids::GuestId;
    use skein_wire::ids::{ChatName, SessionId};
    use skein_wire::limits::{CHAT_NAME_BYTES_MAX, TOKEN_BYTES_MAX};

    use crate::access::guest_token::GuestKey;

    fn grant(chat: &str) -> GuestGrant {
        GuestGrant {
            guest: GuestId(7),
            chat: ChatName::new(chat).unwrap(),
            session: Some(SessionId(9)),
            last_only: true,
            grid: Grid::new(500),
        }
    }

    #[test]
    fn a_token_says_what_was_signed_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let key = GuestKey::open_or_create(dir.path()).unwrap();
        for grant in [
            grant("hike"),
            grant(&"é".repeat(CHAT_NAME_BYTES_MAX / 2)),
            GuestGrant {
                session: None,
                last_only: false,
                grid: None,
                ..grant("hike")
            },
        ] {
            let token = key.sign(&grant, 5);
            assert!(token.len() <= TOKEN_BYTES_MAX, "{}", token.len());
            let again = GuestKey::open_or_create(dir.path()).unwrap();
            assert_eq!(again.verify(&token), Some((grant, 5)));
        }
    }

    #[test]
    fn a_changed_or_foreign_token_is_none() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = GuestKey::open_or_create(dir.path()).unwrap();
        let token = key.sign(&grant("hike"), 5);
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'Q' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(key.verify(&changed), None, "byte {at}");
        }
        for end in 0..token.len() {
            assert_eq!(key.verify(&token[..end]), None, "cut at {end}");
        }
        let foreign = GuestKey::open_or_create(other.path()).unwrap();
        assert_eq!(foreign.verify(&token), None);
    }
}
