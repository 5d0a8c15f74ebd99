//! What is measured, the same for all.

pub mod latency;
pub mod saturation;

pub mod fan_out;

pub mod quic;

pub mod log;
