//! Sees that the benches notice what they should: builds them with a sabotage, measures the ratio
//! concerned, and fails unless it differs from the honest build's by half or more.
//!
//! `cargo run -p skein-bench --bin sabotage`; a few minutes, most of them compiling.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

use serde_json::Value;
use skein_bench::ratios_file::VARIABLE;

/// Least change that counts as noticed.
const CHANGE_MIN: f64 = 1.5;

/// What is done to the code, and the ratio that has to show it.
struct Sabotage {
    feature: &'static str,
    ratio: &'static str,
}

const SABOTAGES: &[Sabotage] = &[
    Sabotage {
        feature: "sabotage-pass-sleep",
        ratio: "first_viewer_p50",
    },
    Sabotage {
        feature: "sabotage-pass-sleep",
        ratio: "last_of_100_p50",
    },
    Sabotage {
        feature: "sabotage-pass-ticker",
        ratio: "first_viewer_p50",
    },
    Sabotage {
        feature: "sabotage-crc-per-record",
        ratio: "log_append_64B_batched",
    },
];

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    // All honest ratios first: each change of features is a build.
    let honest: Vec<Option<f64>> = SABOTAGES
        .iter()
        .map(|sabotage| measure(folder.path(), None, sabotage.ratio))
        .collect();
    let mut noticed = true;
    for (sabotage, honest) in SABOTAGES.iter().zip(honest) {
        let Sabotage { feature, ratio } = sabotage;
        let (Some(honest), Some(changed)) = (honest, measure(folder.path(), Some(feature), ratio))
        else {
            println!("{feature}: {ratio} was not measured");
            noticed = false;
            continue;
        };
        let change = (honest / changed).max(changed / honest);
        let verdict = match change >= CHANGE_MIN {
            true => "noticed",
            false => "NOT NOTICED",
        };
        println!("{feature}: {ratio} {honest:.3} -> {changed:.3}, {change:.2}x: {verdict}");
        noticed &= change >= CHANGE_MIN;
    }
    match noticed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// One ratio of a build with a feature, or of the honest one.
fn measure(folder: &Path, feature: Option<&str>, ratio: &str) -> Option<f64> {
    let path = folder.join(format!("{}-{ratio}.json", feature.unwrap_or("honest")));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["bench", "-p", "skein-bench"]);
    command.args(feature.map(|feature| format!("--features={feature}")));
    command.args(["--", ratio]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env(VARIABLE, &path).env("SKEIN_BENCH", "quick");
    let status = command.status().expect("cargo is there");
    if !status.success() {
        return None;
    }
    let text = std::fs::read_to_string(&path).ok()?;
    let all: Value = serde_json::from_str(&text).ok()?;
    all[ratio]["ratio"].as_f64()
}
