//! All senders of a run, each with a connection of its own, in one thread.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use serde::{Deserialize, Serialize};
use skein_wire::ids::ChatName;

use crate::clock::{SECOND_NS, now_ns};
use crate::fault::Fault;
use crate::line::{Dialer, Line};
use crate::plan::{ChatPlan, TlsPlan};
use crate::publisher::Publisher;
use crate::schedule::SchedulePlan;
use crate::send_result::Verdicts;
use crate::sender::Sender;
use crate::walk::Tracks;

/// Senders that connect at the same time.
const CONNECTING_MAX: usize = 64;

/// Events taken from the kernel at a time.
const EVENTS: usize = 256;

/// Bytes read at a time: acknowledgements are short.
const READ_BYTES: usize = 64 * 1024;

/// How long the ends of all sessions may take, nanoseconds.
const CLOSE_NS_MAX: u64 = 5 * SECOND_NS;

/// The senders of a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SendPlan {
    /// Where the server is.
    pub address: std::net::SocketAddr,
    /// Its name, for the upgrade.
    pub host: String,
    /// Encrypted or not.
    pub tls: Option<TlsPlan>,
    /// When points are sent.
    pub schedule: SchedulePlan,
    /// All chats of the run.
    pub chats: Vec<ChatPlan>,
    /// A token for each sender.
    pub tokens: Vec<String>,
    /// How long sessions are made to last, seconds; they are stopped at the end.
    pub duration_s: u32,
    /// Sessions that end and begin anew, per second.
    pub churn_per_s: f64,
    /// Folder of GPX files; none = simulated walks.
    pub tracks: Option<PathBuf>,
    /// The core to run on, if one is wanted.
    pub core: Option<u32>,
}

/// The senders of a run.
pub struct Senders {
    plan: SendPlan,
    dialer: Dialer,
    epoll: OwnedFd,
    events: Vec<Event>,
    senders: Vec<Sender>,
    lines: Vec<Option<Line>>,
    waiting: VecDeque<usize>,
    connecting: usize,
    buffer: Vec<u8>,
    lost: BTreeMap<String, u64>,
    published: u64,
    churned: u64,
    began_ns: u64,
    closing: bool,
}

impl Senders {
    /// Nobody is connected yet: [`Publisher::serve`] does it.
    ///
    /// # Errors
    /// When a track, a certificate or a name is no good.
    pub fn new(plan: SendPlan) -> Result<Self, Fault> {
        let tracks = match &plan.tracks {
            Some(folder) => Tracks::read(folder)?,
            None => Tracks::default(),
        };
        let mut senders = Vec::new();
        for chat in &plan.chats {
            let name = ChatName::new(&chat.name)?;
            for number in chat.sender_first..chat.sender_first + chat.senders {
                let token = plan
                    .tokens
                    .get(number as usize)
                    .cloned()
                    .unwrap_or_default();
                let walk = tracks.walk(number);
                senders.push(Sender::new(name.clone(), plan.duration_s, token, walk));
            }
        }
        Ok(Self {
            dialer: Dialer::new(plan.address, plan.tls.as_ref())?,
            epoll: epoll::create(CreateFlags::CLOEXEC).map_err(std::io::Error::from)?,
            events: Vec::with_capacity(EVENTS),
            lines: senders.iter().map(|_| None).collect(),
            waiting: (0..senders.len()).collect(),
            connecting: 0,
            buffer: vec![0; READ_BYTES],
            lost: BTreeMap::new(),
            published: 0,
            churned: 0,
            began_ns: 0,
            closing: false,
            senders,
            plan,
        })
    }

    fn connect_some(&mut self) -> Result<(), Fault> {
        while self.connecting < CONNECTING_MAX
            && let Some(index) = self.waiting.pop_front()
        {
            let line = self.dialer.dial()?;
            let data = EventData::new_u64(index as u64);
            let flags = EventFlags::IN | EventFlags::OUT;
            epoll::add(&self.epoll, &line, data, flags).map_err(std::io::Error::from)?;
            self.lines[index] = Some(line);
            self.senders[index].begin(&self.plan.host);
            self.connecting += 1;
        }
        Ok(())
    }

    fn handle(&mut self, index: usize) -> Result<(), Fault> {
        let was_sharing = self.senders[index].is_sharing();
        if let Err(fault) = self.exchange(index) {
            *self.lost.entry(fault.to_string()).or_default() += 1;
            // Closing the socket also takes it out of the epoll.
            self.lines[index] = None;
        }
        if !was_sharing && self.senders[index].is_sharing() && self.connecting > 0 {
            self.connecting -= 1;
        }
        self.arm(index)
    }

    fn exchange(&mut self, index: usize) -> Result<(), Fault> {
        let sender = &mut self.senders[index];
        let Some(line) = &mut self.lines[index] else {
            return Ok(());
        };
        line.flush(&mut sender.out)?;
        while let Some(count) = line.receive(&mut self.buffer)? {
            sender.take(&self.buffer[..count])?;
            if count < self.buffer.len() && line.short_read_is_end() {
                break;
            }
        }
        line.flush(&mut sender.out)?;
        Ok(())
    }

