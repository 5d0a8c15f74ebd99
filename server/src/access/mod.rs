//! Who may come in: tokens of users, the keys that verify them, the operator's token.
//!
//! Keys are in a directory and, if configured, in a JWK set that is a file or is fetched; a thread
//! looks for new ones ([`crate::key_refresher`]). The set in force is replaced as a whole and read without a
//! lock. Nothing of a token ever reaches a log or an error; a refused token is told apart only as
//! "not valid" or "expired".

pub mod bad_tokens;
pub mod error;
pub mod limits;
pub mod secret_file;

pub mod control_scope;
pub mod control_token;

pub mod network;
pub mod rate_table;
pub mod rates;

pub mod claims;
pub mod guest_token;
pub mod relay_token;
pub mod signer;
pub mod token_rules;

pub mod public_key_file;
pub mod trusted_key;

pub mod key_set;

pub mod jwks;

pub mod jwks_fetch;
pub mod jwks_source;

pub mod refresh_signal;

pub mod verifier;

pub use crate::access::verifier::Access;
