//! Chats: sessions, membership, latest tables, cursors, expiry, batch building. Sans-IO.

pub mod ids;
pub mod limits;
mod looks;
pub mod map;
pub mod time;

pub mod placement;

pub mod grid;

pub mod guest;

pub mod journal;
pub mod record;

// A chat's latest table.
pub mod anchor;
pub mod change_order;
pub mod row;
pub mod table;
pub mod trail;

// From tables to viewers.
pub mod shared_batch;

pub mod batch_builder;
pub mod cursor;
pub mod fan_out;
pub mod sink;

pub mod rights;

pub mod geofence;

pub mod command;
pub mod control_state;
pub mod view;

pub mod identity;
pub mod request;

pub mod chat_event;
pub mod output;
pub mod stats;

// What a shard is made of.
mod audience;
mod binding;
mod caller;
mod chat;
pub mod chat_content;
mod chats;
mod checkpoint_writer;
mod connection;
mod connections;
mod counter_window;
mod feed;
mod few;
mod image_assembly;
mod image_walk;
mod membership;
mod naming_wait;
mod obligation;
mod outbox;
mod owner;
mod partition;
pub mod peer_message;
mod random;
pub mod rate;
mod recovering;
pub mod relay;
mod session;
mod sole_timer;
mod telling;
mod timer;
mod unseen_change;
mod user_connections;
mod wheel;

pub mod shard;
