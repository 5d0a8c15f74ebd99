//! How times and durations are written and read, by commands, configuration and the HTTP APIs alike.

pub mod duration;
pub mod time_text;
