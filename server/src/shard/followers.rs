//! The partitions that this shard follows: its own, and those of the chats it mirrors.

use skein_engine::ids::PartitionId;
use skein_log::Reader;

/// One followed partition.
#[derive(Debug)]
pub struct Follower {
    /// Which.
    pub partition: PartitionId,
    /// The epoch of what is appended in this life of the server.
    pub epoch: u32,
    /// Where in it.
    pub reader: Reader,
}

/// All followed partitions. Their number is bounded by the number of partitions.
#[derive(Debug, Default)]
pub struct Followers {
    followers: Vec<Follower>,
    /// Where the next round begins, so that no partition is always last.
    first: usize,
}

impl Followers {
    /// Begins to follow a partition; one that is followed already goes on where it is.
    pub fn add(&mut self, partition: PartitionId, reader: Reader) {
        if self.get_mut(partition).is_none() {
            let epoch = reader.epochs().last().map_or(0, |start| start.epoch);
            self.followers.push(Follower {
                partition,
                epoch,
                reader,
            });
        }
    }

    /// Stops following.
    pub fn remove(&mut self, partition: PartitionId) {
        self.followers
            .retain(|follower| follower.partition != partition);
    }

    /// The follower of one partition.
    pub fn get_mut(&mut self, partition: PartitionId) -> Option<&mut Follower> {
        self.followers
            .iter_mut()
            .find(|follower| follower.partition == partition)
    }

    /// All followers, beginning with another one each time.
    pub fn round(&mut self) -> impl Iterator<Item = &mut Follower> {
        let count = self.followers.len();
        self.first = if count == 0 {
            0
        } else {
            (self.first + 1) % count
        };
        let (before, after) = self.followers.split_at_mut(self.first);
        after.iter_mut().chain(before)
    }

    /// Whether any follower is behind its partition's watermark.
    pub fn any_behind(&self) -> bool {
        self.followers
            .iter()
            .any(|f| f.reader.position() <= f.reader.appended())
    }
}
