//! The harness of the fuzz targets with a bounded number of inputs: damaged samples, without libFuzzer.

#[path = "../fuzz/harness.rs"]
mod harness;
mod samples;

use skein_wire::frame::{encode_request, encode_update};
use skein_wire::update::Update;

/// Inputs of each target.
const INPUTS: u64 = 20_000;

/// Numbers from a seed (splitmix64), so that a failing input has a name.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }

    /// A sample with some bytes changed, taken out or put in.
    fn damaged(&mut self, samples: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = samples[self.below(samples.len())].clone();
        for _ in 0..self.below(4) {
            let (at, value) = (self.below(bytes.len()), self.below(256) as u8);
            match self.below(3) {
                0 if !bytes.is_empty() => bytes[at] = value,
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                _ => bytes.insert(at, value),
            }
        }
        bytes
    }
}

/// Frames without their lengths.
fn bodies() -> Vec<Vec<u8>> {
    let requests = samples::requests().into_iter().map(|(_, request)| {
        let mut bytes = Vec::new();
        encode_request(&request, &mut bytes);
        bytes
    });
    let updates = samples::updates().into_iter().map(|(_, update)| {
        let mut bytes = Vec::new();
        encode_update(&update, &mut bytes);
        bytes
    });
    let whole: Vec<Vec<u8>> = requests.chain(updates).collect();
    let cut = |frame: &Vec<u8>| frame[1 << (frame[0] >> 6)..].to_vec();
    let cut: Vec<Vec<u8>> = whole.iter().map(cut).collect();
    [whole, cut].concat()
}

#[test]
fn frames_of_any_content_are_survived() {
    let bodies = bodies();
    let mut dice = Dice(1);
    for _ in 0..INPUTS {
        harness::frames(&dice.damaged(&bodies));
    }
}

#[test]
fn rows_of_any_content_are_survived() {
    let story = samples::story().into_iter();
    let batches: Vec<Vec<u8>> = story
        .filter_map(|(_, bytes)| {
            let body = bytes[1 << (bytes[0] >> 6)..].to_vec();
            let update = skein_wire::frame::decode_update(body.into()).ok()??;
            match update {
                Update::Batch(body) => Some(body.to_vec()),
                _ => None,
            }
        })
        .collect();
    assert!(!batches.is_empty(), "the story has batches");
    let mut dice = Dice(2);
    for _ in 0..INPUTS {
        harness::rows(&dice.damaged(&batches));
    }
}
