//! The keys behind QUIC's stateless parts, kept in the data directory.
//!
//! With them a server that has been restarted answers the packets of connections it has lost with
//! a stateless reset, so that clients come back at once instead of waiting for a timeout.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::hmac::{HMAC_SHA256, Key};

use crate::access::error::AccessError;
use crate::access::secret_file;

/// The keys; `Debug` shows nothing of them.
#[derive(Clone)]
pub struct QuicKeys {
    /// Signs stateless resets.
    pub reset: Arc<Key>,
    /// Seals retry and address tokens.
    pub token: Arc<Prk>,
    /// Signs connection ids, so that foreign ones are told from those of before a restart.
    pub id: Arc<Key>,
}

impl QuicKeys {
    /// Reads the keys in `dir`, or makes them.
    ///
    /// # Errors
    /// When a file cannot be read or made, or is no key.
    pub fn open_or_create(dir: &Path) -> Result<Self, AccessError> {
        let reset = secret_file::read_or_create_key(&dir.join("quic-reset.key"))?;
        let token = secret_file::read_or_create_key(&dir.join("quic-token.key"))?;
        let id = secret_file::read_or_create_key(&dir.join("quic-id.key"))?;
        Ok(Self {
            reset: Arc::new(Key::new(HMAC_SHA256, &reset)),
            token: Arc::new(Salt::new(HKDF_SHA256, &[]).extract(&token)),
            id: Arc::new(Key::new(HMAC_SHA256, &id)),
        })
    }
}

impl fmt::Debug for QuicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuicKeys(..)")
    }
}
