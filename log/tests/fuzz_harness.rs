//! The harness of the fuzz targets with a bounded number of inputs, without libFuzzer: random ones,
//! right ones that a change or two makes wrong, and the seeds that libFuzzer begins with.

mod common;

#[path = "../fuzz/harness.rs"]
mod harness;

use std::fs;
use std::path::{Path, PathBuf};

use common::Seeded;
use harness::Taken;

/// Inputs of each target.
const INPUTS: u64 = 1_500;

/// Kinds of batches, as they lie in the log.
const DATA: u8 = 0;
const GAP: u8 = 1;
const SPARSE: u8 = 2;

/// Edits of files at random.
fn edits(seeded: &mut Seeded) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..seeded.below(6) {
        let count = seeded.below(64) as u8;
        bytes.extend((seeded.next() as u32).to_le_bytes());
        // Small numbers are more like what is there.
        let small = seeded.below(2) == 0;
        let bound = if small { 3 } else { 256 };
        bytes.extend((0..count).map(|_| seeded.below(bound) as u8));
    }
    bytes
}

/// Batches that are right, one behind the other, in the form of the harness.
struct Batches {
    bytes: Vec<u8>,
    /// Where something lies that decides how the rest is read.
    joints: Vec<usize>,
    records: u64,
    /// Where the next one begins, and where the harness takes it to begin.
    next: u64,
    expected: u64,
}

impl Batches {
    /// What has to come of them.
    fn taken(&self) -> Taken {
        Taken {
            records: self.records,
            corrupt: false,
        }
    }

    fn new() -> Batches {
        let from = harness::batches_from();
        Batches {
            bytes: Vec::new(),
            joints: Vec::new(),
            records: 0,
            next: from,
            expected: from,
        }
    }

    fn some(seeded: &mut Seeded) -> Batches {
        let mut batches = Batches::new();
        for _ in 0..1 + seeded.below(6) {
            match seeded.below(4) {
                0 => batches.gap(1 + seeded.below(20)),
                1 => batches.sparse(seeded),
                _ => batches.data(seeded),
            }
        }
        batches
    }

    /// `span`: offsets for which the batch stands.
    fn push(&mut self, kind: u8, count: u64, span: u64, body: &[u8]) {
        let step = self.next - self.expected;
        let small = |number: u64| u8::try_from(number).expect("small");
        let start = self.bytes.len();
        // The head, and the first number of the body.
        self.joints.extend(start..start + 6);
        self.bytes
            .extend([kind, small(count), small(step), small(body.len() as u64)]);
        self.bytes.extend(body);
        self.expected = self.next + count;
        self.next += span;
        self.records += count;
    }

    fn data(&mut self, seeded: &mut Seeded) {
        let count = 1 + seeded.below(3);
        let body: Vec<u8> = (0..count).flat_map(|_| record(seeded)).collect();
        self.push(DATA, count, count, &body);
    }

    fn gap(&mut self, span: u64) {
        let end = u128::from(self.next + span);
        self.push(GAP, 0, span, &end.to_le_bytes());
    }

    fn sparse(&mut self, seeded: &mut Seeded) {
        let span = 1 + seeded.below(6);
        let held: Vec<u64> = (0..span).filter(|_| seeded.below(2) == 0).collect();
        let held = &held[..held.len().min(3)];
        let mut body = (self.next + span).to_le_bytes().to_vec();
        body.extend(held.iter().flat_map(|it| (*it as u32).to_le_bytes()));
        body.resize(body.len().next_multiple_of(8), 0);
        body.extend(held.iter().flat_map(|_| record(seeded)));
        self.push(SPARSE, held.len() as u64, span, &body);
    }
}

