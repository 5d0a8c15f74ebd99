//! The page itself.

use std::collections::BTreeMap;
use std::fmt::Write;

use skein_bench::doubt::{BLOCKS_LEAST, MIDDLES_APART_MAX};
use skein_bench::sabotage::{CHANGE_MIN, Effects};

use crate::figure::Measure;
use crate::report::budgets;
use crate::report::ratios::Ratio;
use crate::report::reading::{Case, Reading};
use crate::report::scaling;
use crate::report::standing::{Rival, Standing, standings};
use crate::results::{PeerResult, Results};
use crate::scale::Scale;
use crate::table::{Amount, Spread};

/// The command that makes the page.
pub const COMMAND: &str = "cargo run --release -p skein-compare --bin compare -- report";

/// A measure, its key in the reading, its title, and the words for "better" and "worse".
pub struct Chapter {
    /// What.
    pub measure: Measure,
    /// Its key.
    pub key: &'static str,
    /// Its title.
    pub title: &'static str,
    better: &'static str,
    worse: &'static str,
}

const fn chapter(
    measure: Measure,
    key: &'static str,
    title: &'static str,
    words: [&'static str; 2],
) -> Chapter {
    Chapter {
        measure,
        key,
        title,
        better: words[0],
        worse: words[1],
    }
}

const TIME: [&str; 2] = ["sooner", "later"];
const PACE: [&str; 2] = ["faster", "slower"];
const SIZE: [&str; 2] = ["smaller", "larger"];

/// The measures that have a plot and a paragraph, in order.
pub const CHAPTERS: &[Chapter] = &[
    chapter(
        Measure::LastViewerP50,
        "last_viewer_p50",
        "Publication to the last of the viewers, quiet system, half of the publications",
        TIME,
    ),
    chapter(
        Measure::LastViewerP99,
        "last_viewer_p99",
        "The same, 99 of 100 publications",
        TIME,
    ),
    chapter(
        Measure::Delivered,
        "delivered",
        "Positions delivered a second at saturation, 1,000 senders and 1,000 viewers",
        PACE,
    ),
    chapter(
        Measure::DeliveredMany,
        "delivered_many",
        "Positions delivered a second at saturation, 1,000 senders and 10,000 viewers",
        PACE,
    ),
    chapter(
        Measure::DeliveredPerCpu,
        "delivered_per_cpu",
        "Positions delivered per second of the servers' processor time",
        PACE,
    ),
    chapter(
        Measure::MemoryPerViewer,
        "memory_per_viewer",
        "Memory that a viewer adds to the servers",
        SIZE,
    ),
    chapter(
        Measure::Append,
        "append",
        "Records appended a second, in the page cache",
        PACE,
    ),
    chapter(
        Measure::AppendEachSecond,
        "append_each_second",
        "Records appended a second, synced each second",
        PACE,
    ),
    chapter(
        Measure::AppendDurable,
        "append_durable",
        "Records appended a second, each batch synced",
        PACE,
    ),
    chapter(
        Measure::DurableOfRaw,
        "durable_of_raw",
        "The same, as a share of a plain file that is written and synced in turn",
        PACE,
    ),
    chapter(Measure::Restart, "restart", "Restart with a full log", TIME),
];

/// What a page is made from.
pub struct Measured<'a> {
    /// Of `compare`.
    pub results: &'a Results,
    /// Of `cargo bench`.
    pub ratios: &'a BTreeMap<String, Ratio>,
    /// Of `compare scale`.
    pub scale: Option<&'a Scale>,
    /// Of `sabotage`.
    pub sabotage: Option<&'a Effects>,
    /// What a person says about it.
    pub reading: &'a Reading,
}

