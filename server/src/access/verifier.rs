//! Verifies users' tokens: JWT, EdDSA only, keys by `kid`.
//!
//! The keys are in one directory: `token.pem` is the server's own (private) key, with which
//! `skein token` signs; `trusted/KID.pem` are public keys of other issuers, the file's name
//! being the key's id. [`Access::reload`] reads the directory again, so that keys are rotated
//! without a restart. The set is replaced as a whole and read without a lock.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use arc_swap::ArcSwap;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use skein_engine::identity::Identity;
use skein_wire::error::{Code, WireError};
use skein_wire::ids::UserName;
use skein_wire::limits::TOKEN_BYTES_MAX;

use crate::access::error::AccessError;
use crate::access::signer::{Claims, TOKEN_AUDIENCE, TokenSigner};

/// The server's own key within the directory of keys.
pub const TOKEN_KEY_FILE: &str = "token.pem";
/// Directory of other issuers' public keys within it.
pub const TRUSTED_DIR: &str = "trusted";

/// Seconds that an issuer's clock may differ from ours. Within them a token that has just
/// expired, or is not valid yet, is taken.
pub const CLOCK_LEEWAY_S: u64 = 5;

/// Keys in the set: an issuer needs two while it rotates; more than this is a wrong directory.
pub const TRUSTED_KEYS_MAX: usize = 64;

/// Length of a key id in bytes.
const KID_BYTES_MAX: usize = 64;

type Keys = HashMap<String, DecodingKey>;

/// Verifies tokens. Shared by all shards and the HTTP service.
pub struct Access {
    dir: PathBuf,
    keys: ArcSwap<Keys>,
    validation: Validation,
}

impl Access {
    /// Reads the keys of `dir`. With `create` the server's own key is made when there is none.
    ///
    /// # Errors
    /// When a key file cannot be read or holds no Ed25519 key, or when there is no key at all.
    pub fn open(dir: &Path, create: bool) -> Result<Self, AccessError> {
        if create {
            TokenSigner::open_or_create(&dir.join(TOKEN_KEY_FILE))?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            keys: ArcSwap::from_pointee(read_keys(dir)?),
            validation: validation(),
        })
    }

    /// Reads the directory again. When that fails the keys stay as they were.
    ///
    /// # Errors
    /// As [`Access::open`].
    pub fn reload(&self) -> Result<(), AccessError> {
        self.keys.store(read_keys(&self.dir)?.into());
        Ok(())
    }

    /// Who presents this token.
    ///
    /// # Errors
    /// `bad_token` when it is too long, malformed, not signed by a known key, not for this
    /// server, not valid yet or without a proper user; `token_expired` when its time is over.
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<Identity, WireError> {
        let claims = self
            .claims(token)
            .ok_or_else(|| WireError::of(Code::BadToken))?;
        let now_s = now_ms / 1_000;
        if claims.exp.saturating_add(CLOCK_LEEWAY_S) <= now_s {
            return Err(WireError::of(Code::TokenExpired));
        }
        if claims.nbf.is_some_and(|nbf| nbf > now_s + CLOCK_LEEWAY_S) {
            return Err(WireError::of(Code::BadToken));
        }
        let user = UserName::new(&claims.sub).map_err(|_| WireError::of(Code::BadToken))?;
        Ok(Identity {
            user,
            expires_at_ms: claims
                .exp
                .saturating_add(CLOCK_LEEWAY_S)
                .saturating_mul(1_000),
        })
    }

    /// The claims of a token with a valid signature; why one is refused is nobody's business.
    fn claims(&self, token: &str) -> Option<Claims> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
        let keys = self.keys.load();
        let key = keys.get(&kid)?;
        let data = jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok()?;
        Some(data.claims)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("keys", &self.keys.load().len())
            .finish_non_exhaustive()
    }
}

