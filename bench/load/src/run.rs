//! One run against a server: members, workers, the run itself, and everything put away again.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use crate::args::{DeliveryArg, LoadArgs};
use crate::cast::{Cast, Transport, ViewerRole, Wish};
use crate::control::Member;
use crate::deployment::Deployment;
use crate::interrupt_flag::InterruptFlag;
use crate::measure::{Findings, Moment, measure};
use crate::plan::{Behaviour, CrowdPlan, SeatPlan};
use crate::procfs::{CpuSeconds, anonymous_bytes, cpu_seconds};
use crate::progress::ProgressDisplay;
use crate::schedule::{Phase, SchedulePlan};
use crate::senders::SendPlan;
use crate::skein_worker::{ARGUMENT, ViewPlan, WorkerPlan};
use crate::summary::Summary;
use crate::workers::{Workers, connections_max, this_program};

/// How long workers may take to connect everybody.
const READY: Duration = Duration::from_secs(150);

/// How long workers may take to end after their results.
const END: Duration = Duration::from_secs(10);

/// Seconds that a session is made to last beyond the run: it is stopped at the end anyhow.
const SESSION_SPARE_S: f64 = 300.0;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Who takes part.
    pub load: LoadArgs,
    /// One after the other.
    pub phases: Vec<Phase>,
}

/// What a local server used.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ServerFigures {
    /// Processor time while points were sent, seconds.
    pub cpu: CpuSeconds,
    /// Points that viewers got per second of it.
    pub delivered_per_cpu_s: f64,
    /// Memory that no file backs, with all senders and no viewer, bytes.
    pub memory_before_viewers: u64,
    /// The same with all viewers, before the first point.
    pub memory_with_viewers: u64,
    /// The difference per viewer.
    pub memory_per_viewer: f64,
    /// The same at the end; `None` when the server is gone.
    pub memory_at_end: Option<u64>,
}

/// What a run has shown.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// What viewers and senders saw.
    pub summary: Summary,
    /// What the server used, if it is on this machine.
    pub server: Option<ServerFigures>,
    /// As the workers gave it.
    pub findings: Findings,
    /// When points were sent.
    pub schedule: SchedulePlan,
    /// Viewers of each sender's chat that read all the time.
    pub steady_viewers: Vec<u32>,
    /// Names of the chats, in order of their senders.
    pub chats: Vec<String>,
}

/// A run that is set up: everybody is connected.
pub struct Run<'a> {
    deployment: &'a Deployment,
    spec: Spec,
    schedule: SchedulePlan,
    cast: Cast,
    members: Vec<Member>,
    workers: Workers,
    memory_before: Option<u64>,
    display: ProgressDisplay,
}

impl<'a> Run<'a> {
    /// Puts members, starts workers, and waits until everybody is connected.
    ///
    /// # Errors
    /// When that is not possible; the text says what to do.
    pub fn prepare(deployment: &'a Deployment, spec: Spec) -> anyhow::Result<Self> {
        let schedule = SchedulePlan {
            senders: spec.load.senders,
            hz_min: spec.load.rate.min,
            hz_max: spec.load.rate.max,
            phases: spec.phases.clone(),
        };
        let cast = cast(deployment, &spec.load)?;
        let mut run = Self {
            deployment,
            members: members(&cast),
            workers: Workers::default(),
            memory_before: None,
            display: ProgressDisplay::new(schedule.seconds()),
            spec,
            schedule,
            cast,
        };
        run.check()?;
        run.put_members()?;
        run.start_senders()?;
        run.memory_before = deployment.pid.map(anonymous_bytes).transpose()?;
        run.start_viewers()?;
        Ok(run)
    }

    /// Names of the chats.
    pub fn chats(&self) -> Vec<String> {
        self.cast
            .chats
            .iter()
            .map(|chat| chat.name.clone())
            .collect()
    }

