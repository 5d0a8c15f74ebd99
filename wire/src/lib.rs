//! Bytes on the wire: frames, quantised points, limits. Sans-IO.
//!
//! Both ends use this crate: it turns bytes into values and values into bytes and knows
//! no socket, clock or thread. `docs/PROTOCOL.md` is the normative text; every layout here
//! is pinned by golden bytes in `tests/`.

pub mod error;
pub mod limit_line;
pub mod limits;

pub mod ids;
pub mod varint;

mod bytes_in;
mod bytes_out;

pub mod point;

mod payload;

pub mod map_cell;
pub mod map_view;

pub mod request;
pub mod update;

pub mod batch;

pub mod kind;

mod map_view_codec;
mod request_codec;
mod update_codec;
mod view_codec;

pub mod frame;
pub mod splitter;
