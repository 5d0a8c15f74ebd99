//! A public key that verifies tokens, with the one algorithm that it is for.
//!
//! The key decides the algorithm, never the token: a token whose header names another one is
//! refused before its signature is looked at. So nothing can be verified with a key of another
//! kind, with a public key as a shared secret, or without a key.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey};

/// Bytes of an Ed25519 public key.
const ED25519_BYTES: usize = 32;
/// Bytes of an uncompressed point on P-256.
const P256_BYTES: usize = 65;

/// One key. `Debug` shows the algorithm only.
#[derive(Clone)]
pub struct TrustedKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl TrustedKey {
    /// An Ed25519 key from its 32 bytes, for `EdDSA`.
    pub fn ed25519(public: &[u8]) -> Option<Self> {
        let key = DecodingKey::from_ed_der(public);
        Self::checked(Algorithm::EdDSA, key, ED25519_BYTES)
    }

    /// An Ed25519 key from the `x` of a JWK (RFC 8037), for `EdDSA`.
    pub fn ed25519_of_jwk(x: &str) -> Option<Self> {
        let key = DecodingKey::from_ed_components(x).ok()?;
        Self::checked(Algorithm::EdDSA, key, ED25519_BYTES)
    }

    /// A P-256 key from the `x` and `y` of a JWK (RFC 7518, section 6.2), for `ES256`.
    pub fn p256_of_jwk(x: &str, y: &str) -> Option<Self> {
        let key = DecodingKey::from_ec_components(x, y).ok()?;
        Self::checked(Algorithm::ES256, key, P256_BYTES)
    }

    /// A public key in PEM form: Ed25519 or P-256.
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        let ed25519 = || {
            let key = DecodingKey::from_ed_pem(pem).ok()?;
            Self::checked(Algorithm::EdDSA, key, ED25519_BYTES)
        };
        let p256 = || {
            let key = DecodingKey::from_ec_pem(pem).ok()?;
            Self::checked(Algorithm::ES256, key, P256_BYTES)
        };
        ed25519().or_else(p256)
    }

    /// The algorithm of every token that this key verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key as the token library takes it.
    pub fn decoding_key(&self) -> &DecodingKey {
        &self.key
    }

    /// The length tells curves apart: a key on another one would only fail at the first token.
    fn checked(algorithm: Algorithm, key: DecodingKey, bytes: usize) -> Option<Self> {
        let is_of_curve = key.try_get_as_bytes().is_ok_and(|raw| raw.len() == bytes);
        is_of_curve.then_some(Self { algorithm, key })
    }
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;
    use jsonwebtoken::crypto::verify;
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use crate::access::trusted_key::TrustedKey;

    fn verifies(key: &TrustedKey, message: &str, signature: &str) -> bool {
        let checked = verify(
            signature,
            message.as_bytes(),
            key.decoding_key(),
            key.algorithm(),
        );
        checked.unwrap_or(false)
    }

    /// RFC 8037, appendix A.4 and A.5.
    #[test]
    fn the_example_of_rfc_8037() {
        let key = TrustedKey::ed25519_of_jwk("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
            .expect("a key");
        assert_eq!(key.algorithm(), Algorithm::EdDSA);
        let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert!(verifies(&key, message, signature));
        assert!(!verifies(&key, &message.replace("RXh", "RXg"), signature));
    }

    /// RFC 7515, appendix A.3.
    #[test]
    fn the_example_of_rfc_7515() {
        let x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
        let y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
        let key = TrustedKey::p256_of_jwk(x, y).expect("a key");
        assert_eq!(key.algorithm(), Algorithm::ES256);
        let message = "eyJhbGciOiJFUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        assert!(verifies(&key, message, signature));
        assert!(!verifies(
            &key,
            &message.replace("eyJpc3", "eyJpc2"),
            signature
        ));
        let swapped = TrustedKey::p256_of_jwk(y, x).expect("the right length");
        assert!(
            !verifies(&swapped, message, signature),
            "no point of the curve"
        );
    }

    #[test]
    fn a_pem_file_says_which_curve_it_is_of() {
        let pem = |algorithm| {
            let pair = KeyPair::generate_for(algorithm).expect("a key pair");
            TrustedKey::from_pem(pair.public_key_pem().as_bytes()).map(|key| key.algorithm())
        };
        assert_eq!(pem(&PKCS_ED25519), Some(Algorithm::EdDSA));
        assert_eq!(pem(&PKCS_ECDSA_P256_SHA256), Some(Algorithm::ES256));
        assert_eq!(pem(&PKCS_ECDSA_P384_SHA384), None);
        assert!(TrustedKey::from_pem(b"rubbish").is_none());
    }

    #[test]
    fn components_of_the_wrong_length_are_no_key() {
        assert!(TrustedKey::ed25519_of_jwk("AAAA").is_none());
        assert!(TrustedKey::p256_of_jwk("AAAA", "AAAA").is_none());
        assert!(TrustedKey::ed25519(&[0; 31]).is_none());
    }
}