    /// Runs. `side` is told several times a second where it stands.
    ///
    /// # Errors
    /// When a worker cannot go on.
    pub fn perform(
        mut self,
        interrupt: &InterruptFlag,
        mut side: impl FnMut(&Moment),
    ) -> anyhow::Result<RunResult> {
        let with_viewers = self.deployment.pid.map(anonymous_bytes).transpose()?;
        let before = self.cpu()?;
        let mut used = before;
        let senders_end = Duration::from_secs_f64(self.schedule.seconds());
        let pid = self.deployment.pid;
        let display = &mut self.display;
        let patience_s = self.spec.load.patience.as_secs_f64();
        let findings = measure(&mut self.workers, &self.schedule, patience_s, |moment| {
            if moment.elapsed <= senders_end {
                used = pid.and_then(|pid| cpu_seconds(pid).ok()).or(used);
            }
            display.moment(moment);
            side(moment);
            !interrupt.is_set()
        });
        self.display.end();
        let findings = findings?;
        let steady_viewers = self.cast.steady_viewers();
        let viewers_of = |sender: u32| steady_viewers[sender as usize];
        let summary = Summary::new(&findings, &self.schedule, viewers_of);
        // Perhaps it has ended: what viewers saw is reported all the same.
        let at_end = self
            .deployment
            .pid
            .and_then(|pid| anonymous_bytes(pid).ok());
        let figures = |cpu: CpuSeconds| {
            let (memory_before_viewers, memory_with_viewers) = (self.memory_before?, with_viewers?);
            let grown = memory_with_viewers.saturating_sub(memory_before_viewers);
            Some(ServerFigures {
                cpu,
                delivered_per_cpu_s: summary.totals.delivered as f64 / cpu.total().max(0.01),
                memory_before_viewers,
                memory_with_viewers,
                memory_per_viewer: grown as f64 / self.cast.viewers.len().max(1) as f64,
                memory_at_end: at_end,
            })
        };
        let cpu = before.zip(used).map(|(before, used)| used.since(before));
        let server = cpu.and_then(figures);
        let chats = self.chats();
        let schedule = self.schedule.clone();
        if let Err(error) = self.put_away() {
            eprintln!("note: {error:#}");
        }
        Ok(RunResult {
            summary,
            server,
            findings,
            schedule,
            steady_viewers,
            chats,
        })
    }

    fn cpu(&self) -> anyhow::Result<Option<CpuSeconds>> {
        self.deployment.pid.map(cpu_seconds).transpose()
    }

    /// What can be known to be impossible before anything is started.
    fn check(&self) -> anyhow::Result<()> {
        let load = &self.spec.load;
        if load.delivery == DeliveryArg::Every && load.churn_sessions > 0.0 {
            bail!(
                "with --delivery every a session that stops takes points with it that slow viewers have not got yet, so they cannot be checked; leave out --churn-sessions, or use --delivery latest"
            );
        }
        if load.senders as usize > connections_max() {
            bail!(
                "{} senders need as many descriptors; raise the limit with `ulimit -n`, or use fewer --senders",
                load.senders
            );
        }
        let sharing = self.cast.chats.iter().map(|chat| chat.senders).max();
        if self.deployment.only_user().is_some() && sharing > Some(1) {
            bail!(
                "with --token everybody is one user, so at most one sender fits a chat; use --senders 1, as many --chats as senders, or --token-key FILE"
            );
        }
        Ok(())
    }

    fn put_members(&self) -> anyhow::Result<()> {
        let Some(control) = &self.deployment.control else {
            if self.deployment.only_user().is_none() {
                bail!(
                    "members are put through the control API; say where it is with --control HOST:PORT"
                );
            }
            return Ok(());
        };
        self.display
            .stage(&format!("putting {} members", self.members.len()));
        control.put_members(&self.members)
    }

    fn start_senders(&mut self) -> anyhow::Result<()> {
        self.display
            .stage(&format!("connecting {} senders", self.cast.senders.len()));
        let (place, tls) = self.deployment.sender_endpoint()?;
        let tokens = self
            .cast
            .senders
            .iter()
            .map(|user| self.deployment.token(user));
        let load = &self.spec.load;
        let plan = SendPlan {
            address: place.address,
            host: place.host,
            tls,
            schedule: self.schedule.clone(),
            chats: self.cast.chats.clone(),
            tokens: tokens.collect::<anyhow::Result<_>>()?,
            duration_s: (self.schedule.seconds() + SESSION_SPARE_S) as u32,
            churn_per_s: load.churn_sessions,
            tracks: load.tracks.clone(),
            core: self.core(0),
        };
        self.start_worker("the senders", &WorkerPlan::Senders(plan))?;
        self.workers.wait_ready(0, READY, |_, _| {})
    }

    fn start_viewers(&mut self) -> anyhow::Result<()> {
        let count = self.cast.viewers.len();
        self.display.stage(&format!("connecting {count} viewers"));
        let first = self.workers.len();
        let viewers = self.cast.viewers.clone();
        let restless = viewers.iter().filter(is_restless).count();
        for (transport, _) in self.spec.load.viewers() {
            let own: Vec<_> = viewers
                .iter()
                .filter(|v| v.transport == transport)
                .collect();
            let workers = (self.spec.load.workers as usize)
                .max(own.len().div_ceil(connections_max()))
                .min(own.len());
            for part in own.chunks(own.len().div_ceil(workers)) {
                self.start_viewer_worker(transport, part, restless)?;
            }
        }
        self.workers.wait_ready(first, READY, |_, _| {})
    }