/// A record with a payload, padded.
fn record(seeded: &mut Seeded) -> Vec<u8> {
    let payload = seeded.below(40) as u16;
    let mut bytes = payload.to_le_bytes().to_vec();
    bytes.extend((0..14 + payload).map(|_| seeded.next() as u8));
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// Changes a byte or two, most often where it counts.
fn break_some(batches: &mut Batches, seeded: &mut Seeded) {
    for _ in 0..1 + seeded.below(2) {
        let any = seeded.below(batches.bytes.len() as u64) as usize;
        let joint = batches.joints[seeded.below(batches.joints.len() as u64) as usize];
        let place = if seeded.below(4) == 0 { any } else { joint };
        let value = &mut batches.bytes[place];
        *value = match seeded.below(3) {
            0 => 0,
            1 => value.wrapping_add(1),
            _ => seeded.next() as u8,
        };
    }
}

#[test]
fn edits_of_files_are_survived() {
    for seed in 0..INPUTS {
        harness::recovery(&edits(&mut Seeded::new(seed)));
    }
}

#[test]
fn batches_that_are_right_are_read_as_a_whole() {
    for seed in 0..INPUTS / 3 {
        let batches = Batches::some(&mut Seeded::new(seed));
        let taken = harness::batches(&batches.bytes);
        assert_eq!(taken, batches.taken(), "seed {seed}");
    }
}

#[test]
fn batches_that_are_nearly_right_are_survived() {
    let (mut made, mut found, mut whole) = (0, 0, 0);
    for seed in 0..INPUTS {
        let mut seeded = Seeded::new(seed);
        let mut batches = Batches::some(&mut seeded);
        break_some(&mut batches, &mut seeded);
        let taken = harness::batches(&batches.bytes);
        made += batches.records;
        found += taken.records;
        whole += u64::from(taken == batches.taken());
    }
    // Some go on as if nothing was, some lose everything behind the change.
    assert!(found > made / 4, "{found} of {made} records are parsed");
    assert!(whole < INPUTS * 3 / 4, "{whole} of {INPUTS} notice nothing");
}

#[test]
fn batches_of_any_content_are_survived() {
    for seed in 0..INPUTS {
        let mut seeded = Seeded::new(seed);
        let mut bytes = edits(&mut seeded);
        if let Some(kind) = bytes.first_mut() {
            *kind %= 4;
        }
        harness::batches(&bytes);
    }
}

#[test]
fn a_table_that_lists_more_than_the_batch_stands_for_is_damage() {
    let mut batches = Batches::new();
    let end = batches.next + 1;
    let mut body = end.to_le_bytes().to_vec();
    body.extend([0_u32, 1].iter().flat_map(|offset| offset.to_le_bytes()));
    body.extend([0; 16]);
    batches.push(SPARSE, 2, 1, &body);
    let taken = harness::batches(&batches.bytes);
    assert_eq!(taken.records, 0, "its records can't be told apart");
}

#[test]
fn what_is_no_batch_between_batches_keeps_nobody_from_reading_on() {
    let mut seeded = Seeded::new(3);
    let mut batches = Batches::new();
    batches.data(&mut seeded);
    // None has no records; the next one has its offset.
    batches.push(DATA, 0, 0, &record(&mut seeded));
    batches.data(&mut seeded);
    batches.gap(5);
    let taken = harness::batches(&batches.bytes);
    assert_eq!(taken.records, batches.records);
    assert!(taken.corrupt, "it was between durable ones");
}

/// The folder of the seeds of a target.
fn seeds(target: &str) -> PathBuf {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    fuzz.join("seeds").join(target)
}

/// What libFuzzer begins with for the target `batches`, and how many records are in it.
fn batch_seeds() -> Vec<(&'static str, Batches)> {
    let make = |number: u64, fill: fn(&mut Batches, &mut Seeded)| {
        let mut batches = Batches::new();
        fill(&mut batches, &mut Seeded::new(number));
        batches
    };
    vec![
        ("data", make(1, |it, seeded| it.data(seeded))),
        ("gap", make(2, |it, _| it.gap(7))),
        ("sparse", make(9, |it, seeded| it.sparse(seeded))),
        ("several", Batches::some(&mut Seeded::new(27))),
    ]
}

/// Edits for the target `recovery`: file · place · count · bytes. The files are in the order of their
/// names: durable mark, the two segments, the state, the identity.
const EDIT_SEEDS: &[(&str, &[u8])] = &[
    ("a_length", &[1, 0, 0, 4, 0xFF, 0, 0, 0]),
    ("a_body", &[2, 48, 0, 2, 1, 2]),
    ("a_header_page", &[2, 24, 0x80, 8, 1, 0, 0, 0, 0, 0, 0, 0]),
    (
        "a_mark_and_a_state",
        &[0, 12, 0x80, 1, 9, 3, 16, 0x80, 1, 9],
    ),
];

#[test]
fn the_seeds_are_what_they_say() {
    for (name, batches) in batch_seeds() {
        let bytes = fs::read(seeds("batches").join(name)).expect("a seed");
        assert_eq!(bytes, batches.bytes, "{name}");
        assert_eq!(harness::batches(&bytes), batches.taken(), "{name}");
    }
    for (name, edits) in EDIT_SEEDS {
        let bytes = fs::read(seeds("recovery").join(name)).expect("a seed");
        assert_eq!(bytes, *edits, "{name}");
        harness::recovery(&bytes);
    }
}

#[test]
#[ignore = "writes the seeds into the tree, for a change of the harness"]
fn make_the_seeds() {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(seeds(target)).expect("make the folder");
        fs::write(seeds(target).join(name), bytes).expect("write");
    };
    for (name, batches) in batch_seeds() {
        assert_eq!(harness::batches(&batches.bytes), batches.taken(), "{name}");
        write("batches", name, &batches.bytes);
    }
    for (name, edits) in EDIT_SEEDS {
        write("recovery", name, edits);
    }
}
