//! A relay: chats of another server, mirrored for viewers that are nearer.
//!
//! The shards of a relay own nothing. All their chats are mirrors, and what is the owning shard to a
//! mirror elsewhere is the [`hub::Hub`] here: it watches each chat once at the upstream, by the protocol
//! that every viewer speaks, and hands on what it gets. Offsets, epochs, slots and chat numbers are the
//! upstream's, so that a cursor means the same on both sides.
//!
//! ```text
//! upstream ──one watch per chat──▶ hub ──image, then feeds──▶ mirrors of the shards ──▶ viewers
//! ```
//!
//! What a batch tells of (from, to] counts as told at `to`. That is never too early: who has everything
//! up to an offset in between gets some of it twice, as with every shared batch.

pub(crate) mod feed_steps;
mod hub_chat;
pub mod hub_command;
mod idle_chats;

pub mod hub;
