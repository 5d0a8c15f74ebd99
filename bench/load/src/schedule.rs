//! When each point should be sent: a function of the sender's number and of the point's counter.
//!
//! An open loop: the schedule does not wait for anybody. Senders and viewers, in whatever
//! process, compute the same times, so a latency is counted from the moment at which a point
//! *should* have been sent. A sender or a server that falls behind makes latencies longer; it
//! never makes the points that suffered disappear (coordinated omission).
//!
//! ```
//! use skein_load::schedule::{Schedule, SchedulePlan};
//!
//! let plan = SchedulePlan::steady(10, 2.0, 5.0);
//! let schedule = Schedule::new(&plan, 1_000_000_000);
//! let (first, second) = (schedule.intended_ns(3, 1), schedule.intended_ns(3, 2));
//! assert_eq!(second - first, 500_000_000);
//! assert_eq!(schedule.last(3), 10);
//! ```

use serde::{Deserialize, Serialize};

use crate::clock::{SECOND_NS, nanos};

/// Spreads numbers evenly over [0, 1): multiples of the golden ratio.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// The same for a second, independent sequence: multiples of the plastic number's inverse.
const PLASTIC: f64 = 0.754_877_666_246_692_7;

/// A stretch of the run in which all paces have the same factor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// How long it lasts.
    pub seconds: f64,
    /// Every sender's pace times this.
    pub factor: f64,
}

/// What a schedule is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchedulePlan {
    /// How many senders.
    pub senders: u32,
    /// Points per second of the slowest sender.
    pub hz_min: f64,
    /// Points per second of the fastest sender; the others lie evenly between.
    pub hz_max: f64,
    /// One after the other.
    pub phases: Vec<Phase>,
}

impl SchedulePlan {
    /// All senders at `hz` points per second for `seconds`.
    pub fn steady(senders: u32, hz: f64, seconds: f64) -> Self {
        let factor = 1.0;
        Self {
            senders,
            hz_min: hz,
            hz_max: hz,
            phases: vec![Phase { seconds, factor }],
        }
    }

    /// How long the run lasts.
    pub fn seconds(&self) -> f64 {
        self.phases.iter().map(|phase| phase.seconds).sum()
    }
}

/// One sender's pace.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Seconds of work between two points.
    period: f64,
    /// Seconds of work before the first one, so that senders do not step at the same time.
    offset: f64,
}

/// One sender in one phase: a straight line from counters to nanoseconds since the start.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// The first counter that lies in it.
    first: u64,
    /// Where the line has counter 1.
    origin_ns: f64,
    /// From one counter to the next.
    step_ns: f64,
}

/// Where a phase begins.
#[derive(Clone, Copy, Debug)]
struct Knot {
    /// Seconds since the start.
    at: f64,
    /// Seconds of work done by then: time weighted with the factors.
    done: f64,
    factor: f64,
}

/// The schedule of one run.
#[derive(Clone, Debug)]
pub struct Schedule {
    start_ns: u64,
    paces: Vec<Pace>,
    /// For each sender one for each phase.
    stretches: Vec<Stretch>,
    phases: usize,
    seconds: f64,
    /// Seconds of work in all phases.
    work: f64,
}

impl Schedule {
    /// The schedule that begins at `start_ns` of [`crate::clock::now_ns`].
    pub fn new(plan: &SchedulePlan, start_ns: u64) -> Self {
        let mut knots = Vec::new();
        let (mut at, mut done) = (0.0, 0.0);
        for phase in &plan.phases {
            let factor = phase.factor;
            knots.push(Knot { at, done, factor });
            at += phase.seconds;
            done += phase.seconds * factor;
        }
        let paces: Vec<Pace> = (0..plan.senders).map(|sender| pace(plan, sender)).collect();
        let of_sender = |pace: &Pace| {
            let pace = *pace;
            knots.iter().map(move |knot| stretch(pace, *knot))
        };
        Self {
            start_ns,
            stretches: paces.iter().flat_map(of_sender).collect(),
            phases: knots.len(),
            paces,
            seconds: at,
            work: done,
        }
    }

    /// When the run begins.
    pub fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// When the last phase is over.
    pub fn end_ns(&self) -> u64 {
        self.start_ns + nanos(self.seconds)
    }