/// Writes the whole page.
pub fn page(measured: &Measured<'_>) -> String {
    let Measured {
        results,
        ratios,
        scale,
        sabotage,
        reading,
    } = *measured;
    let mut out = String::new();
    // Writing to a string does not fail, here and below.
    let _ = writeln!(
        out,
        "# Benchmarks\n\nMade by `{COMMAND}` from the results of `cargo bench` and `compare`. \
         Figures are medians of the repeats, the spread (least to most) in parentheses. Other \
         machines have other figures; what carries over is who is ahead of whom.\n"
    );
    head(&mut out, results);
    budgets::section(&mut out, results, ratios, reading);
    words(&mut out, results, reading);
    peers(&mut out, results);
    if let Some(scale) = scale {
        scaling::section(&mut out, scale);
    }
    floors(&mut out, ratios);
    if let Some(effects) = sabotage {
        noticed(&mut out, effects);
    }
    settings(&mut out, results);
    out
}

fn head(out: &mut String, results: &Results) {
    let machine = &results.machine;
    let programs = match machine.programs.is_empty() {
        true => String::new(),
        false => format!("| programs | {} |\n", machine.programs.join("; ")),
    };
    let _ = writeln!(
        out,
        "| | |\n|---|---|\n| machine | {}, {} cores, {} GiB, Linux {} |\n| commit | {} |\n\
         | when | {} |\n| how much | {} |\n{programs}",
        machine.cpu,
        machine.cores,
        machine.memory_gib,
        machine.kernel,
        results.commit,
        results.at,
        results.effort
    );
    if results.effort != "full" {
        let _ = writeln!(
            out,
            "**Measured once and shortly: these figures are a look, no measurement.**\n"
        );
    }
    let _ = writeln!(
        out,
        "All servers run on the first core, each in processes of its own; the loader, one thread, \
         has the last one. It is the same for all of them: a sender publishes its next position \
         when every viewer has its last one, so at saturation there is always one position of \
         each sender on its way and nothing needs to be dropped. Every delivery over TCP is checked: \
         who, in order, none twice, none missing. A datagram of QUIC may be lost; *reached all* is the share \
         of the publications that reached every viewer, and the latencies are of those. skein \
         carries its own points, the others the same content in 48 bytes.\n"
    );
}

fn words(out: &mut String, results: &Results, reading: &Reading) {
    let _ = writeln!(out, "## In plain words\n");
    for chapter in CHAPTERS {
        for standing in standings(results, chapter.measure) {
            let _ = writeln!(out, "{}\n", paragraph(chapter, &standing, results, reading));
        }
    }
}

fn paragraph(
    chapter: &Chapter,
    standing: &Standing<'_>,
    results: &Results,
    reading: &Reading,
) -> String {
    let ours = standing.ours;
    let title = results.peers.iter().find(|peer| peer.name == ours.peer);
    let title = title.map_or(ours.peer.as_str(), |peer| &peer.title);
    let mut out = format!("**{}.** {title}: {}", chapter.title, Spread(ours));
    for (rivals, word) in [
        (&standing.worse, chapter.better),
        (&standing.better, chapter.worse),
    ] {
        if !rivals.is_empty() {
            let _ = write!(out, "; {word} than {}", list(rivals));
        }
    }
    if !standing.alike.is_empty() {
        let titles: Vec<&str> = standing.alike.iter().map(|peer| &*peer.title).collect();
        let _ = write!(out, "; within the spread of {}", titles.join(", "));
    }
    out.push('.');
    for (case, holds) in [
        (Case::Wins, !standing.worse.is_empty()),
        (Case::Loses, !standing.better.is_empty()),
        (Case::Always, true),
    ] {
        if let Some(text) = reading.about(chapter.key, case).filter(|_| holds) {
            let _ = write!(out, " {text}");
        }
    }
    out
}