    fn start_viewer_worker(
        &mut self,
        transport: Transport,
        viewers: &[&ViewerRole],
        restless: usize,
    ) -> anyhow::Result<()> {
        let (place, tls) = self.deployment.endpoint(transport)?;
        let load = &self.spec.load;
        let own = viewers.iter().filter(|viewer| is_restless(viewer)).count();
        let seat = |viewer: &&ViewerRole| {
            Ok(SeatPlan {
                viewer: viewer.number,
                chat: viewer.chat,
                behaviour: viewer.behaviour,
                token: self.deployment.token(&viewer.user)?,
            })
        };
        let plan = ViewPlan {
            crowd: CrowdPlan {
                address: place.address,
                tls,
                schedule: self.schedule.clone(),
                chats: self.cast.chats.clone(),
                seats: viewers.iter().map(seat).collect::<anyhow::Result<_>>()?,
                every: load.delivery == DeliveryArg::Every,
                churn_per_s: load.churn * own as f64 / restless.max(1) as f64,
                slow_s: load.slow_for.as_secs_f64(),
                core: self.core(self.workers.len()),
            },
            host: place.host,
            users: self.cast.senders.clone(),
        };
        let name = format!("{} viewers over {}", viewers.len(), transport.name());
        let plan = match transport {
            Transport::Ws | Transport::Wss => WorkerPlan::Websocket(plan),
            Transport::Quic => WorkerPlan::Quic(plan),
        };
        self.start_worker(&name, &plan)
    }

    fn start_worker(&mut self, name: &str, plan: &WorkerPlan) -> anyhow::Result<()> {
        let mut program = this_program(ARGUMENT)?;
        // A group of its own: Ctrl-C is the run's to handle.
        program.process_group(0);
        self.workers.start(name, program, plan)?;
        Ok(())
    }

    fn core(&self, worker: usize) -> Option<u32> {
        let cores = &self.spec.load.worker_cores;
        cores.get(worker.checked_rem(cores.len())?).copied()
    }

    /// Sessions end, and members go where the server is somebody else's.
    fn put_away(self) -> anyhow::Result<()> {
        self.workers.end(END);
        match &self.deployment.control {
            Some(control) if self.deployment.is_foreign => control
                .remove_members(&self.members)
                .context("the run is over, but its members could not be removed again"),
            _ => Ok(()),
        }
    }
}

fn is_restless(viewer: &&ViewerRole) -> bool {
    viewer.behaviour == Behaviour::Restless
}

fn cast(deployment: &Deployment, load: &LoadArgs) -> anyhow::Result<Cast> {
    let viewers = load.viewers();
    let total: u32 = viewers.iter().map(|(_, count)| count).sum();
    if load.slow > total {
        bail!(
            "{} of {total} viewers cannot be slow; lower --slow",
            load.slow
        );
    }
    let mut cast = Cast::new(&Wish {
        prefix: format!("load-{}", run_id()?),
        sizes: load.chats.0.clone(),
        senders: load.senders,
        viewers,
        slow: load.slow,
        churns: load.churn > 0.0,
    });
    if let Some(user) = deployment.only_user() {
        cast.senders.fill(user.to_owned());
        for viewer in &mut cast.viewers {
            viewer.user = user.to_owned();
        }
    }
    Ok(cast)
}

/// Everybody, each once per chat.
fn members(cast: &Cast) -> Vec<Member> {
    let sender = |chat: &crate::plan::ChatPlan| {
        let numbers = chat.sender_first..chat.sender_first + chat.senders;
        let name = chat.name.clone();
        let member = move |number: u32| (name.clone(), cast.senders[number as usize].clone());
        numbers.map(member).collect::<Vec<_>>()
    };
    let viewer = |viewer: &ViewerRole| {
        let chat = cast.chats[viewer.chat as usize].name.clone();
        (chat, viewer.user.clone())
    };
    let senders = cast.chats.iter().flat_map(sender);
    let mut pairs: Vec<(String, String)> = senders.chain(cast.viewers.iter().map(viewer)).collect();
    pairs.sort();
    pairs.dedup();
    let member = |(chat, user): (String, String)| Member {
        chat,
        user,
        rights: &["share", "watch"],
    };
    pairs.into_iter().map(member).collect()
}

/// Tells runs apart on one server.
fn run_id() -> anyhow::Result<String> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A folder of tracks that is not there is said before anything is started.
///
/// # Errors
/// When it is no folder.
pub fn check_tracks(tracks: Option<&PathBuf>) -> anyhow::Result<()> {
    match tracks {
        Some(folder) if !folder.is_dir() => bail!(
            "--tracks {} is no folder; give one with GPX files, or none for simulated walks",
            folder.display()
        ),
        _ => Ok(()),
    }
}
