//! The key that signs users' tokens, and the tokens it makes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use aws_lc_rs::signature::Ed25519KeyPair;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ED25519};
use serde::Serialize;
use skein_wire::ids::UserName;

use crate::access::claims::{ChatClaim, Claims, RELAY_SCOPE, TOKEN_AUDIENCE};
use crate::access::error::AccessError;
use crate::access::secret_file;

/// Hexadecimal digits of a key id that is made from the key itself: 64 bits tell keys apart.
const KID_DIGITS: usize = 16;

/// What a token is to say.
#[derive(Clone, Debug)]
pub struct TokenSpec<'a> {
    /// The user.
    pub user: &'a UserName,
    /// Seconds for which it is valid.
    pub ttl_s: u64,
    /// `aud`.
    pub audience: &'a str,
    /// `iss`, if there is to be one.
    pub issuer: Option<&'a str>,
    /// Rights in chats, for servers that take them from tokens.
    pub chats: Option<BTreeMap<String, ChatClaim>>,
    /// The bearer is a relay.
    pub is_relay: bool,
}

#[derive(Serialize)]
struct SignedClaims<'a> {
    #[serde(flatten)]
    claims: Claims,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    iat: u64,
}

/// An Ed25519 private key that makes tokens. `Debug` shows the key id only.
pub struct TokenSigner {
    kid: String,
    public: Vec<u8>,
    public_pem: String,
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
        let pem = secret_file::read_or_create(path, || fresh_pem().into_bytes())?;
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
            public_pem: pair.public_key_pem(),
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

    /// The public half in PEM form (SubjectPublicKeyInfo).
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// A token for `user`, valid from now for `ttl_s` seconds, for a server with the usual rules.
    ///
    /// # Errors
    /// When the signature cannot be made, which is a fault of the crypto library.
    pub fn mint(&self, user: &UserName, ttl_s: u64, now_ms: u64) -> Result<String, AccessError> {
        let spec = TokenSpec {
            user,
            ttl_s,
            audience: TOKEN_AUDIENCE,
            issuer: None,
            chats: None,
            is_relay: false,
        };
        self.sign(&spec, now_ms)
    }

    /// A token that is valid from now.
    ///
    /// # Errors
    /// When the signature cannot be made, which is a fault of the crypto library.
    pub fn sign(&self, spec: &TokenSpec<'_>, now_ms: u64) -> Result<String, AccessError> {
        let now_s = now_ms / 1_000;
        let claims = SignedClaims {
            claims: Claims {
                sub: spec.user.as_str().to_owned(),
                exp: now_s.saturating_add(spec.ttl_s),
                nbf: None,
                chats: spec.chats.clone(),
                scope: spec.is_relay.then(|| RELAY_SCOPE.into()),
            },
            aud: spec.audience,
            iss: spec.issuer,
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

/// A new private key in the first version of PKCS#8: OpenSSL reads no other one of Ed25519.
fn fresh_pem() -> String {
    let made = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1());
    let der = made.expect("Ed25519 keys can be made wherever random numbers can");
    let pair = KeyPair::try_from(der.as_ref()).expect("a key that was just made");
    pair.serialize_pem()
}

/// A key id: the first digits of the public key's SHA-256.
pub(crate) fn key_id(public: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public);
    let mut digits: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    digits.truncate(KID_DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use crate::access::signer::fresh_pem;

    #[test]
    fn a_new_key_is_of_the_form_that_openssl_reads() {
        let pem = fresh_pem();
        let body: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
        let der = STANDARD.decode(body.trim()).expect("base64");
        // A sequence of 46 bytes that begins with version 0; the second version has the public key, too.
        assert_eq!(der[..5], [0x30, 46, 2, 1, 0]);
        assert_eq!(der.len(), 48);
    }
}