    /// How many senders there are.
    pub fn senders(&self) -> u32 {
        self.paces.len() as u32
    }

    /// When the point with this counter (from 1) should be sent.
    ///
    /// # Panics
    /// If there is no such sender, or the plan has no phase.
    pub fn intended_ns(&self, sender: u32, counter: u64) -> u64 {
        let begin = sender as usize * self.phases;
        let own = &self.stretches[begin..begin + self.phases];
        let mut stretch = own[0];
        for later in &own[1..] {
            if later.first <= counter {
                stretch = *later;
            }
        }
        let since = stretch.origin_ns + (counter.max(1) - 1) as f64 * stretch.step_ns;
        self.start_ns + since as u64
    }

    /// The counter of a sender's last point; 0 if the run is too short for one.
    ///
    /// # Panics
    /// If there is no such sender.
    pub fn last(&self, sender: u32) -> u64 {
        let pace = self.paces[sender as usize];
        ((self.work - pace.offset) / pace.period).ceil().max(0.0) as u64
    }

    /// In which second of the run a moment lies, from 0.
    pub fn second(&self, at_ns: u64) -> usize {
        (at_ns.saturating_sub(self.start_ns) / SECOND_NS) as usize
    }
}

/// The line of a sender in the phase that begins at a knot.
fn stretch(pace: Pace, knot: Knot) -> Stretch {
    let origin = knot.at + (pace.offset - knot.done) / knot.factor;
    // The first whose work is not done by then.
    let first = ((knot.done - pace.offset) / pace.period).ceil().max(0.0) as u64 + 1;
    Stretch {
        first,
        origin_ns: origin * SECOND_NS as f64,
        step_ns: pace.period / knot.factor * SECOND_NS as f64,
    }
}

fn pace(plan: &SchedulePlan, sender: u32) -> Pace {
    let spread = (f64::from(sender) * GOLDEN).fract();
    let hz = plan.hz_min + (plan.hz_max - plan.hz_min) * spread;
    let period = 1.0 / hz;
    Pace {
        period,
        offset: (f64::from(sender) * PLASTIC).fract() * period,
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::SECOND_NS;
    use crate::schedule::{Phase, Schedule, SchedulePlan};

    #[test]
    fn points_are_evenly_spaced_and_end_with_the_run() {
        let schedule = Schedule::new(&SchedulePlan::steady(100, 4.0, 10.0), 7 * SECOND_NS);
        for sender in 0..100 {
            assert_eq!(schedule.last(sender), 40);
            assert!(schedule.intended_ns(sender, 1) >= 7 * SECOND_NS);
            assert!(schedule.intended_ns(sender, 40) < schedule.end_ns());
            assert!(schedule.intended_ns(sender, 41) >= schedule.end_ns());
        }
    }

    #[test]
    fn a_phase_with_twice_the_pace_has_twice_the_points() {
        let phase = |factor| Phase {
            seconds: 2.0,
            factor,
        };
        let mut plan = SchedulePlan::steady(50, 3.0, 2.0);
        plan.phases = vec![phase(1.0), phase(2.0), phase(1.0)];
        let schedule = Schedule::new(&plan, 0);
        for sender in 0..50 {
            assert_eq!(schedule.last(sender), 24, "6 + 12 + 6");
            let times: Vec<u64> = (1..=24).map(|n| schedule.intended_ns(sender, n)).collect();
            assert!(times.is_sorted(), "{times:?}");
            let within = |from, to| {
                let (from, to) = (from * SECOND_NS, to * SECOND_NS);
                times.iter().filter(|at| (from..to).contains(*at)).count()
            };
            assert_eq!((within(0, 2), within(2, 4), within(4, 6)), (6, 12, 6));
        }
    }

    #[test]
    fn senders_have_paces_of_their_own() {
        let mut plan = SchedulePlan::steady(1_000, 1.0, 100.0);
        plan.hz_max = 3.0;
        let schedule = Schedule::new(&plan, 0);
        let points: u64 = (0..1_000).map(|sender| schedule.last(sender)).sum();
        assert!((195_000..205_000).contains(&points), "{points}");
        assert_ne!(schedule.last(1), schedule.last(2));
    }
}
