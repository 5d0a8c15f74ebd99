//! Reads the text of `GET /metrics`: enough of the Prometheus format to add up series.

/// One sample: a name, its labels, its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name of the series.
    pub name: String,
    /// Labels in the order of the text.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
}

impl Sample {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(label, _)| label == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// All samples of one scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics(pub Vec<Sample>);

impl Metrics {
    /// Reads a scrape; comments and lines that are none are left out.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(sample).collect())
    }

    /// Samples of one name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// The sum over all labels.
    ///
    /// # Panics
    /// If there is no such series: a test that adds up nothing cannot fail.
    pub fn sum(&self, name: &str) -> f64 {
        let found: Vec<f64> = self.named(name).map(|sample| sample.value).collect();
        assert!(
            !found.is_empty(),
            "no metric {name} among {:?}",
            self.names()
        );
        found.iter().sum()
    }

    /// The values of one name by shard, ascending.
    pub fn by_shard(&self, name: &str) -> Vec<(u32, f64)> {
        let mut found: Vec<(u32, f64)> = Vec::new();
        for sample in self.named(name) {
            let Some(shard) = sample.label("shard").and_then(|text| text.parse().ok()) else {
                continue;
            };
            match found.iter_mut().find(|(known, _)| *known == shard) {
                Some((_, sum)) => *sum += sample.value,
                None => found.push((shard, sample.value)),
            }
        }
        found.sort_by_key(|(shard, _)| *shard);
        found
    }

    /// Every name, once.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.iter().map(|sample| sample.name.as_str()).collect();
        names.dedup();
        names
    }
}

fn sample(line: &str) -> Option<Sample> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.trim().rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => (name, read_labels(rest.strip_suffix('}')?)),
        None => (series, Vec::new()),
    };
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().ok()?,
    })
}

fn read_labels(text: &str) -> Vec<(String, String)> {
    text.split("\",")
        .filter_map(|label| label.split_once("=\""))
        .map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;

    #[test]
    fn a_scrape_is_read() {
        let text = "# HELP a b\nskein_viewers{shard=\"0\",transport=\"quic\"} 3\n\
                    skein_viewers{shard=\"1\",transport=\"quic\"} 4\nup 1\n# EOF\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("skein_viewers"), 7.0);
        assert_eq!(metrics.by_shard("skein_viewers"), [(0, 3.0), (1, 4.0)]);
        assert_eq!(metrics.sum("up"), 1.0);
    }
}
