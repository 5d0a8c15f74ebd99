//! Puts the page and its plots where they belong.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use skein_bench::folders;
use skein_bench::sabotage::{self, Effects};

use crate::options::ReportOptions;
use crate::report::budgets::BUDGETS;
use crate::report::page::{CHAPTERS, Measured, page};
use crate::report::plot;
use crate::report::ratios;
use crate::report::reading::Reading;
use crate::report::scaling::{PLOTS, draw};
use crate::results::Results;
use crate::scale::Scale;

/// Name of the results in the folder of builds.
pub const RESULTS: &str = "compare.json";

/// Name of the results of growing crowds in the folder of builds.
pub const SCALE: &str = "scale.json";

/// Name of the ratios in the folder of builds.
const RATIOS: &str = "ratios.json";

/// Writes `BENCHMARKS.md` and `benchmarks/*.svg`; the files that were written.
///
/// # Errors
/// If the results or the reading are missing or not what they should be.
pub fn write(options: &ReportOptions) -> Result<Vec<PathBuf>> {
    let in_target = |path: &Option<PathBuf>, name: &str| {
        let path = path.clone();
        path.unwrap_or_else(|| folders::target().join(name))
    };
    let results = Results::read(&in_target(&options.results, RESULTS))?;
    let ratios = ratios::read(&in_target(&options.ratios, RATIOS))?;
    let scale = Scale::read(&in_target(&options.scale, SCALE))?;
    let sabotage = Effects::read(&in_target(&options.sabotage, sabotage::FILE))?;
    let plots = options.docs.join("benchmarks");
    let reading = plots.join("reading.md");
    let text = fs::read_to_string(&reading)
        .with_context(|| format!("{}: why the figures are what they are", reading.display()))?;
    let reading = Reading::parse(&text)?;
    for measure in reading.measures() {
        ensure!(
            CHAPTERS.iter().any(|chapter| chapter.key == measure)
                || BUDGETS.iter().any(|budget| budget.key() == measure),
            "nothing is measured that is called `{measure}`, of which the reading speaks"
        );
    }
    let mut written = Vec::new();
    let mut put = |path: PathBuf, text: String| -> Result<()> {
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        written.push(path);
        Ok(())
    };
    put(
        options.docs.join("BENCHMARKS.md"),
        page(&Measured {
            results: &results,
            ratios: &ratios,
            scale: scale.as_ref(),
            sabotage: sabotage.as_ref(),
            reading: &reading,
        }),
    )?;
    for chapter in CHAPTERS {
        let rows: Vec<_> = results.peers_with(chapter.measure).collect();
        if !rows.is_empty() {
            let path = plots.join(format!("{}.svg", chapter.key));
            put(path, plot::bars(chapter.title, &rows))?;
        }
    }
    if let Some(scale) = &scale {
        for plot in &PLOTS {
            put(plots.join(format!("{}.svg", plot.key)), draw(plot, scale)?)?;
        }
    }
    Ok(written)
}
