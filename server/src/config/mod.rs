//! Configuration: one TOML file, the environment and flags, in one checked value.
//!
//! Later layers win: defaults, then the file, then `SKEIN_…` variables, then flags. A key that is
//! not known is refused with the nearest known one, because a misspelt limit that is silently
//! ignored is found out in the worst hour. `docs/OPERATIONS.md` lists every key; a test keeps it
//! and the structs equal.

pub mod address;
pub mod choice;
pub mod cores;
pub mod error;
pub mod idle;
pub mod keys;
pub mod span;
pub mod websocket_sends;

pub mod settings;

pub mod bad_inputs;
pub mod check;

pub mod limits;
pub mod load;

#[cfg(test)]
mod tests;
