//! An address to listen on: an IP address and a port, both said.

use std::net::SocketAddr;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Reads an address.
///
/// # Errors
/// A text for the person who wrote it.
///
/// ```
/// use skein_server::config::address::parse;
/// assert_eq!(parse("127.0.0.1:4433").unwrap().port(), 4433);
/// assert!(parse("localhost:4433").is_err());
/// ```
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not an address; write IP:PORT, as 127.0.0.1:4433"))
}

/// The same for a key.
///
/// # Errors
/// As [`parse`].
pub fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// The same for a key that may be absent.
///
/// # Errors
/// As [`parse`].
pub fn read_some<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    read(deserializer).map(Some)
}
