//! A JWK set (RFC 7517) as keys that verify tokens.
//!
//! Of a set only the public halves of Ed25519 and P-256 signature keys with an id count; others are
//! counted and left out, so that an issuer may publish keys for other purposes beside them.

use std::borrow::Cow;

use serde::Deserialize;

use crate::access::key_set::KeySet;
use crate::access::limits::{JWKS_BYTES_MAX, KID_BYTES_MAX, TRUSTED_KEYS_MAX};
use crate::access::trusted_key::TrustedKey;

/// What a document gives.
#[derive(Debug, Default)]
pub struct Jwks {
    /// Usable keys by id.
    pub keys: KeySet,
    /// Keys that were left out: other kinds, other uses, without an id.
    pub left_out: usize,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Jwk>,
}

/// The fields that count; a private `d` is not read.
#[derive(Deserialize)]
struct Jwk {
    #[serde(default)]
    kty: String,
    kid: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
}

/// Reads a document.
///
/// # Errors
/// What is wrong with it and what to do. Never holds its content.
///
/// ```
/// use skein_server::access::jwks::parse;
/// let set = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"2026",
///     "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
/// assert!(parse(set).unwrap().keys.contains_key("2026"));
/// assert!(parse(b"{}").is_err());
/// ```
pub fn parse(bytes: &[u8]) -> Result<Jwks, Cow<'static, str>> {
    if bytes.len() > JWKS_BYTES_MAX {
        let text = "it should hold a few public keys";
        return Err(format!("it is larger than {} KiB; {text}", JWKS_BYTES_MAX / 1_024).into());
    }
    let document: Document = serde_json::from_slice(bytes)
        .map_err(|_| "it is no JWK set; it should be {\"keys\": […]} as RFC 7517 says")?;
    if document.keys.len() > TRUSTED_KEYS_MAX {
        return Err(format!("it has more than {TRUSTED_KEYS_MAX} keys; remove old ones").into());
    }
    let mut set = Jwks::default();
    for jwk in document.keys {
        match jwk.into_key() {
            None => set.left_out += 1,
            Some((kid, key)) => {
                if set.keys.insert(kid, key).is_some() {
                    return Err("two keys have the same `kid`; give each its own".into());
                }
            }
        }
    }
    if set.keys.is_empty() {
        return Err("it has no Ed25519 or P-256 signature key with a `kid`; publish one".into());
    }
    Ok(set)
}

impl Jwk {
    fn into_key(self) -> Option<(String, TrustedKey)> {
        if !self.is_for_signatures() {
            return None;
        }
        let kid = self.kid.filter(|kid| kid.len() <= KID_BYTES_MAX)?;
        let x = self.x?;
        let (key, algorithm) = match (self.kty.as_str(), self.crv.as_deref()?) {
            ("OKP", "Ed25519") => (TrustedKey::ed25519_of_jwk(&x)?, "EdDSA"),
            ("EC", "P-256") => (TrustedKey::p256_of_jwk(&x, &self.y?)?, "ES256"),
            _ => return None,
        };
        let fits = self.alg.is_none_or(|alg| alg == algorithm);
        fits.then_some((kid, key))
    }

    fn is_for_signatures(&self) -> bool {
        let purpose = self.purpose.as_deref().is_none_or(|it| it == "sig");
        let operations = self.key_ops.as_ref();
        purpose && operations.is_none_or(|it| it.iter().any(|operation| operation == "verify"))
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;
    use serde_json::{Value, json};

    use crate::access::jwks::parse;
    use crate::access::limits::{JWKS_BYTES_MAX, TRUSTED_KEYS_MAX};

    fn ed25519(kid: &str) -> Value {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x })
    }

    fn p256(kid: &str) -> Value {
        json!({
            "kty": "EC", "crv": "P-256", "kid": kid,
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        })
    }

    fn with(mut key: Value, field: &str, value: Value) -> Value {
        key[field] = value;
        key
    }

    fn document(keys: &[Value]) -> Vec<u8> {
        json!({ "keys": keys }).to_string().into_bytes()
    }

    #[test]
    fn each_key_has_the_algorithm_of_its_curve() {
        let set = parse(&document(&[ed25519("a"), p256("b")])).expect("a set");
        assert_eq!(set.keys["a"].algorithm(), Algorithm::EdDSA);
        assert_eq!(set.keys["b"].algorithm(), Algorithm::ES256);
        assert_eq!(set.left_out, 0);
    }

    #[test]
    fn other_keys_are_left_out() {
        let others = [
            json!({ "kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB" }),
            json!({ "kty": "oct", "kid": "s", "k": "c2VjcmV0" }),
            with(ed25519("enc"), "use", json!("enc")),
            with(ed25519("ops"), "key_ops", json!(["sign"])),
            with(ed25519("alg"), "alg", json!("ES256")),
            with(p256("alg"), "alg", json!("EdDSA")),
            with(p256("crv"), "crv", json!("P-384")),
            with(ed25519("x"), "x", json!("AAAA")),
            with(ed25519("kid"), "kid", Value::Null),
            ed25519(&"k".repeat(65)),
        ];
        let mut keys = others.to_vec();
        keys.push(with(ed25519("good"), "use", json!("sig")));
        let set = parse(&document(&keys)).expect("a set");
        assert_eq!(set.keys.keys().collect::<Vec<_>>(), ["good"]);
        assert_eq!(set.left_out, others.len());
        assert!(parse(&document(&others)).is_err(), "no usable key");
    }

    #[test]
    fn what_is_no_set_says_so() {
        for (bytes, expect) in [
            (Vec::new(), "no JWK set"),
            (b"[]".to_vec(), "no JWK set"),
            (b"{\"keys\":1}".to_vec(), "no JWK set"),
            (vec![b' '; JWKS_BYTES_MAX + 1], "64 KiB"),
            (document(&[]), "no Ed25519"),
            (document(&[ed25519("a"), p256("a")]), "same `kid`"),
            (
                document(&vec![json!({}); TRUSTED_KEYS_MAX + 1]),
                "more than 64",
            ),
        ] {
            let error = parse(&bytes).expect_err(expect);
            assert!(error.contains(expect), "{error}");
        }
    }
}
