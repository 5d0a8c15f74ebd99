//! What charts of this project have in common: SVG, lines with a legend, a pale mesh.

use anyhow::anyhow;
use plotters::chart::ChartContext;
use plotters::coord::Shift;
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;

/// Lines of the mesh between its numbers.
pub const MESH: RGBColor = RGBColor(0xee, 0xee, 0xee);

/// Where something is drawn.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A chart with coordinates.
pub type Chart<'a, X, Y> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>;

/// What comes of drawing.
pub type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// One line of a chart.
pub struct Line {
    /// Its name in the legend.
    pub label: String,
    /// Its colour.
    pub colour: RGBColor,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
    /// Pixels of the dot at each point; 0 = none.
    pub dots: u32,
}

/// A white picture of so many pixels with something on it, as SVG.
///
/// # Errors
/// When the plotting library refuses, which is a fault of this program.
pub fn svg(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> anyhow::Result<String> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
    let drawn = area.fill(&WHITE).and_then(|()| draw(&area));
    let drawn = drawn.and_then(|()| area.present());
    drawn.map_err(|error| anyhow!("the plot failed: {error}"))?;
    drop(area);
    Ok(text)
}

/// Draws lines, and a legend that names them.
///
/// # Errors
/// When the plotting library refuses.
pub fn lines<X, Y>(chart: &mut Chart<'_, X, Y>, lines: Vec<Line>) -> Drawn
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    for line in lines {
        let style = line.colour.stroke_width(2);
        let series = LineSeries::new(line.points, style).point_size(line.dots);
        chart
            .draw_series(series)?
            .label(line.label)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
}
