//! Who may come in: tokens of users, the key that signs them, the operator's token.
//!
//! Nothing of a token ever reaches a log or an error; a refused token is told apart only as
//! "not valid" or "expired".

pub mod error;
pub mod secret_file;

pub mod control_token;
pub mod signer;

pub mod verifier;

pub use crate::access::verifier::Access;
