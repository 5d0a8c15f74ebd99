//! An append allocates nothing as long as its segment has room, and neither does a follower.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn appending_and_following_allocate_nothing() {
    let options = Options {
        partitions: 1,
        segment_bytes_min: 4 << 20,
        ..Options::default()
    };
    let (mut log, _) = Log::open(MemoryStorage::new(), options, 0, 1).expect("open");
    let mut writer = log.take_writer(PartitionId(0)).expect("writer");
    let mut reader = log.reader(PartitionId(0));
    let payload = [7; 64];
    let records = [Record {
        payload: &payload,
        ..Record::default()
    }; 64];
    writer
        .append(0, &records)
        .expect("the first append begins the epoch and makes a segment");
    while reader.next_batch().expect("read").is_some() {}

    let sizes = [payload.len(); 64];
    let made = |size: &usize| Record {
        payload: &payload[..*size],
        ..Record::default()
    };
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let mut seen = 0_u64;
    for round in 0..500 {
        match round % 2 {
            0 => writer.append(round, &records),
            _ => writer.append_from(round, sizes.iter().map(made)),
        }
        .expect("append");
        while let Some(batch) = reader.next_batch().expect("read") {
            seen += batch
                .records()
                .map(|(_, record)| record.payload.len() as u64)
                .sum::<u64>();
        }
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
    assert_eq!(seen, 500 * 64 * 64);
    assert_eq!(log.stats().segments, 1, "the segment had room");
}
