//! Stretches of partitions that are read again for chats that this shard begins to mirror. A long one
//! takes several passes, so that nobody else on the shard waits for it.

use skein_engine::ids::PartitionId;
use skein_engine::shard::Shard;
use skein_engine::time::Timestamp;
use skein_log::Reader;
use skein_wire::ids::ChatHandle;

use crate::raw_record::raw;

/// Batches read again for one chat in a pass: like those of a followed partition.
const REREAD_BATCHES_PER_PASS: usize = 64;

/// One stretch.
#[derive(Debug)]
struct Reread {
    reader: Reader,
    partition: PartitionId,
    key: ChatHandle,
    upto: u64,
}

/// What reading a part of a stretch came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    More,
    Done,
    /// The log does not have all of it.
    Lost,
}

/// All stretches: at most one for each chat that this shard begins to mirror.
#[derive(Debug, Default)]
pub struct Rereads {
    stretches: Vec<Reread>,
}

impl Rereads {
    /// Begins to read the records of a chat behind `after`, up to and with `upto`, in place of what
    /// is being read for it.
    pub fn begin(
        &mut self,
        mut reader: Reader,
        partition: PartitionId,
        key: ChatHandle,
        after: u64,
        upto: u64,
    ) {
        reader.seek(after + 1);
        self.stretches.retain(|other| other.key != key);
        self.stretches.push(Reread {
            reader,
            partition,
            key,
            upto,
        });
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// Reads on in all of them, each for a bounded number of batches. Returns whether there is more.
    pub fn go_on(&mut self, engine: &mut Shard, now: Timestamp) -> bool {
        self.stretches
            .retain_mut(|reread| match reread.go_on(engine, now) {
                Progress::More => true,
                Progress::Done => {
                    engine.handle_reread_done(now, reread.partition, reread.key, reread.upto);
                    false
                }
                Progress::Lost => {
                    engine.handle_reread_lost(now, reread.key);
                    false
                }
            });
        !self.is_empty()
    }
}

impl Reread {
    fn go_on(&mut self, engine: &mut Shard, now: Timestamp) -> Progress {
        for _ in 0..REREAD_BATCHES_PER_PASS {
            if self.reader.position() > self.upto {
                return Progress::Done;
            }
            match self.reader.next_batch() {
                Ok(Some(batch)) => {
                    let time_ms = batch.append_time();
                    for (offset, record) in batch.records() {
                        if record.key == self.key.0 && offset <= self.upto {
                            let record = raw(&record);
                            engine.follow_reread(now, self.partition, offset, time_ms, record);
                        }
                    }
                }
                // The stretch ends where somebody has followed to: all of it is there.
                Ok(None) => return Progress::Done,
                Err(error) => {
                    let partition = self.partition.0;
                    tracing::warn!(partition, %error, "a chat is asked for again");
                    return Progress::Lost;
                }
            }
        }
        Progress::More
    }
}
