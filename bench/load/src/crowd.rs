//! Many viewers on TCP in one thread: an epoll loop, a protocol, and checks.
//!
//! A viewer that falls silent costs a few numbers and no buffer. One read buffer serves all.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::audience::{Audience, AudienceResult, Progress};
use crate::checks::{Sent, ViewerCheck};
use crate::clock::{SECOND_NS, nanos, now_ns};
use crate::fault::Fault;
use crate::intake::Intake;
use crate::latency::Latencies;
use crate::line::{Dialer, Line};
use crate::plan::{Behaviour, CrowdPlan, SeatPlan};
use crate::protocol::{Protocol, Seat};
use crate::schedule::Schedule;
use crate::tally::Tally;

/// Events taken from the kernel at a time.
const EVENTS: usize = 512;

/// Bytes read at a time: more than a viewer's socket usually holds.
const READ_BYTES: usize = 256 * 1024;

/// Bytes of an unfinished message for which memory is kept once it is complete.
const PENDING_BYTES_KEPT: usize = 4 * 1024;

/// Viewers that connect at the same time: a flood would only measure the server's accept queue.
const CONNECTING_MAX: usize = 64;

/// Time between two looks at slow and restless viewers and at keep-alives.
const HOUSEKEEPING_NS: u64 = SECOND_NS / 10;

/// In so many of those looks every viewer has said that it lives: ten seconds.
const KEEP_ALIVE_ROUND: usize = 100;

/// One viewer and its connection.
struct Place<V> {
    plan: SeatPlan,
    /// `None` before it connects and after it was lost.
    line: Option<Line>,
    viewer: Option<V>,
    pending: Vec<u8>,
    out: Vec<u8>,
    check: ViewerCheck,
    /// When it began to connect; 0 once it watches.
    dialled_ns: u64,
    watching: bool,
    paused: bool,
    wants_write: bool,
}

/// The viewers of a worker over TCP.
pub struct Crowd<P: Protocol> {
    protocol: P,
    plan: CrowdPlan,
    dialer: Dialer,
    epoll: OwnedFd,
    events: Vec<Event>,
    places: Vec<Place<P::Viewer>>,
    waiting: VecDeque<usize>,
    connecting: usize,
    buffer: Vec<u8>,
    tally: Option<Tally>,
    joins: Latencies,
    lost: BTreeMap<String, u64>,
    churned: u64,
    restless: VecDeque<usize>,
    finished: bool,
    housekeeping_ns: u64,
    rounds: usize,
}

impl<P: Protocol> Crowd<P> {
    /// Nobody is connected yet: [`Audience::turn`] does it.
    ///
    /// # Errors
    /// When the plan's certificates are no good, or the system has no epoll.
    pub fn new(plan: CrowdPlan, protocol: P) -> Result<Self, Fault> {
        let place = |seat: &SeatPlan| Place {
            plan: seat.clone(),
            line: None,
            viewer: None,
            pending: Vec::new(),
            out: Vec::new(),
            check: ViewerCheck::new(plan.chats[seat.chat as usize].senders, plan.every, true),
            dialled_ns: 0,
            watching: false,
            paused: false,
            wants_write: false,
        };
        let places: Vec<_> = plan.seats.iter().map(place).collect();
        let restless = |index: &usize| plan.seats[*index].behaviour == Behaviour::Restless;
        Ok(Self {
            protocol,
            dialer: Dialer::new(plan.address, plan.tls.as_ref())?,
            epoll: epoll::create(CreateFlags::CLOEXEC).map_err(std::io::Error::from)?,
            events: Vec::with_capacity(EVENTS),
            waiting: (0..places.len()).collect(),
            connecting: 0,
            buffer: vec![0; READ_BYTES],
            tally: None,
            joins: Latencies::fine(),
            lost: BTreeMap::new(),
            churned: 0,
            restless: (0..places.len()).filter(restless).collect(),
            finished: false,
            housekeeping_ns: now_ns(),
            rounds: 0,
            places,
            plan,
        })
    }

