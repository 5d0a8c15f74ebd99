//! Randomness from the operating system, for pauses and keys.

/// A random number; if there is no source, the time of day must do: pauses need spread, not secrecy.
pub(crate) fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        let now = std::time::SystemTime::now();
        let wall = now.duration_since(std::time::UNIX_EPOCH);
        wall.map_or(1, |wall| wall.as_nanos() as u64)
    })
}

/// A key that nobody else uses.
pub(crate) fn key() -> String {
    format!("{:016x}{:016x}", seed(), seed())
}
