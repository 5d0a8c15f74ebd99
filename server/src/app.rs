//! Starts and stops the parts of the server.

pub mod bad_inputs;
pub mod data_dir;
pub mod dir_lock;
pub mod entrance;
mod files_in_force;
mod http_services;
pub mod ready;
pub mod traces;

pub mod outcomes;

pub mod erasers;
mod followers;

mod apis;
pub mod opened;
pub mod shards;

pub mod relay;
pub mod running;
pub mod server;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::relay::Relay;
use crate::app::running::Running;
use crate::app::server::Server;
use crate::config::settings::Config;
use crate::interrupt::Interrupt;
use crate::terminal::out;

/// Runs the server until SIGINT or SIGTERM. SIGHUP reads keys and certificate again.
///
/// # Errors
/// What stopped it.
pub fn serve(config: Config) -> anyhow::Result<()> {
    // Before there is anything that must not be left behind.
    traces::leave_none(config.dev);
    run(Server::start(&config)?)?;
    tracing::info!("stopped; everything is on disk");
    Ok(())
}

/// Runs a relay until SIGINT or SIGTERM. SIGHUP reads keys and certificate again.
///
/// # Errors
/// What stopped it.
pub fn relay(config: Config) -> anyhow::Result<()> {
    traces::leave_none(config.dev);
    run(Relay::start(&config)?)?;
    tracing::info!("stopped");
    Ok(())
}

fn run(server: impl Running) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Before anybody can know that it serves, so that no signal finds it unprepared.
        let interrupt = Interrupt::listen().context("SIGINT and SIGTERM")?;
        let hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
        if let Err(error) = out::say(server.ready().line()) {
            // Whoever does not want to know where it listens may still want it to serve.
            tracing::warn!("cannot say on stdout that it is ready: {error}");
        }
        reload_until(&server, interrupt, hangup).await;
        anyhow::Ok(())
    })?;
    tracing::info!("stopping: saying goodbye to all clients");
    server.stop()
}

async fn reload_until(server: &impl Running, mut interrupt: Interrupt, mut hangup: Signal) {
    loop {
        tokio::select! {
            () = interrupt.wait() => return,
            _ = hangup.recv() => match server.reload() {
                Ok(()) => tracing::info!("keys and certificate are read again"),
                Err(error) => tracing::error!("not everything could be read again: {error:#}"),
            }
        }
    }
}
