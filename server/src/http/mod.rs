//! The HTTP APIs: the public one, fed by the shards' listeners, and the control API on its own.
//!
//! Nothing here is hot: handlers run on the control runtime, turn JSON into a request to the shard
//! that owns the chat, wait for its reply and turn that into JSON. Both APIs share the handlers of
//! sessions; what differs is who the caller is ([`caller`]).

pub mod error;
pub mod limits;

pub mod gateway;
pub mod metrics;
pub mod rate_metrics;

pub mod state;

pub mod control_scopes;
pub mod public_routes;

pub mod body;
pub mod caller;
pub mod cors;
pub mod names;

pub mod geofence_json;
pub mod point_json;
pub mod session_json;

pub mod health;
pub mod history;
pub mod if_match;
pub mod members;

pub mod crossings;
pub mod geofences;
pub mod guests;
pub mod member_import;
pub mod points;
pub mod positions;
pub mod sessions;
pub mod settings;
pub mod viewers;

pub mod public;
pub mod relayed;

pub mod listener;

pub mod events;
pub mod webhooks;

pub mod log_erasing;
pub mod log_page;
pub mod log_reading;

pub mod clock_metrics;
pub mod control;

pub mod bad_inputs;

#[cfg(test)]
mod documented_routes;
#[cfg(test)]
mod tests;
