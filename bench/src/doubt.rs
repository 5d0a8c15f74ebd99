//! What stands against a figure: it is written down and shown all the same, but marked, and no budget is
//! judged by it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Blocks that a ratio should have at least.
pub const BLOCKS_LEAST: usize = 20;

/// How far the ratio of the middles may be from the middle of the ratios, as a part of it. Neighbouring
/// blocks that see the same mood of the machine give nearly the same; where they do not, some blocks were
/// measured in another one than their neighbours.
pub const MIDDLES_APART_MAX: f64 = 0.1;

/// One reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// There are fewer blocks than [`BLOCKS_LEAST`].
    FewBlocks,
    /// The middles of both sides have another ratio than the blocks: [`MIDDLES_APART_MAX`].
    MiddlesApart,
    /// Not all was delivered that the figure claims.
    Skipped,
}

impl Doubt {
    /// What stands against a ratio of blocks, beside the middles of both sides.
    pub fn of_ratio(blocks: usize, ours: f64, floor: f64, ratio: f64) -> Vec<Self> {
        let least = 1.0 - MIDDLES_APART_MAX;
        // What is no number is not within the range either.
        let apart = !(least..=1.0 + MIDDLES_APART_MAX).contains(&(ours / floor / ratio));
        [
            (blocks < BLOCKS_LEAST, Self::FewBlocks),
            (apart, Self::MiddlesApart),
        ]
        .into_iter()
        .filter_map(|(holds, doubt)| holds.then_some(doubt))
        .collect()
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FewBlocks => "few blocks",
            Self::MiddlesApart => "its middles have another ratio",
            Self::Skipped => "not all was delivered",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Doubt;

    #[test]
    fn few_blocks_and_middles_apart_are_told() {
        use Doubt::{FewBlocks, MiddlesApart};
        for (blocks, ours, floor, ratio, expected) in [
            (20, 2.0, 1.0, 2.0, &[][..]),
            (19, 2.0, 1.0, 2.0, &[FewBlocks]),
            (20, 2.0, 1.0, 1.83, &[]),
            (20, 2.0, 1.0, 1.8, &[MiddlesApart]),
            (20, 2.0, 1.0, 2.2, &[]),
            (20, 2.0, 1.0, 2.3, &[MiddlesApart]),
            (3, 2.0, 0.0, 2.0, &[FewBlocks, MiddlesApart]),
        ] {
            let found = Doubt::of_ratio(blocks, ours, floor, ratio);
            assert_eq!(found, expected, "{blocks} {ours} {floor} {ratio}");
        }
    }
}
