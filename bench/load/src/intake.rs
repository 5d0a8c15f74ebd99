//! Checks and measures what one viewer gets, as it gets it.

use crate::checks::{Arrival, ViewerCheck};
use crate::plan::Behaviour;
use crate::sink::Sink;
use crate::tally::Tally;

/// One viewer's read.
pub struct Intake<'a> {
    /// When it was read.
    pub now_ns: u64,
    /// Number of the first sender of its chat.
    pub sender_first: u32,
    /// What it holds.
    pub check: &'a mut ViewerCheck,
    /// Sums of the process; `None` before the run begins, when nothing is measured.
    pub tally: Option<&'a mut Tally>,
    /// How it behaves: whoever does not read all the time is not measured.
    pub behaviour: Behaviour,
    /// What is to be sent back.
    pub out: &'a mut Vec<u8>,
}

impl Sink for Intake<'_> {
    fn deliver(&mut self, sender: u32, counter: u64) {
        let Some(tally) = self.tally.as_deref_mut() else {
            return;
        };
        let Some(local) = sender.checked_sub(self.sender_first) else {
            return tally.strange("a point of another chat");
        };
        match self.check.take(local, counter) {
            Arrival::Foreign => tally.strange("a point that nobody sent"),
            _ if !tally.is_possible(sender, counter, self.now_ns) => {
                tally.totals_mut().out_of_order += 1;
            }
            Arrival::Newer(after) => {
                tally.delivered(self.now_ns);
                if self.behaviour != Behaviour::Slow {
                    let reach = self.behaviour == Behaviour::Steady;
                    tally.arrived(sender, after, counter, self.now_ns, reach);
                }
            }
            Arrival::First => tally.delivered(self.now_ns),
            Arrival::Duplicate => tally.totals_mut().duplicates += 1,
            Arrival::Backwards => tally.totals_mut().out_of_order += 1,
        }
    }

    fn first(&mut self, sender: u32, counter: u64) {
        if let Some(local) = sender.checked_sub(self.sender_first) {
            self.check.first(local, counter);
        }
    }

    fn skipped(&mut self, sender: u32, count: u64) {
        if let Some(local) = sender.checked_sub(self.sender_first) {
            self.check.skip(local, count);
        }
        if let Some(tally) = self.tally.as_deref_mut() {
            tally.totals_mut().skipped += count;
        }
    }

    fn batch(&mut self) {
        if let Some(tally) = self.tally.as_deref_mut() {
            tally.batch(self.now_ns);
        }
    }

    fn repeated(&mut self) {
        if let Some(tally) = self.tally.as_deref_mut() {
            tally.totals_mut().repeated += 1;
        }
    }

    fn strange(&mut self, what: &'static str) {
        if let Some(tally) = self.tally.as_deref_mut() {
            tally.strange(what);
        }
    }

    fn answer(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
}
