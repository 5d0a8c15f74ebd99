//! The partitions that this shard follows: its own, and those of the chats it mirrors.
//!
//! A pass looks only at those of which somebody has said that something was appended: it costs what
//! has changed, not how many partitions there are.

use skein_engine::ids::{PartitionId, ShardId};
use skein_engine::placement::owner_of;
use skein_log::Reader;

/// No follower.
const NOBODY: u16 = u16::MAX;

/// One followed partition.
#[derive(Debug)]
pub struct Follower {
    /// Which.
    pub partition: PartitionId,
    /// The epoch of what is appended in this life of the server.
    pub epoch: u32,
    /// Where in it.
    pub reader: Reader,
    is_marked: bool,
}

/// All followed partitions. Their number is bounded by the number of partitions.
#[derive(Debug, Default)]
pub struct Followers {
    followers: Vec<Follower>,
    /// Places in `followers`, by partition.
    places: Vec<u16>,
    /// Places of those to look at, in the order in which they were marked.
    marked: Vec<u16>,
    /// Kept for its memory.
    looked_at: Vec<u16>,
}

impl Followers {
    /// Begins to follow a partition; one that is followed already goes on where it is.
    pub fn add(&mut self, partition: PartitionId, reader: Reader) {
        if self.place(partition).is_none() {
            let epoch = reader.epochs().last().map_or(0, |start| start.epoch);
            self.followers.push(Follower {
                partition,
                epoch,
                reader,
                is_marked: false,
            });
            self.index();
        }
        self.mark(partition);
    }

    /// Stops following.
    pub fn remove(&mut self, partition: PartitionId) {
        self.followers
            .retain(|follower| follower.partition != partition);
        self.index();
    }

    /// Something may have been appended to a partition.
    pub fn mark(&mut self, partition: PartitionId) {
        if let Some(place) = self.place(partition) {
            self.mark_at(place);
        }
    }

    /// Whether any partition of a shard, of `shards`, is followed.
    pub fn any_of(&self, owner: ShardId, shards: u16) -> bool {
        let mut followers = self.followers.iter();
        followers.any(|follower| owner_of(follower.partition, shards) == owner)
    }

    /// Something may have been appended by a shard, of `shards`.
    pub fn mark_those_of(&mut self, owner: ShardId, shards: u16) {
        for place in 0..self.followers.len() as u16 {
            let partition = self.followers[usize::from(place)].partition;
            if owner_of(partition, shards) == owner {
                self.mark_at(place);
            }
        }
    }

    /// Whether there is one to look at.
    pub fn any_marked(&self) -> bool {
        !self.marked.is_empty()
    }

    /// Lets `follow` look at those that were marked. It says whether there is more: then it is looked
    /// at again at the next call, behind the others.
    pub fn follow_marked(&mut self, mut follow: impl FnMut(&mut Follower) -> bool) {
        let mut looked_at = std::mem::take(&mut self.looked_at);
        std::mem::swap(&mut looked_at, &mut self.marked);
        for place in looked_at.drain(..) {
            let follower = &mut self.followers[usize::from(place)];
            follower.is_marked = false;
            if follow(follower) {
                self.mark_at(place);
            }
        }
        self.looked_at = looked_at;
    }

    fn mark_at(&mut self, place: u16) {
        let follower = &mut self.followers[usize::from(place)];
        if !std::mem::replace(&mut follower.is_marked, true) {
            self.marked.push(place);
        }
    }

    fn place(&self, partition: PartitionId) -> Option<u16> {
        let place = self.places.get(usize::from(partition.0)).copied();
        place.filter(|place| *place != NOBODY)
    }

    /// Writes down anew who stands where.
    fn index(&mut self) {
        self.places.fill(NOBODY);
        self.marked.clear();
        for (place, follower) in self.followers.iter().enumerate() {
            let partition = usize::from(follower.partition.0);
            if partition >= self.places.len() {
                self.places.resize(partition + 1, NOBODY);
            }
            self.places[partition] = place as u16;
            if follower.is_marked {
                self.marked.push(place as u16);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use skein_engine::ids::{PartitionId, ShardId};
    use skein_log::{Log, MemoryStorage, Options};

    use super::Followers;

    fn followers(partitions: u16) -> Followers {
        let options = Options {
            partitions,
            ..Options::default()
        };
        let (log, _) = Log::open(MemoryStorage::new(), options, 0, 1).expect("a fresh log");
        let mut followers = Followers::default();
        for partition in 0..partitions {
            let reader = log.reader(skein_log::PartitionId(partition));
            followers.add(PartitionId(partition), reader);
        }
        followers
    }

    /// Which are looked at; those of `more` say that there is more.
    fn looked_at(followers: &mut Followers, more: &[u16]) -> Vec<u16> {
        let mut seen = Vec::new();
        followers.follow_marked(|follower| {
            seen.push(follower.partition.0);
            more.contains(&follower.partition.0)
        });
        seen
    }

    #[test]
    fn new_ones_are_looked_at_and_then_those_alone_that_are_marked() {
        let mut followers = followers(4);
        assert_eq!(looked_at(&mut followers, &[]), [0, 1, 2, 3]);
        assert!(!followers.any_marked());
        followers.mark(PartitionId(2));
        followers.mark(PartitionId(2));
        followers.mark(PartitionId(9));
        assert!(followers.any_marked());
        assert_eq!(looked_at(&mut followers, &[]), [2]);
        assert!(looked_at(&mut followers, &[]).is_empty());
    }

    #[test]
    fn who_has_more_stands_behind_the_others() {
        let mut followers = followers(3);
        looked_at(&mut followers, &[]);
        followers.mark(PartitionId(1));
        assert_eq!(looked_at(&mut followers, &[1]), [1]);
        followers.mark(PartitionId(0));
        assert_eq!(looked_at(&mut followers, &[1]), [1, 0]);
        followers.mark(PartitionId(0));
        assert_eq!(looked_at(&mut followers, &[]), [1, 0]);
    }

    #[test]
    fn what_another_shard_appends_to_is_marked_and_nothing_else() {
        let mut followers = followers(5);
        looked_at(&mut followers, &[]);
        followers.mark_those_of(ShardId(1), 2);
        assert_eq!(looked_at(&mut followers, &[]), [1, 3]);
    }

    #[test]
    fn only_shards_of_which_something_is_followed_count() {
        let mut followers = followers(3);
        assert!(followers.any_of(ShardId(1), 2));
        followers.remove(PartitionId(1));
        assert!(!followers.any_of(ShardId(1), 2));
        assert!(followers.any_of(ShardId(0), 2));
    }

    #[test]
    fn who_is_not_followed_any_more_is_not_looked_at() {
        let mut followers = followers(3);
        followers.remove(PartitionId(0));
        assert_eq!(looked_at(&mut followers, &[]), [1, 2]);
        followers.mark(PartitionId(0));
        followers.mark(PartitionId(2));
        assert_eq!(looked_at(&mut followers, &[]), [2]);
    }
}