    /// Connects those who wait, as far as they may.
    fn connect_some(&mut self) -> Result<(), Fault> {
        while self.connecting < CONNECTING_MAX
            && let Some(index) = self.waiting.pop_front()
        {
            let place = &mut self.places[index];
            let line = self.dialer.dial()?;
            let (viewer, greeting) = self.protocol.greet(&Seat {
                viewer: place.plan.viewer,
                chat: place.plan.chat,
                token: place.plan.token.clone(),
            });
            let flags = EventFlags::IN | EventFlags::OUT;
            let data = EventData::new_u64(index as u64);
            epoll::add(&self.epoll, &line, data, flags).map_err(std::io::Error::from)?;
            place.line = Some(line);
            place.viewer = Some(viewer);
            place.out = greeting;
            place.wants_write = true;
            place.dialled_ns = now_ns();
            self.connecting += 1;
        }
        Ok(())
    }

    fn handle(&mut self, index: usize) -> Result<(), Fault> {
        if let Err(fault) = self.exchange(index) {
            self.lose(index, &fault);
        }
        self.watch_writability(index)
    }

    /// Writes what is to be written and reads what has come.
    fn exchange(&mut self, index: usize) -> Result<(), Fault> {
        let place = &mut self.places[index];
        let Some(line) = &mut place.line else {
            return Ok(());
        };
        line.flush(&mut place.out)?;
        if place.paused {
            return Ok(());
        }
        while let Some(line) = &mut self.places[index].line
            && let Some(count) = line.receive(&mut self.buffer)?
        {
            let is_last = count < self.buffer.len() && line.short_read_is_end();
            self.feed(index, count)?;
            if is_last {
                break;
            }
        }
        let place = &mut self.places[index];
        match &mut place.line {
            Some(line) if !place.out.is_empty() => Ok(line.flush(&mut place.out)?),
            _ => Ok(()),
        }
    }

    /// Gives the protocol what has been read.
    fn feed(&mut self, index: usize, count: usize) -> Result<(), Fault> {
        let place = &mut self.places[index];
        let Some(viewer) = &mut place.viewer else {
            return Ok(());
        };
        let now_ns = now_ns();
        let mut intake = Intake {
            now_ns,
            sender_first: self.plan.chats[place.plan.chat as usize].sender_first,
            check: &mut place.check,
            tally: self.tally.as_mut(),
            behaviour: place.plan.behaviour,
            out: &mut place.out,
        };
        if place.pending.is_empty() {
            let input = &self.buffer[..count];
            let used = self.protocol.take(viewer, input, &mut intake)?;
            place.pending.extend_from_slice(&input[used..]);
        } else {
            place.pending.extend_from_slice(&self.buffer[..count]);
            let used = self.protocol.take(viewer, &place.pending, &mut intake)?;
            place.pending.drain(..used);
            if place.pending.is_empty() && place.pending.capacity() > PENDING_BYTES_KEPT {
                place.pending = Vec::new();
            }
        }
        if !place.watching && self.protocol.is_watching(viewer) {
            place.watching = true;
            self.connecting -= 1;
            self.joins.record_ns(now_ns - place.dialled_ns);
        }
        Ok(())
    }

    fn watch_writability(&mut self, index: usize) -> Result<(), Fault> {
        let place = &mut self.places[index];
        let Some(line) = &place.line else {
            return Ok(());
        };
        let wants = !place.out.is_empty() || line.wants_write();
        if wants != place.wants_write {
            place.wants_write = wants;
            self.arm(index)?;
        }
        Ok(())
    }

