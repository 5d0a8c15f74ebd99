//! Images that come in, slice by slice: nobody is served from one before it is whole and holds what
//! was appended meanwhile.

use std::sync::Arc;

use skein_wire::ids::{ChatHandle, ChatName};

use crate::ids::{PartitionId, ShardId};
use crate::image_assembly::Assembly;
use crate::image_walk::ImageSlice;
use crate::journal::Entry;
use crate::output::Output;
use crate::peer_message::Message;
use crate::shard::Shard;
use crate::time::Timestamp;

impl Shard {
    /// A slice of an image came. They come in order, and the first one of a walk begins anew: what
    /// has come of an earlier walk was for a mirror that is gone.
    pub(super) fn slice_came(&mut self, now: Timestamp, from: ShardId, slice: Arc<ImageSlice>) {
        let chat = slice.chat;
        if let Some(begin) = &slice.begin {
            if !self.is_image_wanted(chat, &begin.name) {
                return;
            }
            let assembly = Assembly::new(from, &slice, begin, self.table_limits());
            self.assembling.insert(chat, assembly);
        }
        let Some(assembly) = self.assembling.get_mut(&chat) else {
            return;
        };
        assembly.add(slice);
        if assembly.is_whole() {
            self.read_up(now, chat);
        }
    }

    /// A mirror may have been given back while its image was on its way.
    fn is_image_wanted(&self, chat: ChatHandle, name: &ChatName) -> bool {
        match self.chats.get(chat) {
            Some(known) => known.is_renewing(),
            None => self.asking.contains_key(name),
        }
    }

    /// Reads what was appended since the first slice; when all of it is in, the image takes its
    /// place.
    fn read_up(&mut self, now: Timestamp, chat: ChatHandle) {
        let Some(assembly) = self.assembling.get(&chat) else {
            return;
        };
        let partition = assembly.partition;
        let Some(state) = self.partitions.get(usize::from(partition.0)) else {
            return;
        };
        // What a partition brings that is not followed begins behind the image.
        let followed = match state.is_followed {
            true => state.followed,
            false => 0,
        };
        match assembly.stretch(followed) {
            Some((after, upto)) => self.emit(Output::Reread {
                partition,
                key: chat,
                after,
                upto,
            }),
            None => {
                if let Some(assembly) = self.assembling.remove(&chat) {
                    self.image_came(now, chat, assembly);
                }
            }
        }
    }

    /// A record of a stretch that is read again.
    pub(super) fn assemble(
        &mut self,
        partition: PartitionId,
        key: u32,
        (offset, time_ms): (u64, u64),
        entry: &Entry,
    ) {
        let assembly = self.assembling.get_mut(&ChatHandle(key));
        if let Some(assembly) = assembly.filter(|it| it.is_whole() && it.partition == partition) {
            assembly.apply(offset, time_ms, entry);
        }
    }

    /// The stretch of a [`Output::Reread`] up to `upto` is read.
    pub fn handle_reread_done(
        &mut self,
        now: Timestamp,
        partition: PartitionId,
        key: ChatHandle,
        upto: u64,
    ) {
        self.tick(now);
        let assembly = self.assembling.get_mut(&key);
        if let Some(assembly) = assembly.filter(|it| it.is_whole() && it.partition == partition) {
            assembly.read(upto);
            self.read_up(now, key);
        }
        self.settle(now);
    }

    /// A stretch of a [`Output::Reread`] is not whole in the log any more: the image is asked for
    /// again.
    pub fn handle_reread_lost(&mut self, now: Timestamp, key: ChatHandle) {
        self.tick(now);
        let lost = self.assembling.get(&key).filter(|it| it.is_whole());
        if let Some(owner) = lost.map(|assembly| assembly.owner) {
            self.assembling.remove(&key);
            self.post(owner, Message::ImageAsk { chat: key });
        }
        self.settle(now);
    }
}
