//! Where a floor lies on each kind of machine that it was measured on.
//!
//! Kinds are told apart by the processor's maker, as `/proc/cpuinfo` names it: what differs between
//! neighbours of one kind is within the width of a range.

use std::fs;
use std::ops::Range;
use std::sync::OnceLock;

/// A floor's documented ranges.
#[derive(Clone, Debug)]
pub struct Expected {
    epyc: Range<f64>,
    xeon: Range<f64>,
}

impl Expected {
    /// On a virtual machine with two cores of an AMD EPYC (Zen 4 or 5), and on one with two cores of an
    /// Intel Xeon (Sapphire Rapids or later), both with Linux 6.18.
    pub const fn new(epyc: Range<f64>, xeon: Range<f64>) -> Self {
        Self { epyc, xeon }
    }

    /// On both kinds of machine the same.
    pub const fn anywhere(range: Range<f64>) -> Self {
        Self::new(range.start..range.end, range)
    }

    /// On this machine. One of neither maker is held to the first range: where it lies elsewhere,
    /// its ratios are flagged until somebody documents it.
    pub fn here(&self) -> Range<f64> {
        self.on(cpuinfo())
    }

    fn on(&self, cpuinfo: &str) -> Range<f64> {
        match cpuinfo.contains("GenuineIntel") {
            true => self.xeon.clone(),
            false => self.epyc.clone(),
        }
    }
}

fn cpuinfo() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use crate::floors::expected::Expected;

    #[test]
    fn the_processor_decides() {
        let expected = Expected::new(1.0..2.0, 3.0..4.0);
        for (cpuinfo, range) in [
            ("vendor_id\t: GenuineIntel\n", 3.0..4.0),
            ("vendor_id\t: AuthenticAMD\n", 1.0..2.0),
            ("", 1.0..2.0),
        ] {
            assert_eq!(expected.on(cpuinfo), range, "{cpuinfo:?}");
        }
    }
}
