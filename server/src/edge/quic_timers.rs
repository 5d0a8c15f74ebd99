//! The timers of all QUIC connections of a shard: a wheel of two levels, one entry a connection.
//!
//! ```text
//! near   1,024 slots of 1 ms
//! far      128 slots of 1,024 ms, sorted into the near ones when their time comes
//! ```
//! Each packet moves a connection's timer, mostly back: the loss timer of a packet that was sent
//! gives way to the idle timer when it is acknowledged. So an entry is only ever moved forward;
//! when its time comes the caller looks whether that is still meant, and arms it again. The
//! entries are links between places of the table: nothing is allocated when a timer moves.

use std::time::{Duration, Instant};

/// Slots of the near level, one millisecond each.
const NEAR: u64 = 1_024;
/// Slots of the far level, [`NEAR`] milliseconds each.
const FAR: u64 = 128;
/// Lists in all: the near ones come first.
const LISTS: usize = (NEAR + FAR) as usize;
/// No place, no list.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    due_ms: u64,
    list: u32,
    previous: u32,
    next: u32,
}

const UNARMED: Entry = Entry {
    due_ms: 0,
    list: NONE,
    previous: NONE,
    next: NONE,
};

/// The timers, addressed by the connections' places.
#[derive(Debug)]
pub struct QuicTimers {
    origin: Instant,
    /// Every slot up to this millisecond after the origin has been emptied.
    done_ms: u64,
    heads: Box<[u32]>,
    near: [u64; (NEAR / 64) as usize],
    far: [u64; (FAR / 64) as usize],
    entries: Vec<Entry>,
}

impl QuicTimers {
    /// No timers at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            origin: now,
            done_ms: 0,
            heads: vec![NONE; LISTS].into(),
            near: [0; _],
            far: [0; _],
            entries: Vec::new(),
        }
    }

    /// Makes sure that the place comes up at `at` or before.
    pub fn arm(&mut self, place: u32, at: Instant) {
        if place as usize >= self.entries.len() {
            self.entries.resize(place as usize + 1, UNARMED);
        }
        // Rounded up: what comes up is due.
        let since = at.saturating_duration_since(self.origin);
        let due_ms = u64::try_from(since.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
        let entry = self.entries[place as usize];
        if entry.list != NONE {
            if entry.due_ms <= due_ms {
                return;
            }
            self.unlink(place);
        }
        self.link(place, due_ms);
    }

    /// Forgets the timer of a place.
    pub fn disarm(&mut self, place: u32) {
        let entry = self.entries.get(place as usize);
        if entry.is_some_and(|entry| entry.list != NONE) {
            self.unlink(place);
        }
    }

    /// When to call [`QuicTimers::take`] next; `None` while nothing is armed.
    pub fn next_due(&self) -> Option<Instant> {
        let near = first_behind(&self.near, self.done_ms);
        let far = first_behind(&self.far, self.done_ms / NEAR).map(|slot| slot * NEAR);
        let due_ms = [near, far].into_iter().flatten().min()?;
        Some(self.origin + Duration::from_millis(due_ms))
    }

    /// Adds the places whose time has come by `now` to `due`. They are armed no more.
    pub fn take(&mut self, now: Instant, due: &mut Vec<u32>) {
        let since = now.saturating_duration_since(self.origin);
        let now_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        if now_ms <= self.done_ms {
            return;
        }
        let done_ms = std::mem::replace(&mut self.done_ms, now_ms);
        // After a long pause every slot is looked at once, not once for each of its times.
        let far_slots = (now_ms / NEAR - done_ms / NEAR).min(FAR);
        for slot in (1..=far_slots).map(|turn| done_ms / NEAR + turn) {
            self.empty((NEAR + slot % FAR) as u32, due);
        }
        let near_slots = (now_ms - done_ms).min(NEAR);
        for slot in (1..=near_slots).map(|turn| done_ms + turn) {
            if is_set(&self.near, slot % NEAR) {
                self.empty((slot % NEAR) as u32, due);
            }
        }
    }

    /// Takes everybody out of a list; who is not due yet goes into another.
    fn empty(&mut self, list: u32, due: &mut Vec<u32>) {
        let mut place = self.heads[list as usize];
        while place != NONE {
            let entry = self.entries[place as usize];
            self.unlink(place);
            match entry.due_ms <= self.done_ms {
                true => due.push(place),
                false => self.link(place, entry.due_ms),
            }
            place = entry.next;
        }
    }

    fn link(&mut self, place: u32, due_ms: u64) {
        let list = self.list_for(due_ms);
        let next = std::mem::replace(&mut self.heads[list as usize], place);
        if next != NONE {
            self.entries[next as usize].previous = place;
        }
        self.entries[place as usize] = Entry {
            due_ms,
            list,
            previous: NONE,
            next,
        };
        self.mark(list, true);
    }

    fn unlink(&mut self, place: u32) {
        let entry = std::mem::replace(&mut self.entries[place as usize], UNARMED);
        match entry.previous {
            NONE => self.heads[entry.list as usize] = entry.next,
            previous => self.entries[previous as usize].next = entry.next,
        }
        if entry.next != NONE {
            self.entries[entry.next as usize].previous = entry.previous;
        }
        if self.heads[entry.list as usize] == NONE {
            self.mark(entry.list, false);
        }
    }

    /// What lies beyond the far level is looked at on the way, what is past in a millisecond.
    fn list_for(&self, due_ms: u64) -> u32 {
        let due_ms = due_ms.max(self.done_ms + 1);
        if due_ms - self.done_ms < NEAR {
            return (due_ms % NEAR) as u32;
        }
        let slot = (due_ms / NEAR).min(self.done_ms / NEAR + FAR - 1);
        (NEAR + slot % FAR) as u32
    }

    fn mark(&mut self, list: u32, occupied: bool) {
        let list = u64::from(list);
        let (words, slot) = match list < NEAR {
            true => (&mut self.near[..], list),
            false => (&mut self.far[..], list - NEAR),
        };
        let bit = 1 << (slot % 64);
        match occupied {
            true => words[(slot / 64) as usize] |= bit,
            false => words[(slot / 64) as usize] &= !bit,
        }
    }
}

