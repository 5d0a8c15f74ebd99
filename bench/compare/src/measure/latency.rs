//! How long a position takes to the first and to the last viewer of a quiet system.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::patience::Patience;
use crate::stage::Stage;
use crate::tally::Tally;

/// The session that moves; the others are quiet.
const SESSION: u32 = 0;

/// Pause between two publications: acknowledgements and other late work are done by then.
const PAUSE: Duration = Duration::from_millis(3);

/// Longest wait for the last viewer. What takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// When a position arrived, milliseconds after its publication.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// At the first viewer.
    pub first_ms: f64,
    /// At the last one.
    pub last_ms: f64,
}

/// Publishes once and waits for everybody.
///
/// # Errors
/// If a connection is lost, or a viewer gets nothing.
pub fn publish(stage: &mut dyn Stage, tally: &mut Tally) -> Result<Arrival> {
    let counter = tally.publish(SESSION);
    let all = tally.waiting(SESSION);
    let mut patience = Patience::of(PATIENCE);
    let began = Instant::now();
    stage.publish(SESSION, counter)?;
    let mut first_ms = None;
    while tally.waiting(SESSION) > 0 {
        stage.poll(tally)?;
        if first_ms.is_none() && tally.waiting(SESSION) < all {
            first_ms = Some(milliseconds(began));
        }
        patience.wait(stage, || {
            format!("{} of {all} viewers have nothing", tally.waiting(SESSION))
        })?;
    }
    let last_ms = milliseconds(began);
    // Nobody else publishes now.
    while tally.next_complete().is_some() {}
    Ok(Arrival {
        first_ms: first_ms.unwrap_or(last_ms),
        last_ms,
    })
}

/// Publishes so often, with a pause in between.
///
/// # Errors
/// As [`publish`].
pub fn measure(
    stage: &mut dyn Stage,
    tally: &mut Tally,
    publications: usize,
) -> Result<Vec<Arrival>> {
    let mut arrivals = Vec::with_capacity(publications);
    for _ in 0..publications {
        rest(stage, tally, PAUSE)?;
        arrivals.push(publish(stage, tally)?);
    }
    Ok(arrivals)
}

/// Takes what comes for a while.
///
/// # Errors
/// If a connection is lost.
pub fn rest(stage: &mut dyn Stage, tally: &mut Tally, time: Duration) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < time {
        stage.poll(tally)?;
    }
    Ok(())
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}
