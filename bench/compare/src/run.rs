//! A run: every peer in turn, and again, so that the moods of the machine hit all of them.

use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use skein_bench::commit::commit;
use skein_bench::{folders, utc};

use crate::effort::Effort;
use crate::figure::Figures;
use crate::interrupt;
use crate::log_peer::LogPeer;
use crate::log_peers::all::log_peers;
use crate::machine::Machine;
use crate::measure::quic::QuicPeer;
use crate::measure::{fan_out, log};
use crate::options::{RunOptions, named};
use crate::peer::{FanOutPeer, Info};
use crate::peers::all::fan_out_peers;
use crate::process::keep_to_loader_core;
use crate::results::{PeerResult, Results};

/// The command that measures a peer again, without the name of the peer.
const COMMAND: &str = "cargo run --release -p skein-compare --bin compare -- --only ";

/// One of all peers.
enum Peer {
    FanOut(Box<dyn FanOutPeer>),
    Quic(QuicPeer),
    Log(Box<dyn LogPeer>),
}

impl Peer {
    fn all() -> Vec<Self> {
        let fan_out = fan_out_peers().into_iter().map(Self::FanOut);
        let quic = QuicPeer::ALL.into_iter().map(Self::Quic);
        let logs = log_peers().into_iter().map(Self::Log);
        fan_out.chain(quic).chain(logs).collect()
    }

    fn info(&self) -> Info {
        match self {
            Self::FanOut(peer) => peer.info(),
            Self::Quic(peer) => peer.info(),
            Self::Log(peer) => peer.info(),
        }
    }

    fn missing(&self) -> Option<String> {
        match self {
            Self::FanOut(peer) => peer.missing(),
            Self::Quic(_) => None,
            Self::Log(peer) => peer.missing(),
        }
    }

    /// Measures it once.
    fn measure(
        &self,
        effort: &Effort,
        repeat: usize,
        folder: &Path,
        figures: &mut Figures,
    ) -> Result<()> {
        let folder = tempfile::tempdir_in(folder)?;
        match self {
            Self::FanOut(peer) => fan_out::measure(peer.as_ref(), effort, folder.path(), figures),
            Self::Quic(peer) => peer.measure(effort, figures),
            Self::Log(peer) => {
                let appended = log::append(peer.as_ref(), effort, folder.path(), figures);
                // Filling takes longest, and one full log is opened several times anyway.
                if repeat == 0 {
                    let restarted = log::restart(peer.as_ref(), effort, folder.path(), figures);
                    return appended.and(restarted);
                }
                appended
            }
        }
    }
}

/// Prints all peers, and what installs those that are missing.
///
/// # Errors
/// If stdout is closed.
pub fn list() -> Result<()> {
    let mut out = io::stdout().lock();
    for peer in Peer::all() {
        let info = peer.info();
        let state = match peer.missing() {
            None => "ready".to_owned(),
            Some(what) => format!("{what}; to install it: {}", info.install),
        };
        writeln!(out, "{:<18} {:<60} {state}", info.name, info.title)?;
    }
    Ok(())
}

/// The first of the wanted names that no peer has.
pub fn unknown(options: &RunOptions) -> Option<&str> {
    let peers = Peer::all();
    let has = |wanted: &str| peers.iter().any(|peer| named(peer.info().name, wanted));
    let mut wanted = options.only.iter().map(String::as_str);
    wanted.find(|wanted| !has(wanted))
}

/// Measures the peers that are wanted and there. Says on stderr what it is at.
///
/// # Errors
/// If signals cannot be waited for. What a peer does wrong is in the results.
pub fn run(options: &RunOptions) -> Result<Results> {
    let effort = options.effort();
    let folder = folders::scratch();
    interrupt::clean_up(folder.path().to_owned())?;
    let began = Instant::now();
    keep_to_loader_core();
    let mut figures = Figures::default();
    let (mut peers, mut results) = (Vec::new(), Vec::new());
    for peer in Peer::all() {
        let info = peer.info();
        if !options.wants(info.name) {
            continue;
        }
        let mut result = PeerResult {
            name: info.name.to_owned(),
            title: info.title.to_owned(),
            settings: info.settings.to_owned(),
            trouble: String::new(),
        };
        match peer.missing() {
            None => peers.push((results.len(), peer)),
            Some(what) => {
                eprintln!(
                    "skipped {}: {what}; install it: {}",
                    info.name, info.install
                );
                result.trouble = format!("skipped: {what}");
            }
        }
        results.push(result);
    }
    for repeat in 0..effort.repeats {
        for (index, peer) in &peers {
            let name = peer.info().name;
            let seconds = began.elapsed().as_secs();
            let round = repeat + 1;
            eprintln!("[{seconds:>4} s] {name}, {round} of {}", effort.repeats);
            if let Err(error) = peer.measure(&effort, repeat, folder.path(), &mut figures) {
                eprintln!("         {name}: {error:#}");
                results[*index].trouble = format!("{error:#}");
            }
        }
    }
    let mut figures = figures.into_vec();
    let flag = match effort.name {
        "full" => String::new(),
        other => format!(" --{other}"),
    };
    for figure in &mut figures {
        figure.command = format!("{COMMAND}{}{flag}", figure.peer);
    }
    eprintln!("[{:>4} s] done", began.elapsed().as_secs());
    Ok(Results {
        at: utc::now(),
        commit: commit(),
        machine: Machine::this(),
        effort: effort.name.to_owned(),
        restart_bytes: effort.restart_bytes,
        peers: results,
        figures,
    })
}
