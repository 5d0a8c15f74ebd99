//! Verifies users' tokens: JWT with EdDSA or ES256, keys by `kid`.
//!
//! The keys are in one directory, and optionally in a JWK set: `token.pem` is the server's own
//! (private) key, with which `skein token` signs; `trusted/KID.pem` are public keys of other issuers,
//! the file's name being the key's id. [`Access::reload`] reads the directory again, so that keys are
//! rotated without a restart; [`Access::take_jwks`] gives the set its newest content. Where both have
//! a key of the same id, the directory's counts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use skein_engine::guest::{GuestGrant, guest_user, is_guest};
use skein_engine::identity::{Grant, Identity, Person};
use skein_wire::error::{Code, WireError};
use skein_wire::ids::UserName;
use skein_wire::limits::TOKEN_BYTES_MAX;

use crate::access::claims::Claims;
use crate::access::error::AccessError;
use crate::access::guest_token::{GUEST_TOKEN_PREFIX, GuestKey};
use crate::access::key_set::{self, KeySet, TOKEN_KEY_FILE};
use crate::access::public_key_file;
use crate::access::rates::Rates;
use crate::access::refresh_signal::RefreshSignal;
use crate::access::signer::TokenSigner;
use crate::access::token_rules::TokenRules;

/// Said while keys are fetched on behalf of a token whose key is not known.
const FETCHING: &str = "the keys are being fetched again; try again shortly";

/// Verifies tokens. Shared by all shards and the HTTP service.
pub struct Access {
    dir: PathBuf,
    rules: TokenRules,
    parts: Mutex<Parts>,
    /// What `parts` add up to.
    keys: ArcSwap<KeySet>,
    /// Where a token with an unknown key asks for a fetch, if keys are fetched at all.
    refresh: Option<Arc<RefreshSignal>>,
    /// Signs and verifies tokens of guests.
    guests: GuestKey,
    /// How often who comes in may ask.
    rates: Rates,
}

/// Keys by where they come from.
#[derive(Debug, Default)]
struct Parts {
    dir: KeySet,
    jwks: KeySet,
}

/// Why a token is refused.
enum Refusal {
    Bad,
    UnknownKey,
}

impl Access {
    /// Reads the keys of `dir`, with the usual rules and no JWK set. With `create` the server's own
    /// key is made when there is none.
    ///
    /// # Errors
    /// When a key file cannot be read or holds no key, or when there is no key at all.
    pub fn open(dir: &Path, create: bool) -> Result<Self, AccessError> {
        Self::with_rules(dir, create, TokenRules::default(), None)
    }

    /// The same with rules of its own. With `refresh` keys may also come from a JWK set, later, and
    /// a directory without keys is none of the operator's faults.
    ///
    /// # Errors
    /// As [`Access::open`].
    pub fn with_rules(
        dir: &Path,
        create: bool,
        rules: TokenRules,
        refresh: Option<Arc<RefreshSignal>>,
    ) -> Result<Self, AccessError> {
        if create {
            TokenSigner::open_or_create(&dir.join(TOKEN_KEY_FILE))?;
        }
        let access = Self {
            dir: dir.to_owned(),
            rules,
            parts: Mutex::default(),
            keys: ArcSwap::default(),
            refresh,
            guests: GuestKey::open_or_create(dir)?,
            rates: Rates::unlimited(),
        };
        access.reload()?;
        Ok(access)
    }

    /// The same with bounds of how often addresses and users may ask.
    #[must_use]
    pub fn with_rates(mut self, rates: Rates) -> Self {
        self.rates = rates;
        self
    }

    /// How often who comes in may ask.
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Reads the directory again. When that fails the keys stay as they were.
    ///
    /// # Errors
    /// As [`Access::open`].
    pub fn reload(&self) -> Result<(), AccessError> {
        let read = key_set::read_dir(&self.dir)?;
        if read.is_empty() && self.refresh.is_none() {
            return Err(AccessError::unusable(
                &self.dir,
                "no token key; make one with `openssl genpkey -algorithm ed25519 -out token.pem` in it, put an issuer's public key into trusted/KID.pem, name a JWK set with `access.jwks`, or start with --dev",
            ));
        }
        self.change(|parts| parts.dir = read);
        let own = self.dir.join(TOKEN_KEY_FILE);
        if own.exists() {
            public_key_file::keep_beside(&self.dir, &TokenSigner::open(&own)?);
        }
        Ok(())
    }

