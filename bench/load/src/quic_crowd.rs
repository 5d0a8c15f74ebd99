//! The viewers of a worker over QUIC: a task for each, all in one thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{Notify, Semaphore};

use crate::audience::{Audience, AudienceResult, Progress};
use crate::checks::{Sent, ViewerCheck};
use crate::clock::{SECOND_NS, nanos, now_ns};
use crate::fault::Fault;
use crate::intake::Intake;
use crate::latency::Latencies;
use crate::plan::{Behaviour, CrowdPlan};
use crate::quic_endpoints::QuicEndpoints;
use crate::quic_viewer::{Frames, QuicViewer};
use crate::schedule::Schedule;
use crate::skein_websocket::Chat;
use crate::tally::Tally;

/// Viewers that connect at the same time: a flood would only measure the server's limit.
const CONNECTING_MAX: usize = 16;

/// Pause between two looks of a slow viewer whether it reads again.
const PAUSE: Duration = Duration::from_millis(50);

/// What all tasks share.
struct Shared {
    plan: CrowdPlan,
    chats: Vec<Chat>,
    endpoints: QuicEndpoints,
    connecting: Semaphore,
    tally: RefCell<Option<Tally>>,
    checks: RefCell<Vec<ViewerCheck>>,
    watching: Cell<u32>,
    lost: RefCell<BTreeMap<String, u64>>,
    joins: RefCell<Latencies>,
    finished: Cell<bool>,
    /// One for each viewer: leave, and come back.
    leave: Vec<Notify>,
}

/// The viewers of a worker over QUIC.
pub struct QuicCrowd {
    shared: Rc<Shared>,
    restless: Vec<usize>,
    churned: u64,
    // Last, so that connections can say goodbye.
    runtime: LocalRuntime,
}

impl QuicCrowd {
    /// Begins to connect everybody.
    ///
    /// # Errors
    /// When the plan has no certificates, or the system has no sockets.
    pub fn new(plan: CrowdPlan, chats: Vec<Chat>) -> Result<Self, Fault> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())?;
        let Some(tls) = plan.tls.clone() else {
            return Err(Fault::Plan("QUIC is always encrypted".to_owned()));
        };
        let viewers = plan.seats.len();
        let endpoints =
            runtime.block_on(async { QuicEndpoints::new(plan.address, &tls, viewers) })?;
        let check = |seat: &crate::plan::SeatPlan| {
            let senders = plan.chats[seat.chat as usize].senders;
            ViewerCheck::new(senders, plan.every, true)
        };
        let restless = |index: &usize| plan.seats[*index].behaviour == Behaviour::Restless;
        let crowd = Self {
            restless: (0..viewers).filter(restless).collect(),
            churned: 0,
            shared: Rc::new(Shared {
                chats,
                endpoints,
                connecting: Semaphore::new(CONNECTING_MAX),
                tally: RefCell::new(None),
                checks: RefCell::new(plan.seats.iter().map(check).collect()),
                watching: Cell::new(0),
                lost: RefCell::default(),
                joins: RefCell::new(Latencies::fine()),
                finished: Cell::new(false),
                leave: (0..viewers).map(|_| Notify::new()).collect(),
                plan,
            }),
            runtime,
        };
        for index in 0..viewers {
            let shared = Rc::clone(&crowd.shared);
            crowd.runtime.spawn_local(live(shared, index));
        }
        Ok(crowd)
    }

    fn churn(&mut self) {
        let shared = &self.shared;
        let start = shared.start_ns();
        let Some(start) = start.filter(|_| !shared.finished.get() && !self.restless.is_empty())
        else {
            return;
        };
        let since = now_ns().saturating_sub(start) as f64 / SECOND_NS as f64;
        let due = (since * shared.plan.churn_per_s) as u64;
        while self.churned < due {
            let turn = self.churned % self.restless.len() as u64;
            shared.leave[self.restless[turn as usize]].notify_one();
            self.churned += 1;
        }
    }
}

/// All lives of one viewer.
async fn live(shared: Rc<Shared>, index: usize) {
    loop {
        let watched = Cell::new(false);
        let result = one_life(&shared, index, &watched).await;
        if watched.get() {
            shared.watching.set(shared.watching.get() - 1);
        }
        if let Err(fault) = result {
            *shared
                .lost
                .borrow_mut()
                .entry(fault.to_string())
                .or_default() += 1;
            return;
        }
        let chat = shared.plan.seats[index].chat as usize;
        let senders = shared.plan.chats[chat].senders;
        let fresh = ViewerCheck::new(senders, shared.plan.every, false);
        shared.checks.borrow_mut()[index] = fresh;
    }
}