    /// Tells the kernel what this sender waits for.
    fn arm(&self, index: usize) -> Result<(), Fault> {
        let Some(line) = &self.lines[index] else {
            return Ok(());
        };
        let mut flags = EventFlags::IN;
        flags.set(
            EventFlags::OUT,
            !self.senders[index].out.is_empty() || line.wants_write(),
        );
        let data = EventData::new_u64(index as u64);
        epoll::modify(&self.epoll, line, data, flags).map_err(std::io::Error::from)?;
        Ok(())
    }

    /// Some sessions end, one after the other, and begin anew.
    fn churn(&mut self, now: u64) -> Result<(), Fault> {
        if self.began_ns == 0 || self.closing {
            return Ok(());
        }
        let since = (now - self.began_ns) as f64 / SECOND_NS as f64;
        if since > self.plan.schedule.seconds() {
            return Ok(());
        }
        let due = (since * self.plan.churn_per_s) as u64;
        while self.churned < due {
            let index = (self.churned % self.senders.len() as u64) as usize;
            self.churned += 1;
            self.senders[index].stop(true);
            self.handle(index)?;
        }
        Ok(())
    }

    fn wait(&mut self, nanos: u64) -> Result<(), Fault> {
        self.events.clear();
        let timeout = Timespec {
            tv_sec: (nanos / SECOND_NS) as i64,
            tv_nsec: (nanos % SECOND_NS) as i64,
        };
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            Some(&timeout),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(std::io::Error::from(error).into()),
        }
    }
}

impl Publisher for Senders {
    fn publish(&mut self, sender: u32, counter: u64) -> Result<bool, Fault> {
        let index = sender as usize;
        if self.began_ns == 0 {
            self.began_ns = now_ns();
        }
        let seconds = 1.0 / self.plan.schedule.hz_min;
        if self.lines[index].is_none() || !self.senders[index].publish(counter, seconds, now_ms()) {
            return Ok(false);
        }
        self.published += 1;
        let sender = &mut self.senders[index];
        let flushed = match &mut self.lines[index] {
            Some(line) => line.flush(&mut sender.out),
            None => Ok(()),
        };
        if flushed.is_err() || !sender.out.is_empty() {
            // The loss, or the moment to go on, shows there.
            self.handle(index)?;
        }
        Ok(true)
    }

    fn serve(&mut self, until_ns: u64) -> Result<(), Fault> {
        loop {
            self.connect_some()?;
            let now = now_ns();
            self.churn(now)?;
            self.wait(until_ns.saturating_sub(now))?;
            let events = std::mem::take(&mut self.events);
            for event in &events {
                self.handle(event.data.u64() as usize)?;
            }
            self.events = events;
            if now_ns() >= until_ns {
                return Ok(());
            }
        }
    }

    fn is_ready(&self) -> bool {
        self.waiting.is_empty() && self.senders.iter().all(Sender::is_sharing)
    }

    fn is_settled(&self) -> bool {
        let alive = self.senders.iter().zip(&self.lines);
        let mut alive = alive.filter(|(_, line)| line.is_some());
        alive.all(|(sender, _)| sender.is_settled())
    }

    fn verdicts(&self) -> Option<Verdicts> {
        let mut verdicts = Verdicts::default();
        for sender in &self.senders {
            verdicts.superseded += sender.superseded();
            for (code, count) in sender.refused() {
                *verdicts.refused.entry((*code).to_owned()).or_default() += count;
            }
        }
        verdicts.unknown = self.senders.iter().map(Sender::unspoken).sum();
        let told = verdicts.superseded + verdicts.refused_total() + verdicts.unknown;
        verdicts.accepted = self.published.saturating_sub(told);
        Some(verdicts)
    }

    fn turned_away(&self) -> Vec<(u32, u64)> {
        let numbered = self.senders.iter().zip(&self.lines).zip(0..);
        let each = numbered.flat_map(|((sender, line), number)| {
            // What was on its way on a connection that is gone may have arrived or not.
            let in_doubt = line.is_none().then(|| sender.in_doubt());
            let turned_away = sender.turned_away().iter().copied();
            let all = turned_away.chain(in_doubt.into_iter().flatten());
            all.map(move |counter| (number, counter))
        });
        each.collect()
    }

    fn lost(&self) -> BTreeMap<String, u64> {
        self.lost.clone()
    }

    fn churned(&self) -> u64 {
        self.churned
    }

    fn close(&mut self) -> Result<(), Fault> {
        self.closing = true;
        for index in 0..self.senders.len() {
            self.senders[index].stop(false);
            self.handle(index)?;
        }
        let give_up = now_ns() + CLOSE_NS_MAX;
        let is_over =
            |(sender, line): (&Sender, &Option<Line>)| sender.is_stopped() || line.is_none();
        while now_ns() < give_up && !self.senders.iter().zip(&self.lines).all(is_over) {
            self.serve(now_ns() + SECOND_NS / 50)?;
        }
        Ok(())
    }
}

/// Milliseconds since 1970: the device time of a point.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
