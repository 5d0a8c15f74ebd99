//! `cargo bench`: all parts, from the log to the last viewer, in one executable that knows how
//! long the whole takes. It also plays servers and crowds, in processes of their own.

mod engine_fan_out;
mod engine_geofences;
mod engine_table;
mod engine_views;
mod fan_out;
mod log_append;
mod log_durable;
mod log_open;
mod log_read;
mod log_stall;
mod log_sustained;
mod positions;
mod wire_batch;

use std::process::ExitCode;

use skein_bench::run::Run;
use skein_bench::{child, crowd, plain_stage, quinn_stage, sealed_stage, server};

fn main() -> ExitCode {
    match child::role().as_deref() {
        Some(server::ROLE) => return server::main(),
        Some(crowd::ROLE) => crowd::main(),
        Some(plain_stage::ROLE) => plain_stage::main(),
        Some(plain_stage::TLS_ROLE) => plain_stage::tls_main(),
        Some(quinn_stage::ROLE) => quinn_stage::main(),
        Some(sealed_stage::ROLE) => sealed_stage::main(),
        Some(other) => panic!("no such role: {other}"),
        None => return measure(),
    }
    ExitCode::SUCCESS
}

fn measure() -> ExitCode {
    let mut parts = vec![
        log_append::PART,
        log_durable::PART,
        log_read::PART,
        log_stall::PART,
        log_sustained::PART,
        log_open::PART,
        wire_batch::PART,
        engine_table::PART,
        engine_fan_out::PART,
        engine_views::PART,
        engine_geofences::PART,
    ];
    parts.extend(fan_out::PARTS);
    parts.push(positions::PART);
    Run::all(&parts)
}