/// From dialling until it leaves (`Ok`) or is lost.
async fn one_life(shared: &Shared, index: usize, watched: &Cell<bool>) -> Result<(), Fault> {
    let seat = &shared.plan.seats[index];
    let chat = &shared.chats[seat.chat as usize];
    let permit = shared.connecting.acquire().await;
    let dialled_ns = now_ns();
    let connection = shared.endpoints.connect(index).await?;
    let delivery = shared.plan.delivery();
    let mut viewer =
        QuicViewer::begin(connection, &seat.token, chat.name.clone(), delivery).await?;
    let mut permit = Some(permit);
    loop {
        let frames = tokio::select! {
            () = shared.leave[index].notified() => {
                viewer.leave();
                return Ok(());
            }
            frames = viewer.next() => frames?,
        };
        shared.handle(index, &mut viewer, frames)?;
        viewer.answer().await?;
        if !watched.get() && viewer.is_watching() {
            watched.set(true);
            shared.watching.set(shared.watching.get() + 1);
            shared.joins.borrow_mut().record_ns(now_ns() - dialled_ns);
            permit.take();
        }
        while shared.is_paused(index) {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Shared {
    fn handle(&self, index: usize, viewer: &mut QuicViewer, frames: Frames) -> Result<(), Fault> {
        let seat = &self.plan.seats[index];
        let mut out = Vec::new();
        let mut tally = self.tally.borrow_mut();
        let mut intake = Intake {
            now_ns: now_ns(),
            sender_first: self.plan.chats[seat.chat as usize].sender_first,
            check: &mut self.checks.borrow_mut()[index],
            tally: tally.as_mut(),
            behaviour: seat.behaviour,
            out: &mut out,
        };
        let senders = &self.chats[seat.chat as usize].senders;
        viewer.handle(frames, senders, &mut intake)
    }

    fn start_ns(&self) -> Option<u64> {
        let tally = self.tally.borrow();
        tally.as_ref().map(|tally| tally.schedule().start_ns())
    }

    /// Slow viewers read for a while and then do not, each in a rhythm of its own.
    fn is_paused(&self, index: usize) -> bool {
        if self.plan.seats[index].behaviour != Behaviour::Slow || self.finished.get() {
            return false;
        }
        let Some(start) = self.start_ns() else {
            return false;
        };
        let stretch = nanos(self.plan.slow_s).max(1);
        (now_ns().saturating_sub(start) / stretch + index as u64).is_multiple_of(2)
    }
}

impl Audience for QuicCrowd {
    fn turn(&mut self, at_most: Duration) -> Result<(), Fault> {
        self.churn();
        self.runtime
            .block_on(async { tokio::time::sleep(at_most).await });
        Ok(())
    }

    fn progress(&self) -> Progress {
        let tally = self.shared.tally.borrow();
        Progress {
            watching: self.shared.watching.get(),
            lost: self.shared.lost.borrow().clone(),
            totals: tally.as_ref().map(Tally::totals).unwrap_or_default(),
        }
    }

    fn start(&mut self, start_ns: u64) {
        let schedule = Schedule::new(&self.shared.plan.schedule, start_ns);
        *self.shared.tally.borrow_mut() = Some(Tally::new(schedule));
    }

    fn finish(&mut self) {
        self.shared.finished.set(true);
    }

    fn missing(&self, sent: &[Sent]) -> u64 {
        let plan = &self.shared.plan;
        let checks = self.shared.checks.borrow();
        let missing = |(check, seat): (&ViewerCheck, &crate::plan::SeatPlan)| {
            let chat = &plan.chats[seat.chat as usize];
            let first = chat.sender_first as usize;
            check.missing(&sent[first..first + chat.senders as usize])
        };
        checks.iter().zip(&plan.seats).map(missing).sum()
    }

    fn result(&self, sent: &[Sent]) -> AudienceResult {
        let tally = self.shared.tally.borrow();
        AudienceResult {
            progress: self.progress(),
            missing: self.missing(sent),
            churned: self.churned,
            joins: self.shared.joins.borrow().counts(),
            tally: tally.as_ref().map(Tally::counts).unwrap_or_default(),
        }
    }
}