fn list(rivals: &[Rival<'_>]) -> String {
    let rival = |rival: &Rival<'_>| format!("{} ({:.1}x)", rival.peer.title, rival.factor);
    rivals.iter().map(rival).collect::<Vec<_>>().join(", ")
}

/// Tables of the peers, a group of measures each.
fn peers(out: &mut String, results: &Results) {
    let _ = writeln!(
        out,
        "## Beside its peers\n\nAll of it: `cargo run --release -p skein-compare --bin compare`; \
         one peer: the command of its row. `bench/compare/install.sh` installs the others.\n"
    );
    for chapter in CHAPTERS {
        if results.peers_with(chapter.measure).next().is_some() {
            let key = chapter.key;
            let _ = writeln!(out, "![{}](benchmarks/{key}.svg)\n", chapter.title);
        }
    }
    for (title, measures) in [
        (
            "Quiet: one sender",
            &[
                (Measure::FirstViewerP50, "first viewer, p50"),
                (Measure::LastViewerP50, "last viewer, p50"),
                (Measure::LastViewerP99, "last viewer, p99"),
                (Measure::Whole, "reached all"),
                (Measure::MemoryPerViewer, "memory per viewer"),
            ][..],
        ),
        (
            "Saturated: 1,000 senders, 1,000 viewers (over QUIC: one sender)",
            &[
                (Measure::Delivered, "delivered"),
                (Measure::DeliveredPerCpu, "per CPU second"),
                (Measure::ServerBusy, "servers busy"),
            ],
        ),
        (
            "Saturated: 1,000 senders, 10,000 viewers",
            &[
                (Measure::DeliveredMany, "delivered"),
                (Measure::DeliveredManyPerCpu, "per CPU second"),
                (Measure::ServerBusyMany, "servers busy"),
            ],
        ),
        (
            "Logs: records of 64 bytes in batches of 64; restart with records of 1 KiB",
            &[
                (Measure::Append, "page cache"),
                (Measure::AppendEachSecond, "synced each second"),
                (Measure::AppendDurable, "each batch synced"),
                (Measure::DurableOfRaw, "of a raw file"),
                (Measure::Restart, "restart"),
            ],
        ),
    ] {
        table(out, results, title, measures);
    }
    let _ = writeln!(
        out,
        "*Servers busy* well below 1 means that the loader was the limit, so that the server could \
         do more: compare the column before it then. *Restart* is from the start of the process \
         to the first answer (servers), or to the first new record (embedded logs), after a kill, \
         with {} of payload and a warm page cache.\n",
        Amount(results.restart_bytes as f64, "B")
    );
}

fn table(out: &mut String, results: &Results, title: &str, measures: &[(Measure, &str)]) {
    let has = |peer: &&PeerResult| {
        let figure = |(measure, _): &(Measure, &str)| results.figure(&peer.name, *measure);
        measures.iter().any(|one| figure(one).is_some())
    };
    let rows: Vec<&PeerResult> = results.peers.iter().filter(has).collect();
    if rows.is_empty() {
        return;
    }
    let names = measures.iter().map(|(_, name)| *name);
    let names: Vec<&str> = ["peer"]
        .into_iter()
        .chain(names)
        .chain(["command"])
        .collect();
    let _ = writeln!(out, "### {title}\n\n| {} |", names.join(" | "));
    let _ = writeln!(out, "|{}", "---|".repeat(names.len()));
    for peer in rows {
        let mut cells = vec![peer.title.clone()];
        let mut command = String::new();
        for (measure, _) in measures {
            match results.figure(&peer.name, *measure) {
                Some(figure) => {
                    cells.push(Spread(figure).to_string());
                    let short = figure.command.rsplit_once(" -- ");
                    command = short.map_or_else(|| figure.command.clone(), |(_, s)| s.to_owned());
                }
                None => cells.push(String::new()),
            }
        }
        let _ = writeln!(out, "| {} | `compare {command}` |", cells.join(" | "));
    }
    let _ = writeln!(out);
}

/// The ratios of `cargo bench`.
fn floors(out: &mut String, ratios: &BTreeMap<String, Ratio>) {
    if ratios.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "## Beside its floors\n\nA floor is the least that any implementation has to do, \
         straight-line code in `bench/floors/`, measured in turn with ours in the same run. \
         Everything: `cargo bench`; one: the command of its row. In parentheses is the spread: the \
         middle nine tenths of the ratios of all blocks, both sides set up anew several times in each of \
         three laps through all parts, and at least 3 % either side, by which two processes of one \
         build differ. Behind it are the blocks of each side, those that were measured and do not count \
         because nothing of them arrived, and what stands against the figure: *few blocks* are fewer than {BLOCKS_LEAST} (high \
         percentiles need many values for each), and where *its middles have another ratio* the medians of both sides are \
         more than {:.0} % off the median of the blocks' ratios. \
         `compare repeats FIRST SECOND` says of the `ratios.json` of two runs whether the second \
         one's ratios lie within the spread of the first.\n\n\
         | figure | ours | floor | ratio | blocks | commit | command |\n|---|---|---|---|---|---|---|",
        MIDDLES_APART_MAX * 100.0
    );
    for (name, ratio) in ratios {
        let quick = match ratio.effort == "quick" {
            true => "SKEIN_BENCH=quick ",
            false => "",
        };
        let [ours, floor] = sides(ratio);
        let (middle, blocks, commit) = (middle(ratio), blocks(ratio), &ratio.commit);
        let _ = writeln!(
            out,
            "| `{name}` | {ours} | {floor} | {middle} | {blocks} | {commit} | `{quick}cargo bench -- {name}` |"
        );
    }
    let _ = writeln!(out);
}