/// One algorithm, our audience. Times are judged by [`Access::verify`], because the library
/// would read a clock of its own.
fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[TOKEN_AUDIENCE]);
    validation.set_required_spec_claims(&["sub", "exp", "aud"]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

fn read_keys(dir: &Path) -> Result<Keys, AccessError> {
    let mut keys = Keys::new();
    let own = dir.join(TOKEN_KEY_FILE);
    if own.exists() {
        let signer = TokenSigner::open(&own)?;
        keys.insert(
            signer.kid().to_owned(),
            DecodingKey::from_ed_der(signer.public()),
        );
    }
    for path in trusted_files(&dir.join(TRUSTED_DIR))? {
        let (kid, key) = read_trusted(&path)?;
        keys.insert(kid, key);
    }
    if keys.is_empty() {
        return Err(AccessError::unusable(
            dir,
            "no token key; put an issuer's public key into trusted/KID.pem, or start with --dev",
        ));
    }
    Ok(keys)
}

fn trusted_files(dir: &Path) -> Result<Vec<PathBuf>, AccessError> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| AccessError::io(dir, e))? {
        let path = entry.map_err(|e| AccessError::io(dir, e))?.path();
        if path.extension() == Some(OsStr::new("pem")) {
            files.push(path);
        }
        if files.len() > TRUSTED_KEYS_MAX {
            return Err(AccessError::unusable(
                dir,
                "more than 64 trusted keys; remove old ones",
            ));
        }
    }
    Ok(files)
}

