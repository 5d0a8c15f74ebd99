//! Floor of parsing a batch: rows of fixed width unpacked into a vector, without checks.
//!
//! It leaves out what a batch has to have: where a field lies is known before the one before it was read, and
//! every bit pattern is a row. Ours finds the length of each number in its first byte, asks whether the bytes
//! are there, whether the flags agree with each other and place and time are possible, and gives rows that own
//! what they have: some 200 bytes each, where one here has 12. A format of 10 bytes a row instead of 12 with
//! none of these is not to be had; the ratio says what they cost together, and no one is meant to reach it.
//!
//! Expected: 0.95 to 2 ns a row on an AMD EPYC (Zen 4 or 5).
//!
//! On an Intel Xeon the same.

use crate::floors::expected::Expected;
use crate::floors::pack_rows::{PlainRow, ROW_BYTES};

/// Where the time of a row lies on the machine above, nanoseconds.
pub const EXPECTED: Expected = Expected::anywhere(0.95..2.0);

/// Unpacks all rows.
#[inline(never)]
pub fn unpack(bytes: &[u8], out: &mut Vec<PlainRow>) {
    out.clear();
    for row in bytes.as_chunks::<ROW_BYTES>().0 {
        out.push(PlainRow {
            gap: row[0],
            counter: row[1],
            age_ms: u16::from_le_bytes([row[2], row[3]]),
            lat_e6: i16::from_le_bytes([row[4], row[5]]),
            lon_e6: i16::from_le_bytes([row[6], row[7]]),
            motion: [row[8], row[9], row[10], row[11]],
        });
    }
}

#[cfg(test)]
mod tests {
    use super::unpack;
    use crate::floors::pack_rows::{PlainRow, pack};

    #[test]
    fn both_floors_speak_of_the_same_rows() {
        let rows: Vec<PlainRow> = (0..100)
            .map(|index| PlainRow {
                gap: 7,
                counter: index as u8,
                age_ms: 60 * index as u16,
                lat_e6: -150 * index,
                lon_e6: 99 * index,
                motion: [1, 2, 3, 4],
            })
            .collect();
        let (mut bytes, mut read) = (Vec::new(), Vec::new());
        pack(&rows, &mut bytes);
        unpack(&bytes, &mut read);
        assert_eq!(read, rows);
    }
}
