//! One measured run: go, wait for the senders, let everything arrive, collect.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::audience::{AudienceResult, Progress};
use crate::clock::{SECOND_NS, now_ns};
use crate::link::{Command, Message};
use crate::schedule::SchedulePlan;
use crate::send_result::{SendProgress, SendResult};
use crate::workers::Workers;

/// From the word "go" to the first point: all workers have heard it by then.
const RUN_UP_NS: u64 = SECOND_NS / 2;

/// How long a worker may take to write its result, beyond the patience for points.
const REPORT: Duration = Duration::from_secs(60);

/// Where a run stands.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// Since the first point could be sent.
    pub elapsed: Duration,
    /// All viewers.
    pub viewing: Progress,
    /// All senders.
    pub sending: SendProgress,
}

/// What a run has brought.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// When it began, on the machine's monotonic clock, nanoseconds.
    pub start_ns: u64,
    /// Of the workers with viewers.
    pub viewed: Vec<AudienceResult>,
    /// Of the worker with senders.
    pub sent: SendResult,
    /// The share of a core that the busiest worker used.
    pub worker_cores_max: f64,
    /// Cores that all workers used together.
    pub worker_cores: f64,
    /// From the first intended point until the senders were done, seconds.
    pub seconds: f64,
}

/// Runs workers that are ready; exactly one of them has senders.
///
/// `tick` is told several times a second where the run stands; its answer `false` ends it early.
///
/// # Errors
/// When a worker cannot go on.
pub fn measure(
    workers: &mut Workers,
    schedule: &SchedulePlan,
    patience_s: f64,
    mut tick: impl FnMut(&Moment) -> bool,
) -> anyhow::Result<Findings> {
    let start_ns = now_ns() + RUN_UP_NS;
    workers.tell_all(&Command::Go { start_ns })?;
    let mut board = Board::new(workers.len(), start_ns);
    let give_up = Instant::now() + Duration::from_secs_f64(schedule.seconds()) + REPORT;
    while board.sent.is_none() {
        board.take(workers)?;
        if !board.stopping && !tick(&board.moment()) {
            board.stopping = true;
            workers.tell(board.senders(workers)?, &finish(Vec::new(), 0.0))?;
        }
        if Instant::now() > give_up {
            bail!("the senders do not end; look at the load of this machine");
        }
    }
    let seconds = board.moment().elapsed.as_secs_f64();
    let sent = board.sent.clone().context("waited for above")?;
    workers.tell_all(&finish(sent.sent.clone(), patience_s))?;
    let give_up = Instant::now() + Duration::from_secs_f64(patience_s) + REPORT;
    while board.results.iter().flatten().count() + 1 < workers.len() {
        board.take(workers)?;
        tick(&board.moment());
        if Instant::now() > give_up {
            bail!("a worker does not report; look at the load of this machine");
        }
    }
    Ok(Findings {
        start_ns,
        viewed: board.results.into_iter().flatten().collect(),
        sent,
        worker_cores_max: board.used.iter().copied().fold(0.0, f64::max),
        worker_cores: board.used.iter().sum(),
        seconds: seconds.min(schedule.seconds()),
    })
}

fn finish(sent: Vec<crate::checks::Sent>, patience_s: f64) -> Command {
    Command::Finish { sent, patience_s }
}

/// What the workers have said so far.
struct Board {
    start_ns: u64,
    viewing: Vec<Progress>,
    sending: SendProgress,
    sender: Option<usize>,
    sent: Option<SendResult>,
    results: Vec<Option<AudienceResult>>,
    used: Vec<f64>,
    stopping: bool,
}

impl Board {
    fn new(workers: usize, start_ns: u64) -> Self {
        Self {
            start_ns,
            viewing: vec![Progress::default(); workers],
            sending: SendProgress::default(),
            sender: None,
            sent: None,
            results: vec![None; workers],
            used: vec![0.0; workers],
            stopping: false,
        }
    }

    fn take(&mut self, workers: &mut Workers) -> anyhow::Result<()> {
        let Some((number, message)) = workers.next(Duration::from_millis(200))? else {
            return Ok(());
        };
        match message {
            Message::Viewing(progress) => self.viewing[number] = progress,
            Message::Sending(progress) => {
                self.sender = Some(number);
                self.sending = progress;
            }
            Message::Viewed(result, used) => {
                self.viewing[number] = result.progress.clone();
                self.results[number] = Some(*result);
                self.used[number] = used.0;
            }
            Message::SentAll(result, used) => {
                self.sending = result.progress;
                self.sent = Some(*result);
                self.used[number] = used.0;
            }
            Message::Ready | Message::Failed(_) => {}
        }
        Ok(())
    }

    fn senders(&self, workers: &Workers) -> anyhow::Result<usize> {
        // It is the one that has said how far it is; before that, the first one that is started.
        let number = self.sender.unwrap_or(0);
        if number >= workers.len() {
            bail!("there is no worker with senders");
        }
        Ok(number)
    }

    fn moment(&self) -> Moment {
        let mut viewing = Progress::default();
        for progress in &self.viewing {
            viewing.watching += progress.watching;
            viewing.totals.add(&progress.totals);
            for (reason, count) in &progress.lost {
                *viewing.lost.entry(reason.clone()).or_default() += count;
            }
        }
        Moment {
            elapsed: Duration::from_nanos(now_ns().saturating_sub(self.start_ns)),
            viewing,
            sending: self.sending,
        }
    }
}