fn read_trusted(path: &Path) -> Result<(String, DecodingKey), AccessError> {
    let kid = path
        .file_stem()
        .and_then(OsStr::to_str)
        .filter(|kid| kid.len() <= KID_BYTES_MAX)
        .ok_or_else(|| {
            AccessError::unusable(
                path,
                "the file's name is the key's id: at most 64 bytes of UTF-8",
            )
        })?;
    // A public key is no secret; only its size is checked the same way.
    let pem = std::fs::read(path).map_err(|e| AccessError::io(path, e))?;
    let key = DecodingKey::from_ed_pem(&pem)
        .map_err(|_| AccessError::unusable(path, "no Ed25519 public key in PEM form"))?;
    Ok((kid.to_owned(), key))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, Header};
    use rcgen::{KeyPair, PKCS_ED25519};

    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;
    const NOW_S: u64 = NOW_MS / 1_000;

    struct Fixture {
        dir: tempfile::TempDir,
        access: Access,
        signer: TokenSigner,
    }

    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let access = Access::open(dir.path(), true).unwrap();
        let signer = TokenSigner::open(&dir.path().join(TOKEN_KEY_FILE)).unwrap();
        Fixture {
            dir,
            access,
            signer,
        }
    }

    fn user(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    fn code(result: Result<Identity, WireError>) -> Code {
        result.expect_err("a refused token").code
    }

    /// A token with any header and claims, signed by the fixture's key.
    fn signed(f: &Fixture, header: &Header, claims: &serde_json::Value) -> String {
        let pem = std::fs::read(f.dir.path().join(TOKEN_KEY_FILE)).unwrap();
        let key = EncodingKey::from_ed_pem(&pem).unwrap();
        jsonwebtoken::encode(header, claims, &key).unwrap()
    }

    fn header(f: &Fixture) -> Header {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(f.signer.kid().to_owned());
        header
    }

    #[test]
    fn a_minted_token_names_its_user_until_it_expires() {
        let f = fixture();
        let token = f.signer.mint(&user("ana"), 60, NOW_MS).unwrap();
        let identity = f.access.verify(&token, NOW_MS).unwrap();
        assert_eq!(identity.user, user("ana"));
        assert_eq!(identity.expires_at_ms, NOW_MS + 65_000);
        assert!(f.access.verify(&token, NOW_MS + 64_000).is_ok());
        assert_eq!(
            code(f.access.verify(&token, NOW_MS + 65_000)),
            Code::TokenExpired
        );
    }

    #[test]
    fn claims_that_do_not_hold_are_refused() {
        let f = fixture();
        let good = serde_json::json!({"sub": "ana", "exp": NOW_S + 60, "aud": "skein"});
        assert!(
            f.access
                .verify(&signed(&f, &header(&f), &good), NOW_MS)
                .is_ok()
        );
        for (what, claims) in [
            ("no exp", serde_json::json!({"sub": "ana", "aud": "skein"})),
            (
                "no sub",
                serde_json::json!({"exp": NOW_S + 60, "aud": "skein"}),
            ),
            (
                "no aud",
                serde_json::json!({"sub": "ana", "exp": NOW_S + 60}),
            ),
            (
                "other aud",
                serde_json::json!({"sub": "ana", "exp": NOW_S + 60, "aud": "chat"}),
            ),
            (
                "empty user",
                serde_json::json!({"sub": "", "exp": NOW_S + 60, "aud": "skein"}),
            ),
            (
                "not yet",
                serde_json::json!({"sub": "ana", "exp": NOW_S + 60, "aud": "skein", "nbf": NOW_S + 6}),
            ),
        ] {
            let token = signed(&f, &header(&f), &claims);
            assert_eq!(
                code(f.access.verify(&token, NOW_MS)),
                Code::BadToken,
                "{what}"
            );
        }
    }

    #[test]
    fn unknown_keys_and_other_algorithms_are_refused() {
        let f = fixture();
        let claims = serde_json::json!({"sub": "ana", "exp": NOW_S + 60, "aud": "skein"});
        let mut stranger = header(&f);
        stranger.kid = Some("stranger".to_owned());
        let mut anonymous = header(&f);
        anonymous.kid = None;
        for header in [stranger, anonymous] {
            let token = signed(&f, &header, &claims);
            assert_eq!(code(f.access.verify(&token, NOW_MS)), Code::BadToken);
        }
        let none = format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"none","kid":"{}"}}"#, f.signer.kid())),
            URL_SAFE_NO_PAD.encode(claims.to_string()),
        );
        assert_eq!(code(f.access.verify(&none, NOW_MS)), Code::BadToken);
        let mut hmac = Header::new(Algorithm::HS256);
        hmac.kid = Some(f.signer.kid().to_owned());
        let forged =
            jsonwebtoken::encode(&hmac, &claims, &EncodingKey::from_secret(f.signer.public()));
        assert_eq!(
            code(f.access.verify(&forged.unwrap(), NOW_MS)),
            Code::BadToken
        );
    }

    #[test]
    fn a_changed_token_is_refused_wherever_it_is_changed() {
        let f = fixture();
        let token = f.signer.mint(&user("ana"), 60, NOW_MS).unwrap();
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'Q' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(f.access.verify(&changed, NOW_MS).is_err(), "byte {at}");
        }
        let long = "a".repeat(TOKEN_BYTES_MAX + 1);
        assert_eq!(code(f.access.verify(&long, NOW_MS)), Code::BadToken);
        assert_eq!(code(f.access.verify("", NOW_MS)), Code::BadToken);
    }

    #[test]
    fn a_key_comes_and_goes_without_a_restart() {
        let f = fixture();
        let issuer = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let trusted = f.dir.path().join(TRUSTED_DIR);
        std::fs::create_dir(&trusted).unwrap();
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some("issuer-1".to_owned());
        let claims = serde_json::json!({"sub": "bo", "exp": NOW_S + 60, "aud": "skein"});
        let key = EncodingKey::from_ed_der(issuer.serialized_der());
        let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();

        assert!(f.access.verify(&token, NOW_MS).is_err());
        std::fs::write(trusted.join("issuer-1.pem"), issuer.public_key_pem()).unwrap();
        f.access.reload().unwrap();
        assert_eq!(f.access.verify(&token, NOW_MS).unwrap().user, user("bo"));
        std::fs::write(trusted.join("issuer-1.pem"), "rubbish").unwrap();
        assert!(f.access.reload().is_err());
        assert!(
            f.access.verify(&token, NOW_MS).is_ok(),
            "a failed reload changes nothing"
        );
        std::fs::remove_file(trusted.join("issuer-1.pem")).unwrap();
        f.access.reload().unwrap();
        assert!(f.access.verify(&token, NOW_MS).is_err());
    }

    #[test]
    fn a_directory_without_keys_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let error = Access::open(dir.path(), false).unwrap_err().to_string();
        assert!(error.contains("--dev"), "{error}");
    }
}
