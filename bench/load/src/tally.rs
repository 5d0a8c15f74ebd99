//! What all viewers of a process got, added up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::SECOND_NS;
use crate::latency::{Counts, Latencies};
use crate::reach::{Reach, Reached};
use crate::schedule::Schedule;

/// Seconds behind the end of a schedule that have a line of their own.
const SECONDS_BEHIND: usize = 60;

/// Numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Points that were new to a viewer.
    pub delivered: u64,
    /// Messages with points.
    pub batches: u64,
    /// Points that came again as the protocol allows.
    pub repeated: u64,
    /// Points of which the server said that they will not come.
    pub skipped: u64,
    /// Points that came twice.
    pub duplicates: u64,
    /// Points that came after a newer one, or with a counter that nobody has sent.
    pub out_of_order: u64,
}

impl Totals {
    /// Adds those of another process.
    pub fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.batches += other.batches;
        self.repeated += other.repeated;
        self.skipped += other.skipped;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
    }
}

/// What happened in one second of the run.
#[derive(Clone, Debug)]
struct Second {
    delivered: u64,
    batches: u64,
    latency: Latencies,
}

/// The same, as it travels.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SecondCounts {
    /// Points.
    pub delivered: u64,
    /// Messages with points.
    pub batches: u64,
    /// Their latencies.
    pub latency: Counts,
}

/// Everything that is added up.
#[derive(Clone, Debug)]
pub struct Tally {
    schedule: Schedule,
    totals: Totals,
    strange: BTreeMap<&'static str, u64>,
    latency: Latencies,
    seconds: Vec<Second>,
    /// The second that was used last: from, to, and its index.
    current: (u64, u64, usize),
    reach: Reach,
}

/// The same, as it travels.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TallyCounts {
    /// Sums.
    pub totals: Totals,
    /// What the protocol forbids and yet came, and how often.
    pub strange: BTreeMap<String, u64>,
    /// Latencies of all deliveries to viewers that read all the time.
    pub latency: Counts,
    /// Second by second.
    pub seconds: Vec<SecondCounts>,
    /// First and last viewer of each point that is followed.
    pub reach: Vec<Reached>,
}

impl Tally {
    /// Nothing yet.
    pub fn new(schedule: Schedule) -> Self {
        Self {
            totals: Totals::default(),
            strange: BTreeMap::new(),
            latency: Latencies::fine(),
            seconds: Vec::new(),
            current: (0, 0, 0),
            reach: Reach::new(&schedule),
            schedule,
        }
    }

    /// When points should have been sent.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The sums so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The sums, to be added to.
    pub fn totals_mut(&mut self) -> &mut Totals {
        &mut self.totals
    }

    /// A point came that is new to its viewer.
    pub fn delivered(&mut self, now_ns: u64) {
        self.totals.delivered += 1;
        self.second(now_ns).delivered += 1;
    }

    /// A message with points is complete.
    pub fn batch(&mut self, now_ns: u64) {
        self.totals.batches += 1;
        self.second(now_ns).batches += 1;
    }

    /// A viewer has the points after `after` up to `counter` from now on: each of them is so late.
    /// One that was passed over counts from its own intended time: a stall hides nowhere.
    /// `reach`: this viewer is one of those that all points are to reach.
    pub fn arrived(&mut self, sender: u32, after: u64, counter: u64, now_ns: u64, reach: bool) {
        for number in after + 1..=counter {
            let late = now_ns.saturating_sub(self.schedule.intended_ns(sender, number));
            self.latency.record_ns(late);
            self.second(now_ns).latency.record_ns(late);
            if reach {
                self.reach.note(sender, number, late);
            }
        }
    }

    /// Whether a point can have been sent by now: on one clock none comes before its time.
    pub fn is_possible(&self, sender: u32, counter: u64, now_ns: u64) -> bool {
        self.schedule.intended_ns(sender, counter) <= now_ns
    }

    /// Something came that the protocol forbids.
    pub fn strange(&mut self, what: &'static str) {
        *self.strange.entry(what).or_default() += 1;
    }

    /// What there is, to be merged elsewhere.
    pub fn counts(&self) -> TallyCounts {
        let strange = self.strange.iter();
        let seconds = self.seconds.iter().map(|second| SecondCounts {
            delivered: second.delivered,
            batches: second.batches,
            latency: second.latency.counts(),
        });
        TallyCounts {
            totals: self.totals,
            strange: strange
                .map(|(what, count)| ((*what).to_owned(), *count))
                .collect(),
            latency: self.latency.counts(),
            seconds: seconds.collect(),
            reach: self.reach.points().to_vec(),
        }
    }

    fn second(&mut self, now_ns: u64) -> &mut Second {
        let (from, to, index) = self.current;
        if from <= now_ns && now_ns < to {
            return &mut self.seconds[index];
        }
        let length = (self.schedule.end_ns() - self.schedule.start_ns()) / SECOND_NS;
        let last = length as usize + SECONDS_BEHIND;
        let index = self.schedule.second(now_ns).min(last);
        while self.seconds.len() <= index {
            self.seconds.push(Second {
                delivered: 0,
                batches: 0,
                latency: Latencies::coarse(),
            });
        }
        if index < last {
            let from = self.schedule.start_ns() + index as u64 * SECOND_NS;
            self.current = (from, from + SECOND_NS, index);
        }
        &mut self.seconds[index]
    }
}
