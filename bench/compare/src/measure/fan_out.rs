//! One repeat of one peer: memory and latency of a quiet server, then a saturated one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use skein_bench::quantile::quantile;

use crate::effort::Effort;
use crate::figure::{Figures, Measure};
use crate::measure::{latency, saturation};
use crate::peer::FanOutPeer;
use crate::process::Process;
use crate::stage::Stage;
use crate::tally::Tally;

/// Publications before anything is measured: every viewer has had something then.
const WARM_PUBLICATIONS: usize = 5;

/// Time in which a server that has just met its viewers comes to rest.
const SETTLE: Duration = Duration::from_millis(200);

/// Measures the peer once, into `figures`: a quiet system first, a saturated one then.
///
/// # Errors
/// If the peer does not start, loses a connection, or loses, doubles or swaps a position. What was
/// measured before stays in `figures`.
pub fn measure(
    peer: &dyn FanOutPeer,
    effort: &Effort,
    folder: &Path,
    figures: &mut Figures,
) -> Result<()> {
    for (part, work) in [("quiet", quiet as Part), ("saturated", saturated)] {
        let folder = folder.join(part);
        fs::create_dir(&folder)?;
        work(peer, effort, &folder, figures).context(part)?;
    }
    Ok(())
}

type Part = fn(&dyn FanOutPeer, &Effort, &Path, &mut Figures) -> Result<()>;

/// One sender, many viewers: memory and latency.
fn quiet(
    peer: &dyn FanOutPeer,
    effort: &Effort,
    folder: &Path,
    figures: &mut Figures,
) -> Result<()> {
    let name = peer.info().name;
    let mut tally = Tally::new(1);
    let mut stage = peer.start(1, folder).context("starting")?;
    let stage = stage.as_mut();
    let before = memory(stage);
    stage.add_viewers(effort.viewers, &mut tally)?;
    for _ in 0..WARM_PUBLICATIONS {
        latency::publish(stage, &mut tally).context("the first positions")?;
    }
    latency::rest(stage, &mut tally, SETTLE)?;
    let added = memory(stage).saturating_sub(before);
    let each = added as f64 / effort.viewers as f64;
    figures.add(name, Measure::MemoryPerViewer, each);

    let arrivals = latency::measure(stage, &mut tally, effort.publications)?;
    check(&tally)?;
    let mut first: Vec<f64> = arrivals.iter().map(|arrival| arrival.first_ms).collect();
    let mut last: Vec<f64> = arrivals.iter().map(|arrival| arrival.last_ms).collect();
    figures.add(name, Measure::FirstViewerP50, quantile(&mut first, 0.5));
    figures.add(name, Measure::LastViewerP50, quantile(&mut last, 0.5));
    figures.add(name, Measure::LastViewerP99, quantile(&mut last, 0.99));
    Ok(())
}

/// Many senders, many viewers, then many more.
fn saturated(
    peer: &dyn FanOutPeer,
    effort: &Effort,
    folder: &Path,
    figures: &mut Figures,
) -> Result<()> {
    let name = peer.info().name;
    let mut tally = Tally::new(effort.sessions as usize);
    let mut stage = peer.start(effort.sessions, folder).context("starting")?;
    let stage = stage.as_mut();
    stage.add_viewers(effort.viewers, &mut tally)?;
    let few = saturate(stage, &mut tally, effort)?;
    figures.add(name, Measure::Delivered, few.per_second);
    figures.add(name, Measure::DeliveredPerCpu, few.per_cpu_second);
    figures.add(name, Measure::ServerBusy, few.busy);
    saturation::drain(stage, &mut tally).context("after saturation")?;
    check(&tally)?;
    if effort.viewers_many <= effort.viewers {
        return Ok(());
    }
    stage.add_viewers(effort.viewers_many - effort.viewers, &mut tally)?;
    // What is on its way at the end goes down with the server: it can be a minute's work.
    let many = saturate(stage, &mut tally, effort).context("with many viewers")?;
    figures.add(name, Measure::DeliveredMany, many.per_second);
    figures.add(name, Measure::DeliveredManyPerCpu, many.per_cpu_second);
    figures.add(name, Measure::ServerBusyMany, many.busy);
    check(&tally)
}

fn saturate(
    stage: &mut dyn Stage,
    tally: &mut Tally,
    effort: &Effort,
) -> Result<saturation::Saturation> {
    saturation::measure(stage, tally, effort.sessions, effort.warm, effort.window)
}

/// A peer that delivers wrongly has no figures.
fn check(tally: &Tally) -> Result<()> {
    let counts = tally.counts();
    ensure!(
        counts.wrong == 0,
        "{} positions came in the wrong order or from nowhere",
        counts.wrong
    );
    Ok(())
}

fn memory(stage: &dyn Stage) -> u64 {
    stage.processes().iter().map(Process::memory_bytes).sum()
}
