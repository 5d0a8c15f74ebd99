//! Who is better than skein in a measure, who is worse, and who cannot be told apart from it.

use crate::figure::{Figure, Measure};
use crate::results::{PeerResult, Results};

/// A peer, and how many times better skein is (below 1: worse), by the middles.
#[derive(Clone, Debug)]
pub struct Rival<'a> {
    /// The other.
    pub peer: &'a PeerResult,
    /// At least 1: how many times better the better one is.
    pub factor: f64,
}

/// Where skein stands in one measure.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// Which of skein's ways was measured.
    pub ours: &'a Figure,
    /// Those that are worse, in every repeat.
    pub worse: Vec<Rival<'a>>,
    /// Those that are better, in every repeat.
    pub better: Vec<Rival<'a>>,
    /// Those whose repeats overlap with ours.
    pub alike: Vec<&'a PeerResult>,
}

/// Names of what is ours, and of the rivals that each of them is compared with.
fn is_ours(name: &str) -> bool {
    name == "log-skein" || name.starts_with("skein")
}

/// Whether two names are of the same kind: embedded logs beside embedded logs, servers beside
/// servers, QUIC beside QUIC.
fn comparable(ours: &str, other: &str) -> bool {
    let kind = |name: &str| match name {
        name if name.starts_with("log-") => 1,
        "skein-quic" | "quinn" => 2,
        _ => 0,
    };
    kind(ours) == kind(other)
}

/// Where skein stands in a measure, once for each of its ways that has it.
pub fn standings(results: &Results, measure: Measure) -> Vec<Standing<'_>> {
    let ours = results
        .peers_with(measure)
        .filter(|(peer, _)| is_ours(&peer.name));
    ours.map(|(_, figure)| standing(results, measure, figure))
        .collect()
}

fn standing<'a>(results: &'a Results, measure: Measure, ours: &'a Figure) -> Standing<'a> {
    let mut all = Standing {
        ours,
        worse: Vec::new(),
        better: Vec::new(),
        alike: Vec::new(),
    };
    for (peer, theirs) in results.peers_with(measure) {
        if is_ours(&peer.name) || !comparable(&ours.peer, &peer.name) {
            continue;
        }
        let ours_is_less = ours.high < theirs.low;
        let ours_is_more = ours.low > theirs.high;
        let (best, worst) = match measure.less_is_better() {
            true => (ours_is_less, ours_is_more),
            false => (ours_is_more, ours_is_less),
        };
        let (small, large) = match ours.median < theirs.median {
            true => (ours.median, theirs.median),
            false => (theirs.median, ours.median),
        };
        let factor = large / small.max(f64::EPSILON);
        match (best, worst) {
            (true, _) => all.worse.push(Rival { peer, factor }),
            (_, true) => all.better.push(Rival { peer, factor }),
            _ => all.alike.push(peer),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::standings;
    use crate::figure::Measure;
    use crate::results::{PeerResult, of_values as results};

    #[test]
    fn only_what_holds_in_every_repeat_is_a_win_or_a_loss() {
        let values = [
            ("skein", [4.0, 5.0]),
            ("redis", [8.0, 9.0]),
            ("nats", [1.0, 2.0]),
            ("mosquitto", [4.5, 9.0]),
            ("quinn", [100.0, 100.0]),
        ];
        let names = |measure| {
            let results = results(&values, measure);
            let standings = standings(&results, measure);
            assert_eq!(standings.len(), 1);
            let one = &standings[0];
            let name = |peer: &PeerResult| peer.name.clone();
            let worse: Vec<_> = one.worse.iter().map(|rival| name(rival.peer)).collect();
            let better: Vec<_> = one.better.iter().map(|rival| name(rival.peer)).collect();
            let alike: Vec<_> = one.alike.iter().map(|peer| name(peer)).collect();
            (worse.join(","), better.join(","), alike.join(","))
        };
        let expected = ("redis".into(), "nats".into(), "mosquitto".into());
        assert_eq!(names(Measure::LastViewerP50), expected);
        let expected = ("nats".into(), "redis".into(), "mosquitto".into());
        assert_eq!(names(Measure::Delivered), expected);
    }
}
