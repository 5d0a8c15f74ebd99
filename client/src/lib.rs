//! The peer's half: sans-IO viewer and sender state, async API over QUIC.
