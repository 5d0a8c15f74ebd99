//! A thousand simulated runs with power failures, kills, loss and reordering; and the proof that
//! they would notice: with syncs that do nothing, and with acknowledgements before the sync, they fail.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use skein_tests::sim::server::Sabotage;
use skein_tests::sim::witness::Checked;
use skein_tests::sim::world::{Scenario, run};

/// Seeds of the honest run; half with one shard, half with two.
const SEEDS: u64 = 1_000;
/// Seeds within which a sabotaged server must have been caught.
const SEEDS_SABOTAGED: u64 = 60;

/// Runs seeds on all cores; gives the sum of what was checked and all violations.
fn run_seeds(seeds: u64, sabotage: Sabotage) -> (Checked, Vec<String>) {
    let next = AtomicU64::new(0);
    let workers = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        let worker = || {
            let (mut checked, mut violations) = (Checked::default(), Vec::new());
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds {
                    return (checked, violations);
                }
                let shards = 1 + (seed % 2) as u16;
                match run(Scenario {
                    seed,
                    shards,
                    sabotage,
                }) {
                    Ok(one) => checked.add(one),
                    Err(violation) => violations.push(violation),
                }
            }
        };
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        let mut total = (Checked::default(), Vec::new());
        for one in running {
            let (checked, violations) = one.join().expect("a run panicked");
            total.0.add(checked);
            total.1.extend(violations);
        }
        total
    })
}

#[test]
fn a_thousand_crashing_runs_keep_every_promise() {
    let (checked, violations) = run_seeds(SEEDS, Sabotage::default());
    assert!(
        violations.is_empty(),
        "{} runs failed:\n{}",
        violations.len(),
        violations.join("\n")
    );
    // A run that promises nothing keeps every promise: see that there was something to check.
    println!("{checked:?}");
    assert!(checked.power_cuts > SEEDS, "{checked:?}");
    assert!(checked.checkpoints > SEEDS, "{checked:?}");
    // A checkpoint must not call for the next one.
    assert!(checked.checkpoints < SEEDS * 50, "{checked:?}");
    assert!(checked.durable_points > SEEDS, "{checked:?}");
    assert!(checked.starts > SEEDS, "{checked:?}");
    assert!(checked.ends > SEEDS / 4, "{checked:?}");
    assert!(checked.points_seen > SEEDS * 10, "{checked:?}");
    assert!(checked.rows_compared > SEEDS, "{checked:?}");
    assert!(checked.near_rows_compared > SEEDS / 2, "{checked:?}");
    assert!(checked.map_rows_compared > SEEDS / 2, "{checked:?}");
    assert!(checked.counted_elsewhere > SEEDS / 2, "{checked:?}");
    assert!(checked.mirrors_compared > SEEDS / 2, "{checked:?}");
    assert!(checked.crossings > SEEDS * 2, "{checked:?}");
    assert!(checked.crossings_seen > SEEDS, "{checked:?}");
}

#[test]
fn syncs_that_do_nothing_are_caught() {
    let sabotage = Sabotage {
        sync_is_a_lie: true,
        ..Sabotage::default()
    };
    let (_, violations) = run_seeds(SEEDS_SABOTAGED, sabotage);
    assert!(
        !violations.is_empty(),
        "fdatasync does nothing, and nobody noticed"
    );
}

#[test]
fn acknowledgements_before_the_sync_are_caught() {
    let sabotage = Sabotage {
        acknowledge_before_sync: true,
        ..Sabotage::default()
    };
    let (_, violations) = run_seeds(SEEDS_SABOTAGED, sabotage);
    assert!(
        !violations.is_empty(),
        "acknowledgements come before the sync, and nobody noticed"
    );
}
