//! What all benches share: pinned blocks of ours and of the floor in turn, their ratio, where it
//! goes.
//!
//! Only ratios within one run count: the same loop varies twofold between runs on shared machines.
//! So a bench never compares with a number of another day, it measures its *floor* (the least that
//! any implementation has to do, straight-line code in `floors/`) beside itself, block by block.
//!
//! - `cargo bench` measures everything; `SKEIN_BENCH=quick cargo bench` takes about four minutes.
//! - `cargo bench -- fanout_ws_1k` measures what has that in its name.
//! - `cargo bench -- floors` measures the floors alone.
//! - All ratios go to `target/ratios.json`, or where `SKEIN_RATIOS` says.
//! - `cargo run -p skein-bench --bin sabotage` sees that the benches notice what they should.

pub mod commit;
pub mod quantile;
pub mod utc;

pub mod interval;

pub mod folders;
pub mod gathered;
pub mod pin;

pub mod doubt;
pub mod mode;
pub mod names;
pub mod part;
pub mod ratio;
pub mod ratios_file;
pub mod run;
pub mod sabotage;
pub mod thread_time;
pub mod timed;

pub mod ballast;
pub mod chat_table;
pub mod tracks;
pub mod watchers;

pub mod child;
pub mod link;
pub mod protocol;
pub mod server;
pub mod websocket;

pub mod owner_shard;

pub mod publishers;
pub mod reading;

pub mod arrivals;
pub mod audience;
pub mod stage;

pub mod plain_stage;
pub mod websocket_stage;

pub mod quic_audience;
pub mod stage_runtime;

pub mod quic_stage;
pub mod quinn_stage;
pub mod sealed_stage;

pub mod crowd;
pub mod peers;

#[path = "../floors/mod.rs"]
pub mod floors;