    /// Tells the kernel what this viewer waits for.
    fn arm(&self, index: usize) -> Result<(), Fault> {
        let place = &self.places[index];
        let Some(line) = &place.line else {
            return Ok(());
        };
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, !place.paused);
        flags.set(EventFlags::OUT, place.wants_write);
        let data = EventData::new_u64(index as u64);
        epoll::modify(&self.epoll, line, data, flags).map_err(std::io::Error::from)?;
        Ok(())
    }

    fn lose(&mut self, index: usize, fault: &Fault) {
        *self.lost.entry(fault.to_string()).or_default() += 1;
        self.hang_up(index);
    }

    /// Closing the socket also takes it out of the epoll.
    fn hang_up(&mut self, index: usize) {
        let place = &mut self.places[index];
        if place.line.take().is_some() && !place.watching {
            self.connecting -= 1;
        }
        place.watching = false;
        place.viewer = None;
        place.pending = Vec::new();
        place.out = Vec::new();
    }

    fn housekeeping(&mut self, now: u64) -> Result<(), Fault> {
        if now < self.housekeeping_ns {
            return Ok(());
        }
        self.housekeeping_ns = now + HOUSEKEEPING_NS;
        self.keep_alive()?;
        let Some(start) = self.start_ns().filter(|start| *start <= now) else {
            return Ok(());
        };
        self.pause_and_resume(now - start)?;
        if !self.finished {
            self.churn(now - start)?;
        }
        Ok(())
    }

    fn start_ns(&self) -> Option<u64> {
        self.tally.as_ref().map(|tally| tally.schedule().start_ns())
    }

    /// A part of the viewers says that it lives, each time another one.
    fn keep_alive(&mut self) -> Result<(), Fault> {
        self.rounds += 1;
        for index in (self.rounds % KEEP_ALIVE_ROUND..self.places.len()).step_by(KEEP_ALIVE_ROUND) {
            let place = &mut self.places[index];
            if let Some(viewer) = place.viewer.as_mut().filter(|_| place.watching) {
                place.out.extend(self.protocol.keep_alive(viewer));
                self.handle(index)?;
            }
        }
        Ok(())
    }

    /// Slow viewers read for a while and then do not, each in a rhythm of its own.
    fn pause_and_resume(&mut self, since_ns: u64) -> Result<(), Fault> {
        let stretch = nanos(self.plan.slow_s).max(1);
        for index in 0..self.places.len() {
            let place = &mut self.places[index];
            if place.plan.behaviour != Behaviour::Slow {
                continue;
            }
            let paused = !self.finished && (since_ns / stretch + index as u64).is_multiple_of(2);
            if paused != place.paused {
                place.paused = paused;
                self.arm(index)?;
            }
        }
        Ok(())
    }

    /// Restless viewers leave, one after the other, and come back as new ones.
    fn churn(&mut self, since_ns: u64) -> Result<(), Fault> {
        let due = (since_ns as f64 / SECOND_NS as f64 * self.plan.churn_per_s) as u64;
        while self.churned < due {
            let Some(index) = self.restless.pop_front() else {
                return Ok(());
            };
            self.restless.push_back(index);
            self.churned += 1;
            if self.places[index].watching {
                self.hang_up(index);
                let senders = self.plan.chats[self.places[index].plan.chat as usize].senders;
                self.places[index].check = ViewerCheck::new(senders, self.plan.every, false);
                self.waiting.push_back(index);
            }
        }
        self.connect_some()
    }

    fn wait(&mut self, at_most: Duration) -> Result<(), Fault> {
        self.events.clear();
        let timeout = Timespec {
            tv_sec: at_most.as_secs() as i64,
            tv_nsec: at_most.subsec_nanos().into(),
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

    fn sent_of<'a>(&self, place: &Place<P::Viewer>, sent: &'a [Sent]) -> &'a [Sent] {
        let chat = &self.plan.chats[place.plan.chat as usize];
        let first = chat.sender_first as usize;
        &sent[first..first + chat.senders as usize]
    }
}

impl<P: Protocol> Audience for Crowd<P> {
    fn turn(&mut self, at_most: Duration) -> Result<(), Fault> {
        let end = now_ns() + at_most.as_nanos() as u64;
        loop {
            self.connect_some()?;
            let now = now_ns();
            self.housekeeping(now)?;
            let next = end.min(self.housekeeping_ns).saturating_sub(now);
            self.wait(Duration::from_nanos(next))?;
            let events = mem::take(&mut self.events);
            for event in &events {
                self.handle(event.data.u64() as usize)?;
            }
            self.events = events;
            if now_ns() >= end {
                return Ok(());
            }
        }
    }

    fn progress(&self) -> Progress {
        let watching = self.places.iter().filter(|place| place.watching);
        let totals = self.tally.as_ref().map(Tally::totals);
        Progress {
            watching: watching.count() as u32,
            lost: self.lost.clone(),
            totals: totals.unwrap_or_default(),
        }
    }

    fn start(&mut self, start_ns: u64) {
        self.tally = Some(Tally::new(Schedule::new(&self.plan.schedule, start_ns)));
    }

    fn finish(&mut self) {
        self.finished = true;
        self.housekeeping_ns = 0;
    }

    fn missing(&self, sent: &[Sent]) -> u64 {
        let missing = |place: &Place<P::Viewer>| place.check.missing(self.sent_of(place, sent));
        self.places.iter().map(missing).sum()
    }

    fn result(&self, sent: &[Sent]) -> AudienceResult {
        AudienceResult {
            progress: self.progress(),
            missing: self.missing(sent),
            churned: self.churned,
            joins: self.joins.counts(),
            tally: self.tally.as_ref().map(Tally::counts).unwrap_or_default(),
        }
    }
}
