//! Scenarios for the shard: two of them, a naive log in memory, a naive transport. Everything that a
//! server does around a shard is done here in the plainest way, with a clock that jumps from timer to
//! timer.

mod bounds;
mod chaos;
mod coarse;
mod dice;
mod forgetting;
mod geofence_stage;
mod geofences;
mod images;
mod links;
mod members;
mod membership;
mod negative;
mod peer;
mod relays;
mod restart;
mod rig;
mod rig_frames;
mod sealing;
mod sending;
mod sessions;
mod sink;
mod timers;
mod viewer;
mod viewing;
mod views;
mod watching;
