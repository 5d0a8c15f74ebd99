//! The way from a handler to the shard that owns a chat.

use std::time::Duration;

use skein_engine::request::{ChatReply, ChatRequest, ChatResult};
use skein_wire::error::Code;
use tokio::sync::oneshot;

use crate::http::error::ApiError;
use crate::http::limits::REPLY_DEADLINE_MS;

/// Routes a request to the shard that owns its chat. Never blocks; a full inbox answers `busy`.
pub trait ShardGateway: Send + Sync {
    /// Sends a request; the receiver gets its result.
    fn request(&self, request: ChatRequest) -> oneshot::Receiver<ChatResult>;

    /// Sends a request to every shard, whichever owns its chat. Here of a server with one shard.
    fn request_each(&self, request: &ChatRequest) -> Vec<oneshot::Receiver<ChatResult>> {
        vec![self.request(request.clone())]
    }
}

/// Sends a request and waits for its reply, at most [`REPLY_DEADLINE_MS`].
///
/// # Errors
/// What the shard says; `busy` when it does not answer in time or has stopped.
pub async fn ask(gateway: &dyn ShardGateway, request: ChatRequest) -> Result<ChatReply, ApiError> {
    reply_of(gateway.request(request)).await
}

/// Waits for a reply, at most [`REPLY_DEADLINE_MS`].
///
/// # Errors
/// As [`ask`].
pub async fn reply_of(reply: oneshot::Receiver<ChatResult>) -> Result<ChatReply, ApiError> {
    match tokio::time::timeout(Duration::from_millis(REPLY_DEADLINE_MS), reply).await {
        Ok(Ok(result)) => result.map_err(ApiError::from),
        Ok(Err(_)) => Err(ApiError::of(Code::GoingAway)),
        Err(_) => Err(ApiError::new(
            Code::Busy,
            "the shard did not answer in time; the request may still take effect, repeat it",
        )),
    }
}

/// A reply that does not belong to its request.
pub fn mismatch(reply: &ChatReply) -> ApiError {
    tracing::error!(
        reply = kind(reply),
        "a shard answered with a reply of another kind"
    );
    ApiError::of(Code::Internal)
}

/// The kind only: replies hold positions.
fn kind(reply: &ChatReply) -> &'static str {
    match reply {
        ChatReply::Session(_) => "session",
        ChatReply::Points(_) => "points",
        ChatReply::Sessions(_) => "sessions",
        ChatReply::Audit(_) => "an audit",
        ChatReply::Viewers(_) => "viewers",
        ChatReply::Positions { .. } => "positions",
        ChatReply::Members(_) => "members",
        ChatReply::Changed { .. } => "changed",
        ChatReply::WouldRestrict(_) => "would_restrict",
        ChatReply::Guests(_) => "guests",
        ChatReply::Settings(_) => "settings",
        ChatReply::Geofences { .. } => "geofences",
        ChatReply::Look { .. } => "leave to look",
        ChatReply::Alerts(..) => "alerts",
        ChatReply::Done { .. } => "done",
    }
}
