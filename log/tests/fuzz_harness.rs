//! The harness of the fuzz targets with a bounded number of random inputs, without libFuzzer.

mod common;

#[path = "../fuzz/harness.rs"]
mod harness;

use common::Seeded;

/// Inputs of each target.
const INPUTS: u64 = 1_500;

fn input(seeded: &mut Seeded, batch_like: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..seeded.below(6) {
        let count = seeded.below(64) as u8;
        if batch_like {
            bytes.extend([seeded.below(4) as u8, seeded.below(4) as u8, 0, count]);
        } else {
            bytes.extend((seeded.next() as u32).to_le_bytes());
        }
        // Small numbers are more like what is there.
        let small = seeded.below(2) == 0;
        let bound = if small { 3 } else { 256 };
        bytes.extend((0..count).map(|_| seeded.below(bound) as u8));
    }
    bytes
}

#[test]
fn edits_of_files_are_survived() {
    for seed in 0..INPUTS {
        harness::recovery(&input(&mut Seeded::new(seed), false));
    }
}

#[test]
fn batches_of_any_content_are_survived() {
    for seed in 0..INPUTS {
        harness::batches(&input(&mut Seeded::new(seed), true));
    }
}