fn is_set(words: &[u64], slot: u64) -> bool {
    words[(slot / 64) as usize] >> (slot % 64) & 1 == 1
}

/// The first time behind `done` whose slot is occupied.
fn first_behind(words: &[u64], done: u64) -> Option<u64> {
    let slots = words.len() as u64 * 64;
    let mut time = done + 1;
    while time < done + slots {
        let rest = words[(time % slots / 64) as usize] >> (time % 64);
        if rest != 0 {
            return Some(time + u64::from(rest.trailing_zeros())).filter(|&at| at < done + slots);
        }
        time += 64 - time % 64;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Arms one timer and lets the wheel run by its own word.
    fn runs_out_at(after: Duration) -> (Duration, usize) {
        let start = Instant::now();
        let mut timers = QuicTimers::new(start);
        timers.arm(7, start + after);
        let (mut due, mut looks) = (Vec::new(), 0);
        loop {
            let now = timers.next_due().expect("it is armed");
            timers.take(now, &mut due);
            looks += 1;
            if !due.is_empty() {
                assert_eq!(due, [7]);
                assert_eq!(timers.next_due(), None);
                return (now - start, looks);
            }
        }
    }

    #[test]
    fn a_timer_runs_out_within_a_millisecond_after_its_time() {
        for at in [0, 1, 2, 1_022, 1_023, 1_024, 1_025, 5_000, 90_000, 130_000] {
            let (out, looks) = runs_out_at(ms(at) + Duration::from_micros(300));
            assert_eq!(out, ms(at + 1), "{at}");
            assert!(looks <= 2, "{looks} looks for {at}");
        }
        let (out, looks) = runs_out_at(ms(1_000_000));
        assert_eq!(out, ms(1_000_000));
        assert!(looks < 12, "{looks} looks on the way");
    }

    #[test]
    fn a_timer_that_moves_back_stays_and_one_that_moves_forward_is_moved() {
        let start = Instant::now();
        let mut timers = QuicTimers::new(start);
        let mut due = Vec::new();
        timers.arm(0, start + ms(90_000));
        timers.arm(0, start + ms(30));
        timers.arm(0, start + ms(90_000));
        timers.take(start + ms(29), &mut due);
        assert!(due.is_empty());
        timers.take(start + ms(30), &mut due);
        assert_eq!(due, [0], "the caller looks whether that is still meant");
        assert_eq!(timers.next_due(), None, "one entry a connection");
    }

    #[test]
    fn whoever_shares_a_slot_comes_up_and_who_left_does_not() {
        let start = Instant::now();
        let mut timers = QuicTimers::new(start);
        for place in 0..10 {
            timers.arm(place, start + ms(5_000));
        }
        for place in [0, 4, 9] {
            timers.disarm(place);
            timers.disarm(place);
        }
        let mut due = Vec::new();
        timers.take(start + ms(4_999), &mut due);
        assert!(due.is_empty());
        timers.take(start + ms(5_000), &mut due);
        due.sort_unstable();
        assert_eq!(due, [1, 2, 3, 5, 6, 7, 8]);
    }

    #[test]
    fn a_long_pause_loses_no_timer() {
        let start = Instant::now();
        let mut timers = QuicTimers::new(start);
        for place in 0..3_000 {
            timers.arm(place, start + ms(u64::from(place) * 50));
        }
        let mut due = Vec::new();
        timers.take(start + ms(1_000_000), &mut due);
        assert_eq!(due.len(), 3_000);
    }
}
