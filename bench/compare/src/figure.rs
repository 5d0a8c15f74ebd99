//! What was measured, by peer and measure: each repeat's value, the middle, the spread.

use serde::{Deserialize, Serialize};
use skein_bench::quantile::median;

/// What can be measured, with its unit and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Publication to the first viewer, half of the publications.
    FirstViewerP50,
    /// Publication to the last viewer, half of the publications.
    LastViewerP50,
    /// Publication to the last viewer, 99 of 100.
    LastViewerP99,
    /// The share of these publications that reached every viewer, where the transport may lose one.
    Whole,
    /// Positions delivered at saturation.
    Delivered,
    /// The same per second of the servers' processor time.
    DeliveredPerCpu,
    /// The share of the time that the servers computed meanwhile.
    ServerBusy,
    /// Positions delivered at saturation, ten times as many viewers.
    DeliveredMany,
    /// The same per second of the servers' processor time.
    DeliveredManyPerCpu,
    /// The share of the time that the servers computed meanwhile.
    ServerBusyMany,
    /// Memory that each idle viewer adds to the servers.
    MemoryPerViewer,
    /// Records appended, in the page cache.
    Append,
    /// Records appended, synced in the background each second.
    AppendEachSecond,
    /// Records appended, each batch synced before its acknowledgement.
    AppendDurable,
    /// The same beside a plain file that is written and synced in turn with the log.
    DurableOfRaw,
    /// From the start of the process to the first answer, or to the first new record.
    Restart,
}

impl Measure {
    /// Unit of its values.
    pub fn unit(self) -> &'static str {
        match self {
            Self::FirstViewerP50 | Self::LastViewerP50 | Self::LastViewerP99 => "ms",
            Self::Delivered | Self::DeliveredMany => "positions/s",
            Self::DeliveredPerCpu | Self::DeliveredManyPerCpu => "positions/CPU s",
            Self::Whole | Self::ServerBusy | Self::ServerBusyMany | Self::DurableOfRaw => "",
            Self::MemoryPerViewer => "B",
            Self::Append | Self::AppendEachSecond | Self::AppendDurable => "records/s",
            Self::Restart => "ms",
        }
    }

    /// Whether a smaller value is the better one.
    pub fn less_is_better(self) -> bool {
        matches!(self.unit(), "ms" | "B")
    }
}

/// All values of one measure of one peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Whose.
    pub peer: String,
    /// What.
    pub measure: Measure,
    /// Unit of the values.
    pub unit: String,
    /// The one in the middle.
    pub median: f64,
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
    /// One for each repeat.
    pub values: Vec<f64>,
    /// The command that measures it again.
    pub command: String,
}

/// Collects figures.
#[derive(Debug, Default)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// Adds the value of one repeat.
    pub fn add(&mut self, peer: &str, measure: Measure, value: f64) {
        let found = self
            .0
            .iter_mut()
            .find(|figure| figure.peer == peer && figure.measure == measure);
        match found {
            Some(figure) => figure.push(value),
            None => {
                let mut figure = Figure {
                    peer: peer.to_owned(),
                    measure,
                    unit: measure.unit().to_owned(),
                    median: 0.0,
                    low: 0.0,
                    high: 0.0,
                    values: Vec::new(),
                    command: String::new(),
                };
                figure.push(value);
                self.0.push(figure);
            }
        }
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<Figure> {
        self.0
    }
}

impl Figure {
    fn push(&mut self, value: f64) {
        self.values.push(value);
        let mut sorted = self.values.clone();
        self.median = median(&mut sorted);
        self.low = sorted[0];
        self.high = sorted[sorted.len() - 1];
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, Measure};

    #[test]
    fn repeats_of_a_peer_have_a_middle_and_a_spread() {
        let mut figures = Figures::default();
        for (peer, value) in [("a", 3.0), ("b", 9.0), ("a", 1.0), ("a", 2.0)] {
            figures.add(peer, Measure::Append, value);
        }
        let figures = figures.into_vec();
        assert_eq!(figures.len(), 2);
        let a = &figures[0];
        assert_eq!((a.low, a.median, a.high), (1.0, 2.0, 3.0));
        assert_eq!(a.values, [3.0, 1.0, 2.0]);
    }
}
