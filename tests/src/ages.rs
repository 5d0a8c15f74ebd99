//! How long rows of viewers differ from the table.
//!
//! Each change of a row counts once for each viewer: from the moment the sender measured it until the
//! viewer's row has it, or a newer one. Both are on one machine, so both read the same clock. A change that
//! a viewer never saw by itself was measured one period of the senders before the next.

use std::collections::HashMap;

use serde_json::{Value, json};
use skein_wire::ids::SessionId;

/// The newest point of a row.
#[derive(Clone, Copy, Debug)]
pub struct Newest {
    /// Whose.
    pub session: SessionId,
    /// Its counter.
    pub counter: u64,
    /// When it was measured, milliseconds since 1970.
    pub captured_at_ms: i64,
}

/// A row that has moved on.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// From the newest measurement to now, milliseconds.
    age_ms: u64,
    /// Changes that came and went since the row moved last.
    missed: u64,
}

/// Up to which counter one viewer has each row.
#[derive(Debug, Default)]
pub struct Seen(HashMap<SessionId, u64>);

/// What was seen since the last question, by all viewers.
#[derive(Debug, Default)]
pub struct Ages(Vec<Step>);

impl Ages {
    /// A viewer's rows at `now_ms`. What it finds when it comes tells of no delay.
    pub fn note(&mut self, seen: &mut Seen, rows: impl Iterator<Item = Newest>, now_ms: u64) {
        for row in rows {
            let Some(before) = seen.0.insert(row.session, row.counter) else {
                continue;
            };
            if row.counter > before {
                self.0.push(Step {
                    age_ms: now_ms.saturating_sub(row.captured_at_ms as u64),
                    missed: row.counter - before - 1,
                });
            }
        }
    }

    /// Sums up and begins anew. Senders measure each `period_ms`.
    pub fn take(&mut self, period_ms: u64) -> Value {
        let mut all: Vec<u64> = Vec::with_capacity(self.0.len());
        for step in self.0.drain(..) {
            all.extend((0..=step.missed).map(|earlier| step.age_ms + earlier * period_ms));
        }
        all.sort_unstable();
        let part = |permille: usize| {
            let last = all.len().saturating_sub(1);
            all.get(last * permille / 1_000).copied().unwrap_or(0)
        };
        json!({
            "changes": all.len(),
            "p50_ms": part(500),
            "p99_ms": part(990),
            "max_ms": part(1_000),
        })
    }
}

#[cfg(test)]
mod tests {
    use skein_wire::ids::SessionId;

    use crate::ages::{Ages, Newest, Seen};

    #[test]
    fn changes_that_were_missed_count_from_when_they_were_made() {
        let (mut ages, mut seen) = (Ages::default(), Seen::default());
        let mut note = |counter, captured_at_ms, now_ms| {
            let row = Newest {
                session: SessionId(7),
                counter,
                captured_at_ms,
            };
            ages.note(&mut seen, [row].into_iter(), now_ms);
        };
        note(4, 0, 9_000);
        note(4, 0, 9_500);
        note(5, 10_000, 10_010);
        // Points 6 and 7 of 11,000 and 12,000 did not arrive.
        note(8, 13_000, 13_020);
        let sum = ages.take(1_000);
        let figures = ["changes", "p50_ms", "p99_ms", "max_ms"].map(|key| sum[key].as_u64());
        assert_eq!(figures, [Some(4), Some(20), Some(1_020), Some(2_020)]);
        assert_eq!(ages.take(1_000)["changes"], 0);
    }
}
