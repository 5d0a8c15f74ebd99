//! Messages between shards, those to itself included.

use crate::caller::Caller;
use crate::ids::ShardId;
use crate::peer_message::{Message, PeerMessage};
use crate::shard::Shard;
use crate::time::Timestamp;

impl Shard {
    /// A message of another shard.
    pub fn handle_peer(&mut self, now: Timestamp, from: ShardId, message: PeerMessage) {
        self.tick(now);
        self.receive(now, from, message.0);
        self.settle(now);
    }

    /// The next message to another shard. Taken only while its ring has room; what stays here is
    /// conflated.
    pub fn poll_peer(&mut self, to: ShardId) -> Option<PeerMessage> {
        self.outboxes.get_mut(usize::from(to.0))?.pop()
    }

    /// Whether a message to another shard waits.
    pub fn has_peer_messages(&self, to: ShardId) -> bool {
        let outbox = self.outboxes.get(usize::from(to.0));
        outbox.is_some_and(|outbox| !outbox.is_empty())
    }

    pub(super) fn receive(&mut self, now: Timestamp, from: ShardId, message: Message) {
        match message {
            Message::Start { caller, start } => self.start(now, caller, start),
            Message::Resume {
                caller,
                chat,
                session,
                user,
                claim,
            } => self.resume(now, caller, &chat, session, (&user, claim)),
            Message::Extend {
                caller,
                target,
                duration_s,
            } => self.extend(now, caller, &target, duration_s),
            Message::Stop { caller, target } => self.stop(now, caller, &target),
            Message::Point(point) => self.take_point(now, from, point),
            Message::Upload(upload) => self.take_upload(now, from, upload),
            Message::Heartbeat {
                connection,
                target,
                counter,
            } => self.take_heartbeat(now, (from, connection), &target, counter),
            Message::Unbind {
                connection,
                chat,
                session,
            } => {
                if let Some(session) = self.chats.session_mut(chat, session) {
                    session.unbind(from, connection);
                }
            }
            Message::WatchAsk {
                chat,
                user,
                claim,
                is_mirrored,
                may_name,
            } => self.image_asked(from, chat, (user, claim), (is_mirrored, may_name)),
            Message::RowAsk { ask, chat, session } => self.row_asked(from, ask, chat, session),
            Message::ImageAsk { chat } => self.make_image(from, chat),
            Message::MirrorDropped { chat } => self.mirror_dropped(now, from, chat),
            Message::MirrorDemand { chat, interval_ms } => {
                self.mirror_demands(now, from, chat, interval_ms);
            }
            Message::FenceDone { fence } => self.fence_done(fence, from),
            Message::PlaceAsk { ask, chat, guest } => self.place_asked(from, ask, chat, guest),
            Message::PlaceBack { chat, guest } => self.place_back(chat, guest),
            Message::PlaceAt {
                ask,
                chat,
                guest,
                judged,
            } => self.place_judged(now, from, ask, (chat, guest), judged),
            Message::Answer { caller, answer } => self.answered(from, caller, answer),
            Message::Accepted {
                connection,
                session,
                counter,
                durable,
                verdicts,
            } => self.accepted(connection, session, (counter, durable), verdicts),
            Message::ShareEnded {
                connection,
                session,
                state,
            } => self.share_ended(connection, session, state),
            Message::Demand {
                connection,
                session,
                interval_ms,
            } => self.demanded(connection, session, interval_ms),
            Message::Image(image) => self.slice_came(now, from, image),
            Message::WatchRefused {
                chat,
                user,
                claim,
                code,
            } => self.image_refused(&chat, (&user, claim), code),
            Message::FeedImage(image) => self.feed_image_came(now, from, image),
            Message::Feed(feed) => self.fed(&feed),
            Message::FeedMember {
                chat,
                user,
                rights,
                offset,
            } => self.member_followed(now, chat, &user, rights, offset, false),
            Message::FeedCrossing(crossing) => self.crossing_fed(&crossing),
            Message::FeedEnded { chat, code } => self.feed_ended(now, chat, code),
            Message::Upstream(state) => self.upstream_told(now, state),
            Message::RowAt { ask, offset } => self.row_found(now, ask, offset),
            Message::Fence {
                fence,
                chat,
                partition,
                offset,
            } => self.fence_asked(from, fence, (partition, chat, offset)),
        }
    }

    /// The shard to which a caller's answer goes, if the caller is a connection.
    pub(super) fn shard_of(caller: &Caller) -> Option<ShardId> {
        match caller {
            Caller::Connection { shard, .. } => Some(*shard),
            Caller::Api(_) => None,
        }
    }
}