    /// Puts these keys in the place of those of the JWK set.
    pub fn take_jwks(&self, keys: KeySet) {
        self.change(|parts| parts.jwks = keys);
    }

    fn change(&self, change: impl FnOnce(&mut Parts)) {
        // Nothing in here can panic half-way.
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut parts);
        let mut keys = parts.jwks.clone();
        keys.extend(parts.dir.clone());
        self.keys.store(keys.into());
    }

    /// Who presents this token.
    ///
    /// # Errors
    /// `bad_token` when it is too long, malformed, not signed by a known key, not for this
    /// server, not valid yet or without a proper user; `token_expired` when its time is over;
    /// `busy` while keys are fetched because this one's is not known.
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<Identity, WireError> {
        if token.starts_with(GUEST_TOKEN_PREFIX) {
            return self.verify_guest(token, now_ms);
        }
        let claims = self
            .claims(token)
            .map_err(|refusal| self.refuse(refusal, now_ms))?;
        let skew_ms = self.rules.clock_skew_ms;
        let expires_at_ms = claims.exp.saturating_mul(1_000).saturating_add(skew_ms);
        if expires_at_ms <= now_ms {
            return Err(WireError::of(Code::TokenExpired));
        }
        let begins_at_ms = claims.nbf.unwrap_or(0).saturating_mul(1_000);
        if begins_at_ms > now_ms.saturating_add(skew_ms) {
            return Err(WireError::of(Code::BadToken));
        }
        let user = UserName::new(&claims.sub).map_err(|_| WireError::of(Code::BadToken))?;
        if is_guest(&user) {
            return Err(WireError::of(Code::BadToken));
        }
        Ok(Identity {
            person: Person {
                user,
                grant: self.grant(&claims)?,
            },
            expires_at_ms,
        })
    }

    /// The token of a link for guests.
    pub fn guest_token(&self, grant: &GuestGrant, expires_at_ms: u64) -> String {
        self.guests.sign(grant, expires_at_ms)
    }

    fn verify_guest(&self, token: &str, now_ms: u64) -> Result<Identity, WireError> {
        let verified = Some(token).filter(|token| token.len() <= TOKEN_BYTES_MAX);
        let verified = verified.and_then(|token| self.guests.verify(token));
        let (grant, expires_at_ms) = verified.ok_or_else(|| WireError::of(Code::BadToken))?;
        if expires_at_ms <= now_ms {
            return Err(WireError::of(Code::TokenExpired));
        }
        Ok(Identity {
            person: Person {
                user: guest_user(grant.guest),
                grant: Some(Arc::new(Grant::Guest(grant))),
            },
            expires_at_ms,
        })
    }

    /// What the token gives beside the name. In a server that keeps members by itself: nothing.
    fn grant(&self, claims: &Claims) -> Result<Option<Arc<Grant>>, WireError> {
        if claims.is_relay() {
            return Ok(Some(Arc::new(Grant::Relay)));
        }
        if !self.rules.brings_rights || claims.chats.is_none() {
            return Ok(None);
        }
        let claims = claims.chat_claims();
        let claims = claims.ok_or_else(|| WireError::of(Code::BadToken))?;
        Ok(Some(Arc::new(Grant::Chats(claims))))
    }

    fn refuse(&self, refusal: Refusal, now_ms: u64) -> WireError {
        let refresh = self.refresh.as_ref();
        match refusal {
            Refusal::UnknownKey if refresh.is_some_and(|it| it.ask(now_ms)) => {
                WireError::new(Code::Busy, FETCHING)
            }
            _ => WireError::of(Code::BadToken),
        }
    }

    /// The claims of a token with a valid signature; why one is refused is nobody's business.
    fn claims(&self, token: &str) -> Result<Claims, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::Bad);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Bad)?;
        // RFC 7515, section 4.1.11: extensions that must be understood and are not.
        if header.crit.is_some() {
            return Err(Refusal::Bad);
        }
        let kid = header.kid.ok_or(Refusal::Bad)?;
        let keys = self.keys.load();
        let key = keys.get(&kid).ok_or(Refusal::UnknownKey)?;
        let validation = self.rules.validation(key.algorithm());
        let data = jsonwebtoken::decode::<Claims>(token, key.decoding_key(), &validation)
            .map_err(|_| Refusal::Bad)?;
        Ok(data.claims)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("rules", &self.rules)
            .field("keys", &self.keys.load().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
