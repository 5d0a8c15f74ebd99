//! What a token must say beside whom it is for.

use jsonwebtoken::{Algorithm, Validation};

use crate::access::claims::TOKEN_AUDIENCE;

/// Milliseconds that an issuer's clock may differ from ours, unless configured otherwise.
pub const CLOCK_SKEW_MS: u64 = 5_000;

/// Rules for all tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// `aud` must be or contain this.
    pub audience: String,
    /// `iss` must be this; `None` = it is not looked at.
    pub issuer: Option<String>,
    /// Within so many milliseconds a token that has just expired, or is not valid yet, is taken.
    pub clock_skew_ms: u64,
    /// Tokens may bring rights in chats (`chats`).
    pub brings_rights: bool,
}

impl Default for TokenRules {
    fn default() -> Self {
        Self {
            audience: TOKEN_AUDIENCE.to_owned(),
            issuer: None,
            clock_skew_ms: CLOCK_SKEW_MS,
            brings_rights: false,
        }
    }
}

impl TokenRules {
    /// The rules for a key of one algorithm, as the token library takes them. Times are judged by
    /// the caller, because the library would read a clock of its own.
    pub fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[&self.audience]);
        let mut required = vec!["sub", "exp", "aud"];
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation
    }
}
