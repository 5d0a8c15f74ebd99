//! Tokens against each rule of [`Access::verify`].

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use skein_engine::identity::Identity;
use skein_wire::error::{Code, WireError};
use skein_wire::ids::UserName;
use skein_wire::limits::TOKEN_BYTES_MAX;

use crate::access::jwks;
use crate::access::key_set::{TOKEN_KEY_FILE, TRUSTED_DIR};
use crate::access::limits::JWKS_REFETCH_MS_MIN;
use crate::access::public_key_file::PUBLIC_KEY_FILE;
use crate::access::refresh_signal::RefreshSignal;
use crate::access::signer::{TokenSigner, TokenSpec};
use crate::access::token_rules::TokenRules;
use crate::access::verifier::Access;

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
    assert_eq!(identity.person.user, user("ana"));
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
    let forged = jsonwebtoken::encode(&hmac, &claims, &EncodingKey::from_secret(f.signer.public()));
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
    assert_eq!(
        f.access.verify(&token, NOW_MS).unwrap().person.user,
        user("bo")
    );
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

fn with_rules(rules: TokenRules) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::with_rules(dir.path(), true, rules, None).unwrap();
    let signer = TokenSigner::open(&dir.path().join(TOKEN_KEY_FILE)).unwrap();
    Fixture {
        dir,
        access,
        signer,
    }
}

/// A P-256 key pair, and its JWK set with this id.
fn p256_issuer(kid: &str) -> (KeyPair, Vec<u8>) {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let point = pair.public_key_raw();
    let coordinate = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
    let set = serde_json::json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "use": "sig", "kid": kid,
        "x": coordinate(1..33), "y": coordinate(33..65),
    }] });
    (pair, set.to_string().into_bytes())
}

fn es256(pair: &KeyPair, kid: &str, claims: &serde_json::Value) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(kid.to_owned());
    let key = EncodingKey::from_ec_der(pair.serialized_der());
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

#[test]
fn keys_of_both_kinds_stand_side_by_side() {
    let f = fixture();
    let (pair, set) = p256_issuer("2026-11");
    let claims = serde_json::json!({"sub": "bo", "exp": NOW_S + 60, "aud": ["chat", "skein"]});
    let token = es256(&pair, "2026-11", &claims);
    assert_eq!(code(f.access.verify(&token, NOW_MS)), Code::BadToken);
    f.access.take_jwks(jwks::parse(&set).unwrap().keys);
    assert_eq!(
        f.access.verify(&token, NOW_MS).unwrap().person.user,
        user("bo")
    );
    let own = f.signer.mint(&user("ana"), 60, NOW_MS).unwrap();
    assert_eq!(
        f.access.verify(&own, NOW_MS).unwrap().person.user,
        user("ana")
    );
    // A reload of the directory leaves the set alone, and the reverse.
    f.access.reload().unwrap();
    assert!(f.access.verify(&token, NOW_MS).is_ok());
    f.access
        .take_jwks(jwks::parse(&p256_issuer("2026-12").1).unwrap().keys);
    assert!(f.access.verify(&own, NOW_MS).is_ok());
    assert_eq!(
        code(f.access.verify(&token, NOW_MS)),
        Code::BadToken,
        "a withdrawn key"
    );
}

#[test]
fn the_key_decides_the_algorithm() {
    let f = fixture();
    let (pair, set) = p256_issuer("p256");
    f.access.take_jwks(jwks::parse(&set).unwrap().keys);
    let claims = serde_json::json!({"sub": "ana", "exp": NOW_S + 60, "aud": "skein"});
    assert!(
        f.access
            .verify(&es256(&pair, "p256", &claims), NOW_MS)
            .is_ok()
    );
    // The right signature under the other key's id, in either direction.
    let own = f.signer.kid().to_owned();
    for token in [
        es256(&pair, &own, &claims),
        signed(
            &f,
            &Header {
                kid: Some("p256".to_owned()),
                ..header(&f)
            },
            &claims,
        ),
    ] {
        assert_eq!(code(f.access.verify(&token, NOW_MS)), Code::BadToken);
    }
    // A header that claims another algorithm than the key's, over a signature that is right.
    let token = es256(&pair, "p256", &claims);
    let (_, rest) = token.split_once('.').unwrap();
    for alg in ["EdDSA", "HS256", "none", "ES384", "RS256", "es256", ""] {
        let header = serde_json::json!({"alg": alg, "kid": "p256"}).to_string();
        let changed = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header));
        assert_eq!(
            code(f.access.verify(&changed, NOW_MS)),
            Code::BadToken,
            "{alg}"
        );
    }
    // The public key as a shared secret.
    let mut hmac = Header::new(Algorithm::HS256);
    hmac.kid = Some("p256".to_owned());
    let secret = EncodingKey::from_secret(pair.public_key_raw());
    let forged = jsonwebtoken::encode(&hmac, &claims, &secret).unwrap();
    assert_eq!(code(f.access.verify(&forged, NOW_MS)), Code::BadToken);
}

