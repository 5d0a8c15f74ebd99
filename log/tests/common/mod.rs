//! What several tests of the log share: small options, records that know what they are, seeds.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod fixture;
#[path = "../../../tests/src/skip.rs"]
pub mod skip;
pub mod watched;

use skein_log::{Log, Options, PartitionId, ReadError, Reader, Record};

/// Options with small segments, so that rolls are frequent.
pub fn options(partitions: u16) -> Options {
    Options {
        partitions,
        segment_bytes_min: 64 << 10,
        segment_bytes_max: 256 << 10,
        disk_reserve_bytes: 0,
        pretouch_window_bytes: 64 << 10,
        ..Options::default()
    }
}

/// Random numbers from a seed (xorshift; its quality does not matter here).
pub struct Seeded(u64);

impl Seeded {
    pub fn new(seed: u64) -> Seeded {
        Seeded(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }
}

/// A payload that is different for every (stamp, length).
pub fn payload(stamp: u64, bytes: usize) -> Vec<u8> {
    let mut seeded = Seeded::new(stamp);
    let mut payload = stamp.to_le_bytes().to_vec();
    while payload.len() < bytes {
        payload.extend_from_slice(&seeded.next().to_le_bytes());
    }
    payload.truncate(bytes.max(8));
    payload
}

/// Records of keys and payloads.
pub fn keyed(records: &[(u32, Vec<u8>)]) -> Vec<Record<'_>> {
    let records = records.iter();
    records
        .map(|(key, payload)| Record {
            key: *key,
            payload,
            ..Record::default()
        })
        .collect()
}

/// Appends payloads as one batch.
pub fn append(writer: &mut skein_log::Writer, now_ms: u64, payloads: &[Vec<u8>]) -> u64 {
    let records: Vec<Record<'_>> = payloads
        .iter()
        .enumerate()
        .map(|(index, payload)| Record {
            key: index as u32 / 3,
            payload,
            ..Record::default()
        })
        .collect();
    *writer.append(now_ms, &records).expect("append").end()
}

/// Appends one small record per call, `count` times.
pub fn append_many(writer: &mut skein_log::Writer, count: u64, bytes: usize) {
    for _ in 0..count {
        let stamp = writer.next_offset();
        append(writer, stamp, &[payload(stamp, bytes)]);
    }
}

/// A record as it was read: offset and payload.
pub type Read = (u64, Vec<u8>);

/// Everything a reader gets from its place on: records, and gaps as (from, next).
pub fn drain(reader: &mut Reader) -> (Vec<Read>, Vec<(u64, u64)>) {
    let (mut records, mut gaps) = (Vec::new(), Vec::new());
    loop {
        match reader.next_batch() {
            Ok(Some(batch)) => {
                records.extend(
                    batch
                        .records()
                        .map(|(o, record)| (o, record.payload.to_vec())),
                );
            }
            Ok(None) => return (records, gaps),
            Err(ReadError::Gap { from, next, .. }) => gaps.push((from, next)),
            Err(other) => panic!("{other}"),
        }
    }
}

/// All records of a partition, which has no gap behind its first record.
pub fn all(log: &Log, partition: u16) -> Vec<Read> {
    let mut reader = log.reader(PartitionId(partition));
    reader.set_verify(true);
    reader.seek(reader.first_offset());
    let (records, gaps) = drain(&mut reader);
    assert!(gaps.is_empty(), "unexpected gaps {gaps:?}");
    records
}
