//! A run as a picture: latencies above, deliveries below, second by second.

use plotters::prelude::*;

use crate::chart::{Area, Drawn, Line, MESH, lines, svg};
use crate::latency::Percentiles;
use crate::summary::{SecondSummary, Summary};

/// Width and height, pixels.
const SIZE: (u32, u32) = (960, 640);

/// Space for the numbers on the left and below, pixels.
const LABELS: (u32, u32) = (70, 40);

/// The lowest latency that is drawn, milliseconds.
const LATENCY_MS_MIN: f64 = 0.01;

/// One line of the upper picture.
struct Latency {
    name: &'static str,
    colour: RGBColor,
    of: fn(&Percentiles) -> f64,
}

const LATENCIES: [Latency; 4] = [
    Latency {
        name: "p50",
        colour: RGBColor(0x1b, 0x7f, 0x4b),
        of: |latency| latency.p50,
    },
    Latency {
        name: "p90",
        colour: RGBColor(0x2b, 0x5f, 0xc4),
        of: |latency| latency.p90,
    },
    Latency {
        name: "p99",
        colour: RGBColor(0xd9, 0x82, 0x1b),
        of: |latency| latency.p99,
    },
    Latency {
        name: "max",
        colour: RGBColor(0xb5, 0x2a, 0x2a),
        of: |latency| latency.max,
    },
];

/// Draws it as SVG.
///
/// # Errors
/// When the plotting library refuses, which is a fault of this program.
pub fn draw(summary: &Summary) -> anyhow::Result<String> {
    svg(SIZE, |area| {
        let (upper, lower) = area.split_vertically(SIZE.1 * 6 / 10);
        draw_latencies(&upper, &summary.timeline)?;
        draw_deliveries(&lower, &summary.timeline)
    })
}

fn draw_latencies(area: &Area<'_>, seconds: &[SecondSummary]) -> Drawn {
    let max = seconds.iter().map(|second| second.latency.max);
    let top = max.fold(1.0, f64::max) * 2.0;
    let mut chart = ChartBuilder::on(area)
        .caption("latency from the intended time, ms", ("sans-serif", 18))
        .margin(8)
        .set_left_and_bottom_label_area_size(LABELS.0)
        .x_label_area_size(LABELS.1)
        .build_cartesian_2d(0.0..end(seconds), (LATENCY_MS_MIN..top).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .light_line_style(MESH)
        .draw()?;
    lines(
        &mut chart,
        LATENCIES.iter().map(|it| it.line(seconds)).collect(),
    )
}

impl Latency {
    fn line(&self, seconds: &[SecondSummary]) -> Line {
        let measured = seconds.iter().enumerate();
        let measured = measured.filter(|(_, second)| second.latency.count > 0);
        let point = |(index, second): (usize, &SecondSummary)| {
            let value = (self.of)(&second.latency).max(LATENCY_MS_MIN);
            (middle(index), value)
        };
        Line {
            label: self.name.to_owned(),
            colour: self.colour,
            points: measured.map(point).collect(),
            dots: 0,
        }
    }
}

fn draw_deliveries(area: &Area<'_>, seconds: &[SecondSummary]) -> Drawn {
    let max = seconds.iter().map(|second| second.delivered).max();
    let top = max.unwrap_or(0).max(1) as f64 * 1.1;
    let mut chart = ChartBuilder::on(area)
        .caption("positions delivered per second", ("sans-serif", 18))
        .margin(8)
        .set_left_and_bottom_label_area_size(LABELS.0)
        .x_label_area_size(LABELS.1)
        .build_cartesian_2d(0.0..end(seconds), 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .y_label_formatter(&|count| crate::progress::count(*count as u64))
        .light_line_style(MESH)
        .draw()?;
    let points = seconds.iter().enumerate();
    let points = points.map(|(index, second)| (middle(index), second.delivered as f64));
    let style = RGBColor(0x2b, 0x5f, 0xc4).stroke_width(2);
    chart.draw_series(LineSeries::new(points, style))?;
    Ok(())
}

/// Where a second is drawn.
fn middle(index: usize) -> f64 {
    index as f64 + 0.5
}

fn end(seconds: &[SecondSummary]) -> f64 {
    seconds.len().max(1) as f64
}
