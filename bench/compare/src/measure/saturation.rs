//! How many positions a second reach viewers when there is always one of each sender on its way.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::patience::Patience;
use crate::process::Process;
use crate::stage::Stage;
use crate::tally::Tally;

/// The session whose completions mark whole rounds of all sessions.
const MARK: u32 = 0;

/// Longest time for what is still on its way at the end.
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);

/// The longest that a window is stretched to end with a whole round, in windows.
const STRETCH: u32 = 3;

/// What a saturated peer did.
#[derive(Clone, Copy, Debug)]
pub struct Saturation {
    /// Positions that were new to a viewer, per second.
    pub per_second: f64,
    /// The same per second of processor time of the servers.
    pub per_cpu_second: f64,
    /// Share of the time that the servers computed; well below 1 means that the loader is the limit.
    pub busy: f64,
}

/// Time, processor time and deliveries at one moment.
#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    cpu: Duration,
    delivered: u64,
}

impl Mark {
    fn take(processes: &[Process], tally: &Tally) -> Self {
        Self {
            at: Instant::now(),
            cpu: processes.iter().map(Process::processor_time).sum(),
            delivered: tally.counts().delivered,
        }
    }

    fn until(self, end: Self) -> Saturation {
        let delivered = (end.delivered - self.delivered) as f64;
        let seconds = (end.at - self.at).as_secs_f64();
        let cpu = end.cpu.saturating_sub(self.cpu).as_secs_f64();
        Saturation {
            per_second: delivered / seconds,
            per_cpu_second: delivered / cpu.max(f64::EPSILON),
            busy: cpu / seconds,
        }
    }
}

/// Saturates the peer and measures for a while, whole rounds where rounds are short enough.
///
/// # Errors
/// If a connection is lost, or nothing is delivered any more.
pub fn measure(
    stage: &mut dyn Stage,
    tally: &mut Tally,
    sessions: u32,
    warm: Duration,
    window: Duration,
) -> Result<Saturation> {
    for session in 0..sessions {
        let counter = tally.publish(session);
        stage.publish(session, counter)?;
    }
    let began = Instant::now();
    while began.elapsed() < warm {
        turn(stage, tally)?;
    }
    let opened = Mark::take(stage.processes(), tally);
    let (mut first, mut last) = (None, None);
    loop {
        if turn(stage, tally)? {
            let mark = Mark::take(stage.processes(), tally);
            match first {
                None => first = Some(mark),
                Some(_) => last = Some(mark),
            }
        }
        let elapsed = opened.at.elapsed();
        let whole = match (first, last) {
            (Some(first), Some(last)) => (last.at - first.at) * 2 >= window,
            _ => false,
        };
        if elapsed >= window && whole || elapsed >= window * STRETCH {
            break;
        }
    }
    let closed = Mark::take(stage.processes(), tally);
    ensure!(
        closed.delivered > opened.delivered,
        "nothing was delivered at saturation; {} deliveries are missing",
        tally.missing()
    );
    Ok(match (first, last) {
        (Some(first), Some(last)) if (last.at - first.at) * 2 >= window => first.until(last),
        _ => opened.until(closed),
    })
}

/// One look at the sockets; whose last position has reached everybody publishes again. Says
/// whether the marking session was among them.
fn turn(stage: &mut dyn Stage, tally: &mut Tally) -> Result<bool> {
    stage.poll(tally)?;
    let mut marked = false;
    while let Some(session) = tally.next_complete() {
        marked |= session == MARK;
        let counter = tally.publish(session);
        stage.publish(session, counter)?;
    }
    Ok(marked)
}

/// Publishes nothing more and waits until everything is there.
///
/// # Errors
/// If deliveries are missing in the end.
pub fn drain(stage: &mut dyn Stage, tally: &mut Tally) -> Result<()> {
    let mut patience = Patience::of(DRAIN_PATIENCE);
    while tally.missing() > 0 {
        stage.poll(tally)?;
        while tally.next_complete().is_some() {}
        patience.wait(stage, || {
            format!("{} deliveries are missing", tally.missing())
        })?;
    }
    while tally.next_complete().is_some() {}
    Ok(())
}