#[test]
fn an_extension_that_must_be_understood_is_not() {
    let f = fixture();
    let claims = serde_json::json!({"sub": "ana", "exp": NOW_S + 60, "aud": "skein"});
    let mut critical = header(&f);
    critical.crit = Some(vec!["b64".to_owned()]);
    let token = signed(&f, &critical, &claims);
    assert_eq!(code(f.access.verify(&token, NOW_MS)), Code::BadToken);
}

#[test]
fn audience_and_issuer_are_those_of_the_configuration() {
    let f = with_rules(TokenRules {
        audience: "maps".to_owned(),
        issuer: Some("https://id.example".to_owned()),
        ..TokenRules::default()
    });
    let token = |audience, issuer| {
        let user = user("ana");
        let spec = TokenSpec {
            user: &user,
            ttl_s: 60,
            audience,
            issuer,
            chats: None,
            is_relay: false,
        };
        f.signer.sign(&spec, NOW_MS).unwrap()
    };
    let right = Some("https://id.example");
    assert!(f.access.verify(&token("maps", right), NOW_MS).is_ok());
    for (audience, issuer) in [
        ("skein", right),
        ("maps", None),
        ("maps", Some("https://id.example/")),
        ("maps", Some("")),
    ] {
        let token = token(audience, issuer);
        assert_eq!(
            code(f.access.verify(&token, NOW_MS)),
            Code::BadToken,
            "{audience} {issuer:?}"
        );
    }
}

#[test]
fn clocks_differ_by_no_more_than_configured() {
    for clock_skew_ms in [0, 30_000] {
        let f = with_rules(TokenRules {
            clock_skew_ms,
            ..TokenRules::default()
        });
        let claims = serde_json::json!({
            "sub": "ana", "exp": NOW_S + 60, "nbf": NOW_S + 10, "aud": "skein",
        });
        let token = signed(&f, &header(&f), &claims);
        let begins_ms = NOW_MS + 10_000 - clock_skew_ms;
        let ends_ms = NOW_MS + 60_000 + clock_skew_ms;
        assert_eq!(code(f.access.verify(&token, begins_ms - 1)), Code::BadToken);
        assert!(f.access.verify(&token, begins_ms).is_ok());
        assert!(f.access.verify(&token, ends_ms - 1).is_ok());
        assert_eq!(code(f.access.verify(&token, ends_ms)), Code::TokenExpired);
    }
}

#[test]
fn times_beyond_all_measure_are_no_panic() {
    let f = fixture();
    let far = serde_json::json!({"sub": "ana", "exp": u64::MAX, "aud": "skein"});
    let identity = f
        .access
        .verify(&signed(&f, &header(&f), &far), NOW_MS)
        .unwrap();
    assert_eq!(identity.expires_at_ms, u64::MAX);
    let never = serde_json::json!({"sub": "ana", "exp": u64::MAX, "nbf": u64::MAX, "aud": "skein"});
    let token = signed(&f, &header(&f), &never);
    assert_eq!(code(f.access.verify(&token, NOW_MS)), Code::BadToken);
    for exp in [
        serde_json::json!(-1),
        serde_json::json!("soon"),
        serde_json::json!(null),
    ] {
        let claims = serde_json::json!({"sub": "ana", "exp": exp, "aud": "skein"});
        let token = signed(&f, &header(&f), &claims);
        assert_eq!(code(f.access.verify(&token, NOW_MS)), Code::BadToken);
    }
}

#[test]
fn an_unknown_key_asks_for_the_keys_once_in_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let signal = Arc::new(RefreshSignal::default());
    let rules = TokenRules::default();
    let access = Access::with_rules(dir.path(), false, rules, Some(signal.clone()))
        .expect("the set may come later");
    let (pair, set) = p256_issuer("new");
    let claims = serde_json::json!({"sub": "bo", "exp": NOW_S + 600, "aud": "skein"});
    let token = es256(&pair, "new", &claims);
    assert_eq!(code(access.verify("noise", NOW_MS)), Code::BadToken);
    assert_eq!(code(access.verify(&token, NOW_MS)), Code::Busy);
    signal.done(NOW_MS);
    assert_eq!(code(access.verify(&token, NOW_MS)), Code::BadToken);
    let later_ms = NOW_MS + JWKS_REFETCH_MS_MIN;
    assert_eq!(code(access.verify(&token, later_ms)), Code::Busy);
    access.take_jwks(jwks::parse(&set).unwrap().keys);
    signal.done(later_ms);
    assert_eq!(
        access.verify(&token, later_ms).unwrap().person.user,
        user("bo")
    );
}

#[test]
fn the_public_half_beside_the_key_follows_it_when_keys_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path(), true).unwrap();
    let (key, public) = (
        dir.path().join(TOKEN_KEY_FILE),
        dir.path().join(PUBLIC_KEY_FILE),
    );
    let kept = || std::fs::read_to_string(&public).unwrap();
    assert_eq!(kept(), TokenSigner::open(&key).unwrap().public_pem());
    let before = kept();
    std::fs::remove_file(&key).unwrap();
    let other = TokenSigner::open_or_create(&key).unwrap();
    access.reload().unwrap();
    assert_eq!(kept(), other.public_pem());
    assert_ne!(kept(), before);
}
