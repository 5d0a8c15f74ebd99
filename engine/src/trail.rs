//! The last points of a session before its newest one, in order of their counters.
//!
//! The ring belongs to the session, not to its viewers: `every` delivery, trails of late joiners
//! and the proof that one byte of a counter is enough all read it. It costs nothing until a session
//! has a second point, and it can be given back at any time: what it no longer holds is counted as
//! lost, never forgotten.

use std::collections::VecDeque;
use std::collections::vec_deque;

use skein_wire::ids::Counter;
use skein_wire::point::Payload;

use crate::journal::TrailPoint;

/// The points of one session before its newest one.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// Ascending counters, none twice.
    points: VecDeque<TrailPoint>,
    /// Greatest offset of a point that was here and is not any more; 0 = none.
    lost_offset_max: u64,
    /// Heap bytes of the blobs in `points`: summed up as they come and go, because the row's size
    /// is asked for at every point.
    blob_bytes: usize,
}

impl Trail {
    /// A trail as it was written down. Points beyond `capacity` are given up, oldest first.
    pub fn restore(points: Vec<TrailPoint>, lost_offset_max: u64, capacity: usize) -> Self {
        let mut trail = Self {
            points: VecDeque::with_capacity(points.len().min(capacity)),
            lost_offset_max,
            blob_bytes: 0,
        };
        for point in points {
            trail.insert(point, capacity);
        }
        trail
    }

    /// Puts a point in its place. A counter that is here already changes nothing (false).
    pub fn insert(&mut self, point: TrailPoint, capacity: usize) -> bool {
        let counter = point.point.counter;
        let place = self
            .points
            .partition_point(|other| other.point.counter < counter);
        if self
            .points
            .get(place)
            .is_some_and(|other| other.point.counter == counter)
        {
            return false;
        }
        if self.points.len() < capacity {
            self.put(place, point);
        } else if place == 0 {
            self.lose(point.offset);
        } else {
            self.lose_oldest();
            self.put(place - 1, point);
        }
        true
    }

    /// Gives the memory back; every point counts as lost.
    pub fn clear(&mut self) {
        while !self.points.is_empty() {
            self.lose_oldest();
        }
        self.points = VecDeque::new();
    }

    /// The points whose records lie beyond `from`, oldest first.
    pub fn since(&self, from: u64) -> impl Iterator<Item = &TrailPoint> + Clone {
        self.points.iter().filter(move |point| point.offset > from)
    }

    /// The newest `count` points, oldest first.
    pub fn newest(&self, count: usize) -> vec_deque::Iter<'_, TrailPoint> {
        let start = self.points.len().saturating_sub(count);
        self.points.range(start..)
    }

    /// All points, oldest first.
    pub fn iter(&self) -> vec_deque::Iter<'_, TrailPoint> {
        self.points.iter()
    }

    /// Greatest counter here that everyone has who has everything up to `from`.
    pub fn counter_at(&self, from: u64) -> Option<Counter> {
        let known = self.points.iter().rev().find(|point| point.offset <= from);
        known.map(|point| point.point.counter)
    }

    /// Points that were never here, up to this offset, count as lost.
    pub(crate) fn note_lost(&mut self, offset: u64) {
        self.lost_offset_max = self.lost_offset_max.max(offset);
    }

    /// Whether everything since `from` that was ever here still is.
    pub fn is_complete_since(&self, from: u64) -> bool {
        self.lost_offset_max <= from
    }

    /// Greatest offset of a lost point; 0 = none.
    pub fn lost_offset_max(&self) -> u64 {
        self.lost_offset_max
    }

    /// Points held.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Heap bytes of the ring and its blobs.
    pub fn bytes(&self) -> usize {
        self.points.capacity() * size_of::<TrailPoint>() + self.blob_bytes
    }

    fn put(&mut self, place: usize, point: TrailPoint) {
        self.blob_bytes += blob_bytes(&point);
        self.points.insert(place, point);
    }

    fn lose_oldest(&mut self) {
        if let Some(oldest) = self.points.pop_front() {
            self.blob_bytes -= blob_bytes(&oldest);
            self.lose(oldest.offset);
        }
    }

    fn lose(&mut self, offset: u64) {
        self.lost_offset_max = self.lost_offset_max.max(offset);
    }
}

