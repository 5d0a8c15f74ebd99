//! Looks at a log that another process may be writing: what its directory holds, and then what is
//! appended, until it is interrupted or nothing has come for a while.
//!
//! ```text
//! cargo run -p skein-log --example tail -- DIRECTORY [PARTITION] [QUIET SECONDS]
//! ```

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use skein_log::{InspectError, Inspector, OFFSET_FIRST, PartitionId};

/// How often it looks when there was nothing.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("which directory?")?;
    let partition = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let quiet = arguments.next().map_or(Ok(u64::MAX), |text| text.parse())?;
    let (partition, quiet) = (PartitionId(partition), Duration::from_secs(quiet));

    // No lock is taken and nothing is changed.
    let inspector = Inspector::open(&directory)?;
    for partition in inspector.stat()?.partitions {
        let segments = partition.segments.len();
        println!("{}: {segments} segments", partition.partition);
    }
    let mut tail = inspector.tail(partition, OFFSET_FIRST)?;
    let mut heard = Instant::now();
    while heard.elapsed() < quiet {
        match tail.next_batch() {
            Ok(Some(batch)) => {
                heard = Instant::now();
                for (offset, record) in batch.records() {
                    let text = String::from_utf8_lossy(record.payload);
                    println!("{offset}: kind {} key {}: {text}", record.kind, record.key);
                }
            }
            Ok(None) => thread::sleep(LOOK_INTERVAL),
            // A gap, or damage: the tail stands behind it.
            Err(InspectError::Read(error)) => println!("{error}"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
