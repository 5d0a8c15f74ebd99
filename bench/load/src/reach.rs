//! When a point had reached the first viewer, and when all of them.
//!
//! A point has reached a viewer when it or a newer one of its sender is there. Of long runs only
//! every n-th point is followed, the same ones in every process.

use serde::{Deserialize, Serialize};

use crate::latency::Latencies;
use crate::schedule::Schedule;

/// Points that are followed at most: what a worker writes as its result stays small.
const POINTS_MAX: u64 = 100_000;

/// How far one point has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Latency at the first viewer, microseconds.
    pub first_us: u32,
    /// Latency at the last viewer so far, microseconds.
    pub last_us: u32,
    /// Viewers that it has reached.
    pub viewers: u32,
}

/// The points that are followed.
#[derive(Clone, Debug)]
pub struct Reach {
    stride: u64,
    /// Where each sender's points begin, and where the last sender's end.
    begins: Vec<usize>,
    points: Vec<Reached>,
}

impl Reach {
    /// Those of a schedule.
    pub fn new(schedule: &Schedule) -> Self {
        let total: u64 = (0..schedule.senders())
            .map(|sender| schedule.last(sender))
            .sum();
        let stride = total.div_ceil(POINTS_MAX).max(1);
        let mut begins = vec![0];
        for sender in 0..schedule.senders() {
            let count = schedule.last(sender) / stride;
            begins.push(begins[sender as usize] + count as usize);
        }
        let points = vec![Reached::default(); begins[begins.len() - 1]];
        Self {
            stride,
            begins,
            points,
        }
    }

    /// A viewer has this point or a newer one, so late.
    pub fn note(&mut self, sender: u32, counter: u64, latency_ns: u64) {
        let Some(index) = self.index(sender, counter) else {
            return;
        };
        let micros = u32::try_from(latency_ns / 1_000).unwrap_or(u32::MAX);
        self.points[index].note(Reached {
            first_us: micros,
            last_us: micros,
            viewers: 1,
        });
    }

    /// What other viewers saw.
    pub fn add(&mut self, points: &[Reached]) {
        let pairs = self.points.iter_mut().zip(points);
        pairs.for_each(|(own, other)| own.note(*other));
    }

    /// What there is, to be added elsewhere.
    pub fn points(&self) -> &[Reached] {
        &self.points
    }

    /// Every how many points of a sender are followed.
    pub fn stride(&self) -> u64 {
        self.stride
    }

    /// The followed points of a sender, with their counters.
    pub fn followed(&self, sender: u32) -> impl Iterator<Item = (u64, Reached)> {
        let range = self.begins[sender as usize]..self.begins[sender as usize + 1];
        let numbered = self.points[range].iter().zip(1..);
        numbered.map(|(point, number)| (number * self.stride, *point))
    }

    /// Those of them that reached `viewers` viewers.
    pub fn complete(&self, sender: u32, viewers: u32) -> impl Iterator<Item = (u64, Reached)> {
        self.followed(sender)
            .filter(move |(_, point)| point.viewers >= viewers && viewers > 0)
    }

    /// Histograms of the first and of the last viewer, of the points that have reached all
    /// `viewers` of a sender.
    pub fn first_and_last(&self, viewers_of: impl Fn(u32) -> u32) -> (Latencies, Latencies) {
        let (mut first, mut last) = (Latencies::fine(), Latencies::fine());
        for sender in 0..self.begins.len() as u32 - 1 {
            for (_, point) in self.complete(sender, viewers_of(sender)) {
                first.record_ns(u64::from(point.first_us) * 1_000);
                last.record_ns(u64::from(point.last_us) * 1_000);
            }
        }
        (first, last)
    }

    fn index(&self, sender: u32, counter: u64) -> Option<usize> {
        if !counter.is_multiple_of(self.stride) {
            return None;
        }
        let number = (counter / self.stride).checked_sub(1)?;
        let index = self.begins[sender as usize] + number as usize;
        (index < self.begins[sender as usize + 1]).then_some(index)
    }
}

impl Reached {
    fn note(&mut self, other: Self) {
        if other.viewers == 0 {
            return;
        }
        if self.viewers == 0 {
            *self = other;
            return;
        }
        self.first_us = self.first_us.min(other.first_us);
        self.last_us = self.last_us.max(other.last_us);
        self.viewers += other.viewers;
    }
}

#[cfg(test)]
mod tests {
    use crate::reach::Reach;
    use crate::schedule::{Schedule, SchedulePlan};

    #[test]
    fn the_last_viewer_counts_wherever_it_is() {
        let schedule = Schedule::new(&SchedulePlan::steady(2, 1.0, 3.0), 0);
        let (mut here, mut there) = (Reach::new(&schedule), Reach::new(&schedule));
        here.note(1, 3, 5_000_000);
        here.note(1, 3, 2_000_000);
        there.note(1, 3, 9_000_000);
        here.add(there.points());
        here.note(0, 1, 1_000_000);
        let complete: Vec<_> = here.complete(1, 3).collect();
        assert_eq!(complete.len(), 1);
        let (counter, point) = complete[0];
        assert_eq!((counter, point.first_us, point.last_us), (3, 2_000, 9_000));
        let (first, last) = here.first_and_last(|_| 3);
        assert_eq!((first.len(), last.len()), (1, 1), "not all have the other");
    }

    #[test]
    fn long_runs_are_followed_in_part() {
        let schedule = Schedule::new(&SchedulePlan::steady(1_000, 10.0, 1_000.0), 0);
        let mut reach = Reach::new(&schedule);
        assert!(reach.points().len() <= 100_000);
        (1..=10_000).for_each(|counter| reach.note(7, counter, 1));
        assert_eq!(reach.complete(7, 1).count(), 100);
    }
}
