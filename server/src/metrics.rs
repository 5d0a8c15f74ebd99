//! What shards, logs and listeners count, in the OpenMetrics text form.
//!
//! A shard publishes plain numbers into its row of a [`MetricsBoard`] at the end of a pass: a few
//! relaxed stores, no lock, no label, no name. Names are put to them when somebody asks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Prefix of every metric's name.
const PREFIX: &str = "skein";

/// Whether a number only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows; `_total` is put behind its name.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name without prefix, `points_accepted`.
    pub name: &'static str,
    /// One sentence with the unit, without a full stop.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: MetricKind,
}

impl Metric {
    /// A number that only grows.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            kind: MetricKind::Counter,
        }
    }

    /// A number that goes up and down.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            kind: MetricKind::Gauge,
        }
    }
}

/// Makes a table of metrics and the function that copies their numbers into a row of it: each name stands beside its number.
macro_rules! metrics {
    (
        $(#[$table_doc:meta])*
        pub static $table:ident;
        $(#[$publish_doc:meta])*
        pub fn $publish:ident($it:ident: $source:ty);
        $($kind:ident $name:literal, $help:literal => $number:expr;)*
    ) => {
        $(#[$table_doc])*
        pub static $table: &[$crate::metrics::Metric] =
            &[$($crate::metrics::Metric::$kind($name, $help),)*];

        $(#[$publish_doc])*
        pub fn $publish(row: &$crate::metrics::MetricRow, $it: $source) {
            row.publish([$($number,)*]);
        }
    };
}

pub(crate) use metrics;

/// The numbers of one shard, or of a part of the process that is no shard.
#[derive(Debug)]
pub struct MetricRow {
    values: Box<[AtomicU64]>,
}

impl MetricRow {
    fn new(metrics: usize) -> Self {
        Self {
            values: (0..metrics).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Sets all numbers, in the order of the table.
    ///
    /// # Panics
    /// When there are not as many numbers as the table has metrics.
    pub fn publish<const N: usize>(&self, numbers: [u64; N]) {
        assert_eq!(N, self.values.len(), "each metric has its number");
        for (index, number) in numbers.into_iter().enumerate() {
            self.values[index].store(number, Ordering::Relaxed);
        }
    }

    /// Sets one number.
    pub fn set(&self, index: usize, number: u64) {
        self.values[index].store(number, Ordering::Relaxed);
    }

    /// Adds to one number.
    pub fn add(&self, index: usize, more: u64) {
        self.values[index].fetch_add(more, Ordering::Relaxed);
    }

    /// One number.
    pub fn get(&self, index: usize) -> u64 {
        self.values[index].load(Ordering::Relaxed)
    }
}

/// Metrics and their numbers.
#[derive(Debug)]
struct Table {
    metrics: &'static [Metric],
    rows: Rows,
}

#[derive(Debug)]
enum Rows {
    /// The process has one, without a label.
    Once(Arc<MetricRow>),
    /// Each shard has one.
    PerShard(Vec<Arc<MetricRow>>),
    /// Another part of the process counts, and is asked.
    Asked(Source),
}

/// Gives the numbers of a table, in its order.
struct Source(Box<dyn Fn() -> Vec<u64> + Send + Sync>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source(..)")
    }
}

/// All metrics of the process.
///
/// ```
/// use skein_server::metrics::{Metric, MetricsBoard};
/// static SHARD: &[Metric] = &[Metric::counter("points_accepted", "Points that were appended")];
/// let mut board = MetricsBoard::default();
/// let rows = board.per_shard(SHARD, 2);
/// rows[1].publish([7]);
/// let text = board.text().unwrap();
/// assert!(text.contains("skein_points_accepted_total{shard=\"1\"} 7"), "{text}");
/// ```
#[derive(Debug, Default)]
pub struct MetricsBoard {
    tables: Vec<Arc<Table>>,
}

impl MetricsBoard {
    /// Adds metrics that every shard has; gives each shard's row.
    pub fn per_shard(&mut self, metrics: &'static [Metric], shards: u16) -> Vec<Arc<MetricRow>> {
        let rows: Vec<_> = (0..shards)
            .map(|_| Arc::new(MetricRow::new(metrics.len())))
            .collect();
        self.add(metrics, Rows::PerShard(rows.clone()));
        rows
    }

    /// Adds metrics that the process has once.
    pub fn once(&mut self, metrics: &'static [Metric]) -> Arc<MetricRow> {
        let row = Arc::new(MetricRow::new(metrics.len()));
        self.add(metrics, Rows::Once(row.clone()));
        row
    }

    /// Adds metrics that the process has once, and whose numbers `source` has, in their order.
    pub fn asked(
        &mut self,
        metrics: &'static [Metric],
        source: impl Fn() -> Vec<u64> + Send + Sync + 'static,
    ) {
        self.add(metrics, Rows::Asked(Source(Box::new(source))));
    }

    fn add(&mut self, metrics: &'static [Metric], rows: Rows) {
        self.tables.push(Arc::new(Table { metrics, rows }));
    }

    /// Everything as OpenMetrics text.
    ///
    /// # Errors
    /// When the text cannot be written, which is a fault of this program.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix(PREFIX);
        for table in &self.tables {
            registry.register_collector(Box::new(table.clone()));
        }
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Table {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let asked = match &self.rows {
            Rows::Asked(source) => source.0(),
            Rows::Once(_) | Rows::PerShard(_) => Vec::new(),
        };
        for (index, metric) in self.metrics.iter().enumerate() {
            let kind = match metric.kind {
                MetricKind::Counter => ConstCounter::<u64>::default().metric_type(),
                MetricKind::Gauge => ConstGauge::<i64>::default().metric_type(),
            };
            let mut family = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
            match &self.rows {
                Rows::Once(row) => put(metric.kind, row.get(index), family)?,
                Rows::Asked(_) => put(metric.kind, asked[index], family)?,
                Rows::PerShard(rows) => {
                    for (shard, row) in rows.iter().enumerate() {
                        let labels = [("shard", shard)];
                        put(metric.kind, row.get(index), family.encode_family(&labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn put(kind: MetricKind, number: u64, encoder: MetricEncoder<'_>) -> fmt::Result {
    match kind {
        MetricKind::Counter => ConstCounter::new(number).encode(encoder),
        MetricKind::Gauge => {
            ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX)).encode(encoder)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::{Metric, MetricsBoard};

    static SHARD: &[Metric] = &[
        Metric::counter("sends", "Sends"),
        Metric::gauge("viewers", "Viewers now"),
    ];
    static PROCESS: &[Metric] = &[Metric::gauge("control_index", "Newest index")];

    static ASKED: &[Metric] = &[Metric::counter("refused", "Refused")];

    #[test]
    fn shards_have_labels_and_the_process_has_none() {
        let mut board = MetricsBoard::default();
        let rows = board.per_shard(SHARD, 2);
        board.once(PROCESS).set(0, 9);
        board.asked(ASKED, || vec![5]);
        rows[0].publish([3, 1]);
        rows[1].publish([4, u64::MAX]);
        let text = board.text().unwrap();
        for line in [
            "# TYPE skein_sends counter",
            "skein_refused_total 5",
            "# HELP skein_viewers Viewers now",
            "skein_sends_total{shard=\"0\"} 3",
            "skein_sends_total{shard=\"1\"} 4",
            "skein_viewers{shard=\"0\"} 1",
            "skein_control_index 9",
            "# EOF",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
