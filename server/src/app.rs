//! Starts and stops the parts of the server.

pub mod data_dir;
pub mod ready;

pub mod outcomes;

pub mod server;

use std::io::Write;

use anyhow::Context;

use crate::app::server::Server;
use crate::config::settings::Config;
use crate::interrupt::Interrupt;

/// Runs the server until SIGINT or SIGTERM.
///
/// # Errors
/// What stopped it.
pub fn serve(config: Config) -> anyhow::Result<()> {
    let server = Server::start(&config)?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", server.ready().line())?;
    stdout.flush()?;
    wait_for_signal()?;
    tracing::info!("stopping: saying goodbye to all clients");
    server.stop()?;
    tracing::info!("stopped; everything is on disk");
    Ok(())
}

/// Waits for SIGINT or SIGTERM.
///
/// # Errors
/// When the system does not let this process listen to them.
pub fn wait_for_signal() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        Interrupt::listen()
            .context("SIGINT and SIGTERM")?
            .wait()
            .await;
        Ok(())
    })
}
