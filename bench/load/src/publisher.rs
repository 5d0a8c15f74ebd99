//! Senders that keep to a schedule, over whatever they send.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::checks::Sent;
use crate::clock::now_ns;
use crate::fault::Fault;
use crate::latency::Latencies;
use crate::schedule::Schedule;
use crate::send_result::{SendProgress, Verdicts};

/// The sending half of a kind of server.
pub trait Publisher {
    /// Hands the point of a sender to the system; never waits. False: it could not be sent, and
    /// nobody is owed it.
    ///
    /// # Errors
    /// When nobody can send any more.
    fn publish(&mut self, sender: u32, counter: u64) -> Result<bool, Fault>;

    /// Takes what the server says and sends what is left, until this moment at the latest.
    ///
    /// # Errors
    /// When nobody can send any more.
    fn serve(&mut self, until_ns: u64) -> Result<(), Fault>;

    /// Whether all senders are connected and may send. Between two questions [`Self::serve`] is
    /// called.
    fn is_ready(&self) -> bool {
        true
    }

    /// Whether the server has said something about everything that was sent.
    fn is_settled(&self) -> bool {
        true
    }

    /// What became of the points; `None` where the server does not say.
    fn verdicts(&self) -> Option<Verdicts> {
        None
    }

    /// Points that the server turned away (or never spoke about): sender and counter. Nobody is
    /// owed them.
    fn turned_away(&self) -> Vec<(u32, u64)> {
        Vec::new()
    }

    /// Connections that were lost, for each reason.
    fn lost(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }

    /// Sessions that ended and began anew.
    fn churned(&self) -> u64 {
        0
    }

    /// Ends in good order, within moments.
    ///
    /// # Errors
    /// When that is not possible.
    fn close(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

/// Longest time without a look at what the server says or at the run's commands, nanoseconds.
const SERVE_NS_MAX: u64 = 20_000_000;

/// Points sent between two looks at what the server says.
const POINTS_PER_LOOK: usize = 256;

/// A run of senders, point by point.
pub struct Campaign {
    schedule: Schedule,
    /// The next point of each sender, soonest first.
    due: BinaryHeap<Reverse<(u64, u32, u64)>>,
    sent: Vec<Sent>,
    progress: SendProgress,
    lateness: Latencies,
}

impl Campaign {
    /// Nothing is sent yet.
    pub fn new(schedule: Schedule) -> Self {
        let senders = 0..schedule.senders();
        let first = |sender| Reverse((schedule.intended_ns(sender, 1), sender, 1));
        Self {
            due: senders
                .clone()
                .filter(|sender| schedule.last(*sender) > 0)
                .map(first)
                .collect(),
            sent: senders.map(|_| Sent::default()).collect(),
            progress: SendProgress::default(),
            lateness: Latencies::fine(),
            schedule,
        }
    }

    /// Sends what is due, then serves the publisher for a moment. False when everything is sent.
    ///
    /// # Errors
    /// When nobody can send any more.
    pub fn step(&mut self, publisher: &mut impl Publisher) -> Result<bool, Fault> {
        for _ in 0..POINTS_PER_LOOK {
            let now = now_ns();
            let Some(&Reverse((at, sender, counter))) = self.due.peek() else {
                return Ok(false);
            };
            if at > now {
                publisher.serve(at.min(now + SERVE_NS_MAX))?;
                return Ok(true);
            }
            self.due.pop();
            self.lateness.record_ns(now - at);
            self.send(publisher, sender, counter)?;
        }
        publisher.serve(0)?;
        Ok(true)
    }

    fn send(
        &mut self,
        publisher: &mut impl Publisher,
        sender: u32,
        counter: u64,
    ) -> Result<(), Fault> {
        let record = &mut self.sent[sender as usize];
        record.last = counter;
        if publisher.publish(sender, counter)? {
            self.progress.sent += 1;
        } else {
            self.progress.unsent += 1;
            record.leave_out(counter);
        }
        if counter < self.schedule.last(sender) {
            let next = counter + 1;
            let at = self.schedule.intended_ns(sender, next);
            self.due.push(Reverse((at, sender, next)));
        }
        Ok(())
    }

    /// Sums so far.
    pub fn progress(&self) -> SendProgress {
        self.progress
    }

    /// What each sender has sent so far.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// What viewers are owed: what was sent and not turned away.
    pub fn owed(&self, mut turned_away: Vec<(u32, u64)>) -> Vec<Sent> {
        for (number, sent) in self.sent.iter().enumerate() {
            let left_out = sent.gaps.iter().flat_map(|(from, to)| *from..=*to);
            turned_away.extend(left_out.map(|counter| (number as u32, counter)));
        }
        turned_away.sort_unstable();
        let mut owed: Vec<Sent> = self.sent.iter().map(|sent| Sent::all(sent.last)).collect();
        for (sender, counter) in turned_away {
            owed[sender as usize].leave_out(counter);
        }
        owed.iter_mut().for_each(Sent::trim);
        owed
    }

    /// How late points were handed to the system.
    pub fn lateness(&self) -> &Latencies {
        &self.lateness
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::now_ns;
    use crate::fault::Fault;
    use crate::publisher::{Campaign, Publisher};
    use crate::schedule::{Schedule, SchedulePlan};

    /// Refuses every third point of sender 1.
    #[derive(Default)]
    struct Record(Vec<(u32, u64)>);

    impl Publisher for Record {
        fn publish(&mut self, sender: u32, counter: u64) -> Result<bool, Fault> {
            self.0.push((sender, counter));
            Ok(sender != 1 || !counter.is_multiple_of(3))
        }

        fn serve(&mut self, _until_ns: u64) -> Result<(), Fault> {
            Ok(())
        }
    }

    #[test]
    fn an_open_loop_sends_everything_that_is_due_however_late() {
        // All of it is due already.
        let start_ns = now_ns() - 20_000_000_000;
        let schedule = Schedule::new(&SchedulePlan::steady(3, 2.0, 10.0), start_ns);
        let mut campaign = Campaign::new(schedule);
        let mut record = Record::default();
        while campaign.step(&mut record).expect("it can send") {}
        assert_eq!(record.0.len(), 60);
        for sender in 0..3 {
            let own = record.0.iter().filter(|(number, _)| *number == sender);
            let counters: Vec<u64> = own.map(|(_, counter)| *counter).collect();
            assert_eq!(counters, (1..=20).collect::<Vec<_>>());
        }
        assert_eq!(campaign.sent()[1].after(0), 14);
        assert_eq!(
            (campaign.progress().sent, campaign.progress().unsent),
            (54, 6)
        );
        assert!(campaign.lateness().quantile_ms(0.0) > 9_000.0, "it is late");
    }
}
