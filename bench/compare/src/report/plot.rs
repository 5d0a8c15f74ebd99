//! A measure as bars, one for each peer, with the spread of its repeats: an SVG file that needs
//! nothing else.

use std::fmt::Write;

use crate::figure::Figure;
use crate::results::PeerResult;
use crate::table::Amount;

/// Width of the picture, points.
const WIDTH: f64 = 760.0;
/// Where the bars begin.
const BARS_AT: f64 = 330.0;
/// Length of the longest bar.
const BARS_WIDTH: f64 = 310.0;
/// Height of a bar and the space below it.
const ROW: f64 = 26.0;
/// Height of a bar.
const BAR: f64 = 16.0;
/// Height of the title.
const HEAD: f64 = 44.0;

/// From this ratio of the largest to the smallest value on, bars are logarithmic.
const LOGARITHMIC_FROM: f64 = 40.0;

/// Colour of ours, of others, of the spread.
const OURS: &str = "#1f6f8b";
const OTHERS: &str = "#a9b4ba";
const SPREAD: &str = "#333333";

/// Draws it.
pub fn bars(title: &str, rows: &[(&PeerResult, &Figure)]) -> String {
    let scale = Scale::of(rows);
    let height = HEAD + ROW * rows.len() as f64 + 8.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let note = if scale.logarithmic {
        ", logarithmic"
    } else {
        ""
    };
    text(&mut out, 10.0, 22.0, "start", 15, &format!("{title}{note}"));
    for (index, (peer, figure)) in rows.iter().enumerate() {
        let top = HEAD + ROW * index as f64;
        row(&mut out, &scale, top, peer, figure);
    }
    out.push_str("</svg>\n");
    out
}

/// From values to lengths.
struct Scale {
    logarithmic: bool,
    least: f64,
    most: f64,
}

impl Scale {
    fn of(rows: &[(&PeerResult, &Figure)]) -> Self {
        let lows = rows.iter().map(|(_, figure)| figure.low);
        let least = lows.fold(f64::INFINITY, f64::min).max(1e-9);
        let highs = rows.iter().map(|(_, figure)| figure.high);
        let most = highs.fold(0.0, f64::max).max(least);
        Self {
            logarithmic: most / least > LOGARITHMIC_FROM,
            least,
            most,
        }
    }

    fn length(&self, value: f64) -> f64 {
        let part = match self.logarithmic {
            // The least value still has a bar: half a decade.
            true => {
                let from = self.least.log10() - 0.5;
                (value.max(self.least).log10() - from) / (self.most.log10() - from)
            }
            false => value / self.most,
        };
        BARS_WIDTH * part.clamp(0.0, 1.0)
    }
}

fn row(out: &mut String, scale: &Scale, top: f64, peer: &PeerResult, figure: &Figure) {
    let middle = top + BAR / 2.0;
    let colour = match peer.title.starts_with("skein") {
        true => OURS,
        false => OTHERS,
    };
    text(
        out,
        BARS_AT - 8.0,
        middle + 4.0,
        "end",
        12,
        &short(&peer.title),
    );
    let length = scale.length(figure.median);
    rect(out, BARS_AT, top, length, BAR, colour);
    let (low, high) = (scale.length(figure.low), scale.length(figure.high));
    rect(
        out,
        BARS_AT + low,
        middle - 0.75,
        (high - low).max(1.0),
        1.5,
        SPREAD,
    );
    let at = BARS_AT + length.max(high) + 6.0;
    let amount = Amount(figure.median, &figure.unit).to_string();
    text(out, at, middle + 4.0, "start", 12, &amount);
}

/// Titles longer than the margin are cut.
fn short(title: &str) -> String {
    const CHARACTERS: usize = 46;
    match title.chars().count() > CHARACTERS {
        true => title.chars().take(CHARACTERS - 1).chain(['…']).collect(),
        false => title.to_owned(),
    }
}

fn rect(out: &mut String, x: f64, y: f64, width: f64, height: f64, colour: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{colour}\"/>"
    );
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, size: u32, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">{words}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::bars;
    use crate::figure::{Figures, Measure};
    use crate::results::PeerResult;

    #[test]
    fn every_peer_has_a_bar_and_its_value() {
        let mut figures = Figures::default();
        figures.add("skein", Measure::LastViewerP50, 5.0);
        figures.add("other", Measure::LastViewerP50, 5_000.0);
        let figures = figures.into_vec();
        let peer = |title: &str| PeerResult {
            name: title.to_owned(),
            title: title.to_owned(),
            settings: String::new(),
            trouble: String::new(),
        };
        let (ours, other) = (peer("skein"), peer("A & B"));
        let svg = bars("Some", &[(&ours, &figures[0]), (&other, &figures[1])]);
        assert!(svg.contains("5.00 ms") && svg.contains("5000 ms"), "{svg}");
        assert!(svg.contains("A &amp; B") && svg.contains("logarithmic"));
        assert_eq!(svg.matches("<rect").count(), 1 + 2 * 2);
        assert!(!svg.contains("NaN"));
    }
}
