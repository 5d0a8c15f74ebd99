//! What a shard's core asks of the world around it.
//!
//! The server implements it over sockets, rings and channels, the simulation over plain queues.
//! Nothing here may block.

use skein_engine::chat_event::ChatEvent;
use skein_engine::command::Command;
use skein_engine::ids::{ConnectionId, ProposalId, RequestId, ShardId};
use skein_engine::peer_message::PeerMessage;
use skein_engine::request::ChatResult;
use skein_engine::sink::Sink;
use skein_engine::view::View;
use skein_wire::error::Code;
use skein_wire::ids::ChatHandle;
use skein_wire::update::Update;

/// The outside of one shard.
pub trait Ports: Sink {
    /// Sends a control frame, in order with the connection's other control frames.
    fn send(&mut self, connection: ConnectionId, update: &Update);

    /// Ends a connection with a code, a time to come back after and a text.
    fn close(&mut self, connection: ConnectionId, code: Code, retry_after_ms: u32, text: &str);

    /// Sees to it that no byte of this chat's batches leaves by this connection from now on.
    fn purge(&mut self, connection: ConnectionId, chat: ChatHandle);

    /// Proposes a command to the control log; it comes back committed or rejected.
    fn propose(&mut self, proposal: ProposalId, command: Command);

    /// Answers a request of the HTTP or control API.
    fn reply(&mut self, request: RequestId, reply: ChatResult);

    /// Whether the ring to another shard takes one more message.
    fn peer_has_room(&self, to: ShardId) -> bool;

    /// Hands a message to another shard; there is room.
    fn peer_send(&mut self, to: ShardId, message: PeerMessage);

    /// Something for the chat service, with the index of its command in the control log.
    fn event(&mut self, index: u64, event: ChatEvent);

    /// Something for the record of views.
    fn view(&mut self, view: View);

    /// Says that this shard has appended something: whoever follows it looks at its next pass.
    fn note_appended(&mut self);

    /// How often another shard has said so.
    fn appended_by(&self, shard: ShardId) -> u64;

    /// Wakes another shard if it sleeps.
    fn wake(&mut self, shard: ShardId);
}
