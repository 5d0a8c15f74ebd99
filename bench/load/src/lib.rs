//! A load generator that checks what it measures: senders by a schedule, viewers by the thousand.
//!
//! `skein-load` points it at a server of ours. The library is open to other servers: whoever
//! implements [`protocol::Protocol`] (a viewer's half over TCP) and [`publisher::Publisher`] (the
//! sending half) gets the schedule, the processes, the checks and the histograms.
//!
//! * [`schedule`] says when each point should be sent, in every process alike.
//! * [`crowd`] holds many viewers in one thread; [`checks`] looks at each counter each of them
//!   gets; [`tally`] adds up.
//! * [`worker`] is the loop of a process, [`workers`] starts them, [`measure`] runs them.

pub mod clock;
pub mod fault;

pub mod latency;
pub mod schedule;

pub mod checks;
pub mod reach;
pub mod send_result;
pub mod tally;

pub mod plan;
pub mod sink;

pub mod intake;
pub mod protocol;
pub mod publisher;

pub mod audience;
pub mod line;

pub mod crowd;

pub mod websocket_frame;

pub mod batch_cache;
pub mod slot_table;

pub mod skein_websocket;

mod quic_endpoints;
mod quic_viewer;

pub mod quic_crowd;

pub mod walk;

pub mod sender;

pub mod senders;

pub mod link;
pub mod worker;

pub mod workers;

pub mod measure;

pub mod procfs;
pub mod summary;

pub mod cast;
pub mod skein_worker;

pub mod args;

pub mod control;
pub mod server_process;

pub mod deployment;
pub mod interrupt_flag;
pub mod progress;

pub mod run;

pub mod output;

pub mod chart;
pub mod plot;
pub mod report;

pub mod command_probe;

pub mod spike_verdicts;
pub mod sustainable;

pub mod spike;

pub mod cli;
