//! A key of a chat: what members share and the server never sees.

use std::fmt;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::rand;
use skein_wire::ids::{ChatName, SessionId};

use crate::seal::error::SealError;
use crate::seal::suite::Suite;

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;

/// Names this use of a secret: one of another protocol or version gives other keys.
const DOMAIN: &[u8] = b"skein seal 1";

/// Bytes of a fingerprint.
const FINGERPRINT_BYTES: usize = 8;

/// The secret of one epoch, for a chat or for one session of it.
///
/// A new epoch has a new, random secret, so that who has left cannot open what comes later. `Debug`
/// shows nothing of the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey {
    chat: ChatName,
    session: Option<SessionId>,
    epoch: u32,
    suite: Suite,
    secret: [u8; SECRET_BYTES],
}

impl SealKey {
    /// A key that nobody else has yet.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn random(
        chat: ChatName,
        session: Option<SessionId>,
        epoch: u32,
        suite: Suite,
    ) -> Result<Self, SealError> {
        let mut secret = [0; SECRET_BYTES];
        rand::fill(&mut secret).map_err(|_| SealError::NoRandom)?;
        Ok(Self::from_parts(chat, session, epoch, suite, secret))
    }

    /// A key that was made elsewhere, by the chat application or by an exporter of its group.
    pub fn from_parts(
        chat: ChatName,
        session: Option<SessionId>,
        epoch: u32,
        suite: Suite,
        secret: [u8; SECRET_BYTES],
    ) -> Self {
        Self {
            chat,
            session,
            epoch,
            suite,
            secret,
        }
    }

    /// The chat.
    pub fn chat(&self) -> &ChatName {
        &self.chat
    }

    /// The only session it is for; `None` = every session of the chat.
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Which epoch's.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// How points are sealed with it.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// What two members can compare by voice; tells nothing of the secret.
    pub fn fingerprint(&self) -> String {
        let mut bytes = [0; FINGERPRINT_BYTES];
        match self.derive(&[b"fingerprint"], &mut bytes) {
            Ok(()) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Err(_) => String::new(),
        }
    }

    pub(crate) fn secret(&self) -> &[u8; SECRET_BYTES] {
        &self.secret
    }

    /// HKDF-SHA-256 of the secret for a purpose.
    pub(crate) fn derive(&self, info: &[&[u8]], out: &mut [u8]) -> Result<(), SealError> {
        let prk: Prk = Salt::new(HKDF_SHA256, DOMAIN).extract(&self.secret);
        let okm = prk.expand(info, Length(out.len()));
        okm.and_then(|okm| okm.fill(out))
            .map_err(|_| SealError::Cipher)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealKey")
            .field("chat", &self.chat)
            .field("session", &self.session)
            .field("epoch", &self.epoch)
            .field("suite", &self.suite)
            .finish_non_exhaustive()
    }
}

/// How many bytes are wanted.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
