//! Every bound of tokens and keys, with its unit and its reason, in one list.

use skein_wire::limit_list;

limit_list! {
    /// The bounds of tokens and keys, in the order of this file.
    pub fn access_limits;

    TRUSTED_KEYS_MAX: usize = 64, "keys",
        "in the directory, and again in the JWK set: an issuer needs two while it rotates; more is a wrong file";
    CONTROL_TOKENS_MAX: usize = 64, "tokens",
        "of the control API, one for each service and operator, and twice while they are rotated; each is compared";
    RATE_CELLS: usize = 128 * 1024, "cells",
        "of 8 bytes each that remember how often addresses and users have asked: 1 MiB for each of the two";
    KID_BYTES_MAX: usize = 64, "bytes",
        "of a key's id";
    JWKS_BYTES_MAX: usize = 64 * 1024, "bytes",
        "of a JWK set, checked before it is parsed; 64 keys have less than 20 KiB";
    JWKS_FETCH_MS_MAX: u64 = 5_000, "milliseconds",
        "for one fetch of a JWK set, from the name's look-up to the last byte";
    JWKS_LOOK_MS: u64 = 1_000, "milliseconds",
        "between two looks whether the file of a JWK set has changed";
    JWKS_REFETCH_MS_MIN: u64 = 10_000, "milliseconds",
        "between two fetches that tokens with unknown keys ask for: strangers must not drive the issuer";
    JWKS_RETRY_MS: u64 = 10_000, "milliseconds",
        "until a fetch that failed is tried again, where the interval is longer";
}
