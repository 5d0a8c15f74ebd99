//! The section on how skein does with more viewers and more cores, and its plots.

use std::fmt::Write;

use anyhow::Result;
use plotters::prelude::*;
use skein_load::chart::{Area, Drawn, Line, MESH, lines, svg};

use crate::scale::{Scale, ScalePoint, Transport};
use crate::table::Amount;

/// Width and height of a plot, pixels.
const SIZE: (u32, u32) = (760, 380);

/// Space for the numbers on the left and below, pixels.
const LABELS: (u32, u32) = (80, 40);

/// Something that is drawn over the number of viewers.
pub struct ScalePlot {
    /// Name of the file without its ending.
    pub key: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Unit of its values.
    unit: &'static str,
    of: fn(&ScalePoint) -> f64,
}

/// All plots.
pub const PLOTS: [ScalePlot; 4] = [
    ScalePlot {
        key: "viewers_delivered",
        title: "Deliveries per second, over the number of viewers",
        unit: "/s",
        of: |point| point.delivered_per_s,
    },
    ScalePlot {
        key: "viewers_delivered_per_cpu",
        title: "Deliveries per second of the server's processor time, over the number of viewers",
        unit: "/CPU s",
        of: |point| point.delivered_per_cpu_s,
    },
    ScalePlot {
        key: "viewers_last_p50",
        title: "Publication to the last viewer, half of the publications, over the number of viewers",
        unit: "ms",
        of: |point| point.last_p50_ms,
    },
    ScalePlot {
        key: "viewers_memory",
        title: "Memory that a viewer adds to the server, over the number of viewers",
        unit: "B",
        of: |point| point.viewer_bytes,
    },
];

/// One line of each plot.
const LINES: [(Transport, usize, RGBColor); 4] = [
    (Transport::WebSocket, 1, RGBColor(0x1f, 0x6f, 0x8b)),
    (Transport::WebSocket, 2, RGBColor(0x7f, 0xb8, 0xcc)),
    (Transport::Quic, 1, RGBColor(0xc4, 0x5a, 0x1b)),
    (Transport::Quic, 2, RGBColor(0xe8, 0xa8, 0x7c)),
];

/// Writes the section.
pub fn section(out: &mut String, scale: &Scale) {
    // Writing to a string does not fail, here and below.
    let _ = writeln!(
        out,
        "## Over viewers and cores\n\nSkein alone, one sender, one chat: `cargo run --release -p skein-compare --bin compare -- \
         scale`, at {} on commit {}. The next position is published when every viewer has the last one. The loader is one \
         thread on the last core, so a server on two cores shares one with it: the second line of each transport says what a \
         second shard costs and brings on a machine of two, not what it would bring on a larger one. *Whole* is the share of \
         the publications that reached every viewer (a datagram may be lost), and the times are of those.\n",
        scale.at, scale.commit
    );
    for plot in &PLOTS {
        let _ = writeln!(out, "![{}](benchmarks/{}.svg)\n", plot.title, plot.key);
    }
    let _ = writeln!(
        out,
        "| viewers | transport | cores | joined | first, p50 | last, p50 | last, worst | whole | deliveries | per CPU second | \
         memory per viewer |\n|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for point in &scale.points {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {:.1} s | {} | {} | {} | {:.3} | {} | {} | {} |",
            point.viewers,
            point.transport.title(),
            point.cores,
            point.joined_s,
            Amount(point.first_p50_ms, "ms"),
            Amount(point.last_p50_ms, "ms"),
            Amount(point.last_worst_ms, "ms"),
            point.whole,
            Amount(point.delivered_per_s, "/s"),
            Amount(point.delivered_per_cpu_s, "/CPU s"),
            Amount(point.viewer_bytes, "B"),
        );
    }
    let _ = writeln!(out);
}

/// Draws one as SVG.
///
/// # Errors
/// When the plotting library refuses, which is a fault of this program.
pub fn draw(plot: &ScalePlot, scale: &Scale) -> Result<String> {
    svg(SIZE, |area| draw_on(area, plot, scale))
}

fn draw_on(area: &Area<'_>, plot: &ScalePlot, scale: &Scale) -> Drawn {
    let values = || {
        scale
            .points
            .iter()
            .map(plot.of)
            .filter(|value| *value > 0.0)
    };
    let low = values().fold(f64::INFINITY, f64::min).min(1e9);
    let high = values().fold(low, f64::max);
    let viewers = || scale.points.iter().map(|point| point.viewers as f64);
    let most = viewers().fold(2_000.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(plot.title, ("sans-serif", 15))
        .margin(8)
        .set_left_and_bottom_label_area_size(LABELS.0)
        .x_label_area_size(LABELS.1)
        .build_cartesian_2d(
            (800.0..most * 1.2).log_scale(),
            (low / 1.5..high * 1.5).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("viewers")
        .x_label_formatter(&|count| format!("{count:.0}"))
        .y_label_formatter(&|value| Amount(*value, plot.unit).to_string())
        .light_line_style(MESH)
        .draw()?;
    let measured = LINES.iter().map(|it| line(it, plot, scale));
    let measured = measured.filter(|line| !line.points.is_empty());
    lines(&mut chart, measured.collect())
}

fn line(
    &(transport, cores, colour): &(Transport, usize, RGBColor),
    plot: &ScalePlot,
    scale: &Scale,
) -> Line {
    let own = scale.points.iter();
    let own = own.filter(|it| it.transport == transport && it.cores == cores);
    Line {
        label: match cores {
            1 => format!("{}, one core", transport.title()),
            _ => format!("{}, two cores", transport.title()),
        },
        colour,
        points: own.map(|it| (it.viewers as f64, (plot.of)(it))).collect(),
        dots: 3,
    }
}

#[cfg(test)]
mod tests {
    use super::{PLOTS, draw, section};
    use crate::machine::Machine;
    use crate::scale::{Scale, ScalePoint, Transport};

    fn scale() -> Scale {
        let point = |viewers| ScalePoint {
            transport: Transport::Quic,
            cores: 1,
            viewers,
            joined_s: 1.0,
            first_p50_ms: 0.2,
            last_p50_ms: 8.0,
            last_worst_ms: 9.0,
            whole: 1.0,
            delivered_per_s: 80e3,
            delivered_per_cpu_s: 90e3,
            viewer_bytes: 20e3,
        };
        Scale {
            at: "2024-05-01T08:00:00Z".to_owned(),
            commit: "0123456789ab".to_owned(),
            machine: Machine::default(),
            points: [1_000, 100_000].map(point).into(),
        }
    }

    #[test]
    fn every_size_has_a_row_and_every_plot_its_line() {
        let mut page = String::new();
        section(&mut page, &scale());
        assert!(page.contains("| 100000 | QUIC | 1 |"), "{page}");
        for plot in &PLOTS {
            let svg = draw(plot, &scale()).expect("a plot");
            assert!(
                svg.contains("QUIC, one core") && svg.contains("polyline"),
                "{svg}"
            );
            assert!(svg.contains("over the number of viewers"), "{svg}");
            assert!(!svg.contains("WebSocket"), "nothing was measured of it");
        }
    }
}
