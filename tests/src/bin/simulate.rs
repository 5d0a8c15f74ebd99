//! Runs simulations by their seeds: `simulate 123`, or `simulate 0..1000`.

use std::ops::Range;
use std::process::ExitCode;

use skein_tests::sim::server::Sabotage;
use skein_tests::sim::witness::Checked;
use skein_tests::sim::world::{Scenario, run};

fn main() -> ExitCode {
    let Some(seeds) = std::env::args().nth(1).as_deref().and_then(parse) else {
        eprintln!("usage: simulate SEED | FIRST..LAST");
        return ExitCode::from(2);
    };
    let mut total = Checked::default();
    let mut failed = 0u64;
    for seed in seeds {
        for shards in [1, 2] {
            match run(Scenario {
                seed,
                shards,
                sabotage: Sabotage::default(),
            }) {
                Ok(checked) => total.add(checked),
                Err(violation) => {
                    println!("{violation}");
                    failed += 1;
                }
            }
        }
    }
    println!("{failed} failed; checked: {total:?}");
    ExitCode::from(u8::from(failed > 0))
}

fn parse(text: &str) -> Option<Range<u64>> {
    match text.split_once("..") {
        Some((first, last)) => Some(first.parse().ok()?..last.parse().ok()?),
        None => text.parse().ok().map(|seed| seed..seed + 1),
    }
}
