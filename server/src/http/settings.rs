//! What is set for a chat as a whole: changed by the chat service and the operator, read by members too.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use skein_engine::request::{ChatReply, ChatRequest};

use crate::http::body::JsonBody;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::gateway::{ask, mismatch};
use crate::http::names::ChatPath;
use crate::http::sessions::done;
use crate::http::state::ApiState;

/// Body of a change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsBody {
    /// Sealed sessions only.
    sealed: bool,
}

/// `GET /v1/chats/{chat}/settings`
///
/// # Errors
/// `not_found` for a chat that nobody has named, and for who is no member.
pub async fn get(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    ChatPath(chat): ChatPath,
) -> Result<Json<Value>, ApiError> {
    match ask(&*state.gateway, ChatRequest::Settings { chat, actor }).await? {
        ChatReply::Settings(settings) => Ok(Json(json!({ "sealed": settings.sealed }))),
        other => Err(mismatch(&other)),
    }
}

/// `PUT /v1/chats/{chat}/settings`
///
/// # Errors
/// What the owner shard says; `bad_request` for a body that is not as described.
pub async fn put(
    State(state): State<ApiState>,
    Caller(_operator): Caller,
    ChatPath(chat): ChatPath,
    JsonBody(body): JsonBody<SettingsBody>,
) -> Result<Response, ApiError> {
    let sealed = body.sealed;
    done(ask(&*state.gateway, ChatRequest::SealChat { chat, sealed }).await?)
}
