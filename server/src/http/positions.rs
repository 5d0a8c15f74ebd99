//! `GET /v1/chats/{chat}/positions`: the newest point of every live session, once.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use skein_engine::request::{ChatReply, ChatRequest};

use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::gateway::{ask, mismatch};
use crate::http::names::ChatPath;
use crate::http::session_json::PositionJson;
use crate::http::state::ApiState;

/// Answers with the positions and the cursor from which a watch can go on.
///
/// # Errors
/// What the owner shard says.
pub async fn get(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    ChatPath(chat): ChatPath,
) -> Result<Json<Value>, ApiError> {
    let name = chat.to_string();
    match ask(&*state.gateway, ChatRequest::Positions { chat, actor }).await? {
        ChatReply::Positions {
            cursor,
            view_recorded,
            positions,
        } => {
            let positions: Vec<PositionJson> = positions.iter().map(PositionJson::from).collect();
            Ok(Json(json!({
                "chat": name,
                "cursor": cursor.to_string(),
                "positions": positions,
                "view_recorded": view_recorded,
            })))
        }
        other => Err(mismatch(&other)),
    }
}
