//! Sees that the benches notice what they should: builds them with a sabotage, measures the ratio
//! concerned, and fails unless it differs from the honest build's by half or more.
//!
//! `cargo run -p skein-bench --bin sabotage [-- --json FILE]`; some minutes, most of them compiling. What it
//! finds is printed as a table in Markdown, and written to `sabotage.json` in the folder of builds unless
//! another file is given; `compare report` takes it from there.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use skein_bench::commit::commit;
use skein_bench::ratios_file::VARIABLE;
use skein_bench::sabotage::{Effect, Effects, FILE, SABOTAGES, Sabotage};
use skein_bench::{folders, utc};

fn main() -> ExitCode {
    match work() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether all were noticed.
fn work() -> Result<bool> {
    let path = json(env::args().skip(1))?;
    let effects = Effects {
        at: utc::now(),
        commit: commit(),
        effects: try_all()?,
    };
    print!("{effects}");
    effects.write(&path)?;
    eprintln!("written to {}", path.display());
    Ok(effects.all_noticed())
}

/// Where the results go.
fn json(mut arguments: impl Iterator<Item = String>) -> Result<PathBuf> {
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Ok(folders::target().join(FILE)),
        (Some("--json"), Some(path)) => Ok(path.into()),
        _ => bail!("usage: sabotage [--json FILE]"),
    }
}

fn try_all() -> Result<Vec<Effect>> {
    let folder = tempfile::tempdir().context("a folder for temporary files")?;
    let measure = |feature, ratio| measure(folder.path(), feature, ratio);
    // All honest ratios first: each change of features is a build.
    let honest = SABOTAGES.iter().map(|it| measure(None, it.ratio));
    let honest: Vec<Option<f64>> = honest.collect::<Result<_>>()?;
    let effect = |(sabotage, honest): (&Sabotage, Option<f64>)| {
        Ok(Effect {
            feature: sabotage.feature.to_owned(),
            does: sabotage.does.to_owned(),
            ratio: sabotage.ratio.to_owned(),
            honest,
            sabotaged: measure(Some(sabotage.feature), sabotage.ratio)?,
        })
    };
    SABOTAGES.iter().zip(honest).map(effect).collect()
}

/// One ratio of a build with a feature, or of the honest one; `None` if its bench fails.
fn measure(folder: &Path, feature: Option<&str>, ratio: &str) -> Result<Option<f64>> {
    let path = folder.join(format!("{}-{ratio}.json", feature.unwrap_or("honest")));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["bench", "-p", "skein-bench"]);
    command.args(feature.map(|feature| format!("--features={feature}")));
    command.args(["--", ratio]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env(VARIABLE, &path).env("SKEIN_BENCH", "quick");
    if !command.status().context("starting cargo")?.success() {
        return Ok(None);
    }
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let all: Value = serde_json::from_str(&text)?;
    Ok(all[ratio]["ratio"].as_f64())
}
