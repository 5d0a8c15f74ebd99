//! What a worker process does: viewers that watch, or senders that send.
//!
//! Any program can be its own worker: it starts itself with an argument of its choice, and there
//! opens the [`Link`], builds an [`Audience`] or a [`Publisher`] from the plan, and calls
//! [`view`] or [`send`].

use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use crate::audience::Audience;
use crate::clock::{SECOND_NS, nanos, now_ns};
use crate::fault::Fault;
use crate::link::{Command, CoreShare, Link, Message, say};
use crate::publisher::{Campaign, Publisher};
use crate::schedule::{Schedule, SchedulePlan};
use crate::send_result::SendResult;

/// Time between two looks at what the run says.
const TURN: Duration = Duration::from_millis(20);

/// Time between two words about progress, nanoseconds.
const PROGRESS_NS: u64 = SECOND_NS / 2;

/// How long everybody may take to connect, nanoseconds.
const READY_NS_MAX: u64 = 120 * SECOND_NS;

/// How long acknowledgements of the last points may take, nanoseconds: the server's regular ones
/// come every two seconds.
const SETTLE_NS_MAX: u64 = 8 * SECOND_NS;

/// Runs a worker and tells the run when it cannot go on. It ends with whoever started it.
pub fn run(work: impl FnOnce() -> Result<(), Fault>) -> ExitCode {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("this worker may outlive its run: {error}");
    }
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // When nobody listens there is nobody to tell.
            let _ = say(&Message::Failed(fault.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Keeps this process on a core.
///
/// # Errors
/// When there is no such core for it.
pub fn pin(core: Option<u32>) -> Result<(), Fault> {
    let Some(core) = core else {
        return Ok(());
    };
    let mut set = CpuSet::new();
    set.set(core as usize);
    sched_setaffinity(None, &set).map_err(|error| {
        Fault::Plan(format!(
            "a worker cannot run on core {core}: {error}; name another core"
        ))
    })
}

/// Watches until the run says that the senders are done, then reports.
///
/// # Errors
/// When viewers cannot be connected, or the run is gone.
pub fn view(link: &Link, audience: &mut impl Audience, viewers: u32) -> Result<(), Fault> {
    let give_up = now_ns() + READY_NS_MAX;
    while audience.progress().watching < viewers {
        audience.turn(TURN)?;
        let progress = audience.progress();
        if let Some((reason, count)) = progress.lost.first_key_value() {
            return Err(Fault::Plan(format!(
                "{count} viewers cannot watch: {reason}"
            )));
        }
        if now_ns() > give_up {
            let watching = progress.watching;
            let text = format!("only {watching} of {viewers} viewers could connect in time");
            return Err(Fault::Plan(text));
        }
        link.say(&Message::Viewing(progress))?;
    }
    link.say(&Message::Ready)?;
    let mut meter = CoreMeter::start();
    let mut progress_ns = 0;
    loop {
        match link.heard()? {
            Some(Command::Go { start_ns }) => {
                audience.start(start_ns);
                meter = CoreMeter::start();
            }
            Some(Command::Finish { sent, patience_s }) => {
                let used = meter.share();
                audience.finish();
                let give_up = now_ns() + nanos(patience_s);
                while audience.missing(&sent) > 0 && now_ns() < give_up {
                    audience.turn(TURN * 5)?;
                }
                let result = Box::new(audience.result(&sent));
                return link.say(&Message::Viewed(result, used));
            }
            None => {}
        }
        audience.turn(TURN)?;
        if now_ns() >= progress_ns {
            progress_ns = now_ns() + PROGRESS_NS;
            link.say(&Message::Viewing(audience.progress()))?;
        }
    }
}

/// Sends by a schedule when the run says so, and reports; then ends sessions when the viewers are
/// done.
///
/// # Errors
/// When senders cannot be connected, or the run is gone.
pub fn send(link: &Link, publisher: &mut impl Publisher, plan: &SchedulePlan) -> Result<(), Fault> {
    let give_up = now_ns() + READY_NS_MAX;
    while !publisher.is_ready() {
        serve_a_moment(publisher)?;
        if let Some((reason, count)) = publisher.lost().first_key_value() {
            return Err(Fault::Plan(format!(
                "{count} senders cannot share: {reason}"
            )));
        }
        if now_ns() > give_up {
            return Err(Fault::Plan(
                "the senders could not connect in time".to_owned(),
            ));
        }
    }
    link.say(&Message::Ready)?;
    let start_ns = loop {
        match link.heard()? {
            Some(Command::Go { start_ns }) => break start_ns,
            Some(Command::Finish { .. }) => return publisher.close(),
            None => serve_a_moment(publisher)?,
        }
    };
    let meter = CoreMeter::start();
    let mut campaign = Campaign::new(Schedule::new(plan, start_ns));
    let mut progress_ns = 0;
    let mut stopped = false;
    while !stopped && campaign.step(publisher)? {
        if now_ns() >= progress_ns {
            progress_ns = now_ns() + PROGRESS_NS;
            link.say(&Message::Sending(campaign.progress()))?;
            // An early end: viewers are owed what has been sent by now.
            stopped = matches!(link.heard()?, Some(Command::Finish { .. }));
        }
    }
    let used = meter.share();
    let give_up = now_ns() + SETTLE_NS_MAX;
    while !publisher.is_settled() && now_ns() < give_up {
        serve_a_moment(publisher)?;
    }
    let result = SendResult {
        progress: campaign.progress(),
        verdicts: publisher.verdicts(),
        sent: campaign.owed(publisher.turned_away()),
        lateness: campaign.lateness().counts(),
        churned: publisher.churned(),
        lost: publisher.lost(),
    };
    link.say(&Message::SentAll(Box::new(result), used))?;
    while !matches!(link.heard()?, Some(Command::Finish { .. })) {
        serve_a_moment(publisher)?;
    }
    publisher.close()
}

fn serve_a_moment(publisher: &mut impl Publisher) -> Result<(), Fault> {
    publisher.serve(now_ns() + TURN.as_nanos() as u64)
}

/// How much of a core this process uses.
struct CoreMeter {
    at_ns: u64,
    used_ns: u64,
}

impl CoreMeter {
    /// From now on.
    fn start() -> Self {
        Self {
            at_ns: now_ns(),
            used_ns: processor_ns(),
        }
    }

    /// Since then.
    fn share(&self) -> CoreShare {
        let wall = now_ns().saturating_sub(self.at_ns).max(1);
        CoreShare((processor_ns() - self.used_ns) as f64 / wall as f64)
    }
}

/// Processor time of this process so far.
fn processor_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec.unsigned_abs() * SECOND_NS + time.tv_nsec.unsigned_abs()
}