/// Both values, if they are published.
fn sides(ratio: &Ratio) -> [String; 2] {
    if ratio.flagged {
        return [String::new(), String::new()];
    }
    let amount = |value| Amount(value, &ratio.unit).to_string();
    [
        amount(ratio.ours),
        ratio.floor.map(amount).unwrap_or_default(),
    ]
}

/// The ratio and its spread, if they are published.
fn middle(ratio: &Ratio) -> String {
    match (ratio.ratio, ratio.stated_spread()) {
        (Some(_), _) if ratio.flagged => "not published: the floor is off its range".to_owned(),
        (Some(middle), Some([low, high])) => format!("{middle:.3} ({low:.3} to {high:.3})"),
        (Some(middle), None) => format!("{middle:.3}"),
        (None, _) => String::new(),
    }
}

/// What the figure rests on, and what stands against it.
fn blocks(ratio: &Ratio) -> String {
    let blocks = ratio.blocks.map(|count| count.to_string());
    let dropped = (ratio.dropped > 0).then(|| format!("{} dropped", ratio.dropped));
    let doubts = ratio.doubts.iter().map(|doubt| format!("**{doubt}**"));
    let all: Vec<String> = blocks.into_iter().chain(dropped).chain(doubts).collect();
    all.join(", ")
}

/// That the ratios change when the code becomes worse.
fn noticed(out: &mut String, effects: &Effects) {
    let _ = writeln!(
        out,
        "## That the figures notice\n\nBuilds that are worse on purpose, each beside the build as it is: a ratio has to \
         change by {CHANGE_MIN} or more. `cargo run -p skein-bench --bin sabotage`, at {} on commit {}.\n\n{effects}",
        effects.at, effects.commit
    );
}

fn settings(out: &mut String, results: &Results) {
    let _ = writeln!(out, "## How everybody is set up\n");
    for peer in &results.peers {
        let _ = write!(
            out,
            "- **{}** (`{}`): {}",
            peer.title, peer.name, peer.settings
        );
        if !peer.trouble.is_empty() {
            // One line of it, whatever a server had to say.
            let trouble = peer.trouble.lines().next().unwrap_or_default();
            let _ = write!(out, ". *{trouble}*");
        }
        let _ = writeln!(out);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::floors;

    #[test]
    fn what_a_figure_rests_on_and_what_stands_against_it_is_shown() {
        let text = r#"{"a": {"ours": 2, "unit": "us", "floor": 1, "ratio": 1.5, "spread": [1, 3], "blocks": 9,
            "dropped": 2, "doubts": ["few_blocks", "middles_apart"]},
            "b": {"ours": 2, "unit": "us", "floor": 1, "ratio": 2, "spread": [1, 3], "blocks": 42, "flagged": true},
            "c": {"ours": 2, "unit": "us", "doubts": ["skipped"]}}"#;
        let ratios: BTreeMap<_, _> = serde_json::from_str(text).expect("ratios");
        let mut page = String::new();
        floors(&mut page, &ratios);
        for row in [
            "| 1.500 (1.000 to 3.000) | 9, 2 dropped, **few blocks**, **its middles have another ratio** |",
            "| `b` |  |  | not published: the floor is off its range | 42 |",
            "| `c` | 2.00 us |  |  | **not all was delivered** |",
        ] {
            assert!(page.contains(row), "{page}");
        }
    }
}
