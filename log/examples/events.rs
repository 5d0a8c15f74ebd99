//! An event log in a directory: one thread appends and waits until what it promised is durable, another
//! follows as a named consumer, and the next start goes on where this one ended.
//!
//! ```text
//! cargo run -p skein-log --example events -- DIRECTORY
//! ```
//!
//! Without a directory it makes one, and removes it in the end.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use skein_log::{Consumer, JanitorThread, Log, Offset, Options, PartitionId, ReadError, Record};

/// All events are in one order here. With more partitions there is one order in each.
const ORDERS: PartitionId = PartitionId(0);

/// The owner gives kinds their meaning; the log only keeps them.
const PLACED: u8 = 1;
const PAID: u8 = 2;

/// Events of each run.
const EVENTS: u64 = 6;

fn main() -> Result<(), Box<dyn Error>> {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let own = std::env::temp_dir().join(format!("events-{}", std::process::id()));
    run(given.as_ref().unwrap_or(&own))?;
    if given.is_none() {
        run(&own)?; // Once more, to see what is there after a restart.
        std::fs::remove_dir_all(&own)?;
    }
    Ok(())
}

fn run(directory: &Path) -> Result<(), Box<dyn Error>> {
    let options = Options {
        partitions: 1,
        // Kept for a week, and never dropped for want of a checkpoint: nobody writes any here.
        retention_age_ms: Some(7 * 24 * 60 * 60 * 1_000),
        retention_needs_checkpoint: false,
        ..Options::default()
    };
    let (mut log, report) = Log::open_dir(directory, options, now_ms(), random())?;
    println!("{report}");

    // Everything slow happens on its threads: syncs, new files, retention.
    let janitor = log.take_janitor().ok_or("the janitor is taken once")?;
    let janitor = JanitorThread::spawn(janitor, now_ms, |report| {
        for failure in &report.failures {
            eprintln!("{failure}");
        }
    })?;
    let (told, durable) = mpsc::channel();
    log.on_durable(Box::new(move |_, offset| {
        let _ = told.send(offset);
    }));

    let mut writer = log.take_writer(ORDERS).ok_or("a writer is taken once")?;
    let last = writer.appended() + EVENTS;
    let consumer = log.consumer("printer")?;
    let follower = thread::spawn(move || follow(consumer, last));

    for order in 0..EVENTS as u32 / 2 {
        let placed = format!("order {order} of {} things", order + 1);
        let events = [
            event(PLACED, order, placed.as_bytes()),
            event(PAID, order, b"by card"),
        ];
        writer.append(now_ms(), &events)?;
    }
    // They are readable now. A promise to somebody else waits until they survive a power failure, too.
    writer.request_sync();
    while durable.recv_timeout(Duration::from_secs(10))? < last {}
    println!("durable up to {last}");

    let printed = follower.join().map_err(|_| "the follower panicked")?;
    printed.map_err(|error| error.to_string())?;
    drop((writer, janitor.stop()));
    log.close()?;
    Ok(())
}

fn event(kind: u8, key: u32, payload: &[u8]) -> Record<'_> {
    Record {
        kind,
        key,
        payload,
        ..Record::default()
    }
}

/// Prints what has come since the last run, up to an offset, and remembers that it has.
fn follow(mut consumer: Consumer, last: Offset) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut reader = consumer.reader(ORDERS);
    while reader.position() <= last {
        match reader.next_batch() {
            Ok(Some(batch)) => {
                for (offset, record) in batch.records() {
                    let text = String::from_utf8_lossy(record.payload);
                    println!("{offset}: kind {} key {}: {text}", record.kind, record.key);
                }
            }
            Ok(None) => {
                reader.wait(Duration::from_secs(1));
            }
            // Retention does not wait for anybody; the reader goes on behind the gap.
            Err(ReadError::Gap { from, next, .. }) => println!("{from} to {} are gone", next - 1),
            Err(error) => return Err(error.into()),
        }
    }
    consumer.commit(&reader);
    Ok(consumer.sync()?)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| time.as_millis() as u64)
}

/// Different at each start, which is all that is asked of it.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(now_ms())
}
