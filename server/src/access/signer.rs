//! The key that signs users' tokens, and the tokens it makes.

use std::fmt;
use std::path::Path;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ED25519};
use serde::{Deserialize, Serialize};
use skein_wire::ids::UserName;

use crate::access::error::AccessError;
use crate::access::secret_file;

/// `aud` of every token meant for this server.
pub const TOKEN_AUDIENCE: &str = "skein";

/// Hexadecimal digits of a key id that is made from the key itself: 64 bits tell keys apart.
const KID_DIGITS: usize = 16;

/// What a token says. `aud` is checked by the token library and not kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The user.
    pub sub: String,
    /// End of validity, seconds since 1970.
    pub exp: u64,
    /// Start of validity, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
}

#[derive(Serialize)]
struct SignedClaims<'a> {
    #[serde(flatten)]
    claims: Claims,
    aud: &'a str,
    iat: u64,
}

/// An Ed25519 private key that makes tokens. `Debug` shows the key id only.
pub struct TokenSigner {
    kid: String,
    public: Vec<u8>,
    key: EncodingKey,
}

impl TokenSigner {
    /// Reads a PKCS#8 PEM file.
    ///
    /// # Errors
    /// When it cannot be read or holds no Ed25519 private key.
    pub fn open(path: &Path) -> Result<Self, AccessError> {
        Self::from_pem(path, &secret_file::read(path)?)
    }

    /// Reads the key, or makes one (mode 0600) when there is none.
    ///
    /// # Errors
    /// As [`TokenSigner::open`], and what the file system says.
    pub fn open_or_create(path: &Path) -> Result<Self, AccessError> {
        let pem = secret_file::read_or_create(path, || {
            KeyPair::generate_for(&PKCS_ED25519)
                .expect("Ed25519 keys can be made wherever random numbers can")
                .serialize_pem()
                .into_bytes()
        })?;
        Self::from_pem(path, &pem)
    }

    fn from_pem(path: &Path, pem: &[u8]) -> Result<Self, AccessError> {
        let problem = || {
            AccessError::unusable(
                path,
                "no Ed25519 private key in PKCS#8 PEM form; make one with `openssl genpkey -algorithm ed25519`",
            )
        };
        let text = std::str::from_utf8(pem).map_err(|_| problem())?;
        let pair = KeyPair::from_pem(text).map_err(|_| problem())?;
        if pair.algorithm() != &PKCS_ED25519 {
            return Err(problem());
        }
        Ok(Self {
            kid: key_id(pair.public_key_raw()),
            public: pair.public_key_raw().to_vec(),
            key: EncodingKey::from_ed_der(pair.serialized_der()),
        })
    }

    /// The key's id, made from its public half; stands in the header of every token.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The 32 bytes of the public half.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// A token for `user`, valid from now for `ttl_s` seconds.
    ///
    /// # Errors
    /// When the signature cannot be made, which is a fault of the crypto library.
    pub fn mint(&self, user: &UserName, ttl_s: u64, now_ms: u64) -> Result<String, AccessError> {
        let now_s = now_ms / 1_000;
        let claims = SignedClaims {
            claims: Claims {
                sub: user.as_str().to_owned(),
                exp: now_s.saturating_add(ttl_s),
                nbf: None,
            },
            aud: TOKEN_AUDIENCE,
            iat: now_s,
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, &claims, &self.key)
            .map_err(|_| AccessError::Sign("the crypto library refused the key"))
    }
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSigner")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// A key id: the first digits of the public key's SHA-256.
pub(crate) fn key_id(public: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public);
    let mut digits: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    digits.truncate(KID_DIGITS);
    digits
}