/// Heap bytes of a sealed point's blob.
fn blob_bytes(point: &TrailPoint) -> usize {
    match &point.point.payload {
        Payload::Sealed(blob) => blob.len(),
        Payload::Fix(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use skein_wire::point::{Fix, Point};

    use super::*;

    fn point(offset: u64, counter: u64) -> TrailPoint {
        TrailPoint {
            offset,
            point: Point {
                counter: Counter(counter),
                captured_at_ms: 0,
                payload: Payload::Fix(Fix::default()),
            },
        }
    }

    fn counters(trail: &Trail) -> Vec<u64> {
        trail.iter().map(|point| point.point.counter.0).collect()
    }

    #[test]
    fn late_points_take_their_place_and_none_is_taken_twice() {
        let mut trail = Trail::default();
        for (offset, counter) in [(1, 5), (2, 9), (3, 7)] {
            assert!(trail.insert(point(offset, counter), 8));
        }
        assert!(!trail.insert(point(4, 7), 8));
        assert_eq!(counters(&trail), [5, 7, 9]);
        assert_eq!(trail.since(1).count(), 2);
        assert_eq!(trail.counter_at(2), Some(Counter(9)));
        assert_eq!(trail.counter_at(1), Some(Counter(5)));
        assert_eq!(trail.counter_at(0), None);
    }

    #[test]
    fn a_full_ring_says_what_it_lost() {
        let mut trail = Trail::default();
        for offset in 1..=5 {
            trail.insert(point(offset, offset * 10), 3);
        }
        assert_eq!(counters(&trail), [30, 40, 50]);
        assert_eq!(trail.lost_offset_max(), 2);
        assert!(trail.is_complete_since(2));
        assert!(!trail.is_complete_since(1));
        // Too old to be kept, yet accepted: lost at once.
        assert!(trail.insert(point(6, 15), 3));
        assert_eq!(counters(&trail), [30, 40, 50]);
        assert_eq!(trail.lost_offset_max(), 6);
        // In between: the oldest makes room.
        assert!(trail.insert(point(7, 45), 3));
        assert_eq!(counters(&trail), [40, 45, 50]);
    }

    #[test]
    fn its_size_is_that_of_the_blobs_it_holds() {
        let sealed = |counter: u64, bytes: usize| {
            let mut sealed = point(counter, counter);
            sealed.point.payload = Payload::Sealed(vec![7; bytes].into());
            sealed
        };
        let mut trail = Trail::restore(vec![sealed(2, 10), sealed(4, 20)], 0, 3);
        let blobs =
            |trail: &Trail| trail.bytes() - trail.points.capacity() * size_of::<TrailPoint>();
        assert_eq!(blobs(&trail), 30);
        for (counter, bytes, expect) in [
            (3, 5, 35),
            // There already.
            (3, 50, 35),
            // The oldest goes.
            (5, 40, 65),
            // Too old.
            (1, 100, 65),
        ] {
            trail.insert(sealed(counter, bytes), 3);
            assert_eq!(blobs(&trail), expect, "after {counter}");
        }
        trail.clear();
        assert_eq!(trail.bytes(), 0);
    }

    #[test]
    fn giving_back_frees_the_memory_and_loses_everything_visibly() {
        let mut trail = Trail::default();
        for offset in 1..=5 {
            trail.insert(point(offset, offset), 32);
        }
        assert!(trail.bytes() > 0);
        trail.clear();
        assert_eq!(trail.bytes(), 0);
        assert_eq!(trail.lost_offset_max(), 5);
    }
}
