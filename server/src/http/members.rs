//! Members of a chat: for the chat service and the operator only.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use skein_engine::command::{RIGHT_SHARE, RIGHT_WATCH};
use skein_engine::request::{ChatReply, ChatRequest};

use crate::http::body::JsonBody;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::gateway::{ask, mismatch};
use crate::http::names::{ChatPath, MemberPath};
use crate::http::sessions::done;
use crate::http::state::ApiState;

/// Rights by their names.
const RIGHTS: [(&str, u8); 2] = [("share", RIGHT_SHARE), ("watch", RIGHT_WATCH)];

/// A right as JSON says it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Right {
    Share,
    Watch,
}

/// Body of a change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberBody {
    /// `share`, `watch`, both or none.
    rights: Vec<Right>,
}

impl MemberBody {
    fn bits(&self) -> u8 {
        self.rights.iter().fold(0, |bits, right| {
            bits | match right {
                Right::Share => RIGHT_SHARE,
                Right::Watch => RIGHT_WATCH,
            }
        })
    }
}

/// The names of rights.
pub fn names(bits: u8) -> Vec<&'static str> {
    RIGHTS
        .iter()
        .filter(|(_, bit)| bits & bit != 0)
        .map(|(name, _)| *name)
        .collect()
}

/// `PUT /v1/chats/{chat}/members/{user}`
///
/// # Errors
/// What the owner shard says; `bad_request` for a body that is not as described.
pub async fn put(
    State(state): State<ApiState>,
    Caller(_operator): Caller,
    MemberPath(chat, user): MemberPath,
    JsonBody(body): JsonBody<MemberBody>,
) -> Result<Response, ApiError> {
    let rights = body.bits();
    done(
        ask(
            &*state.gateway,
            ChatRequest::PutMember { chat, user, rights },
        )
        .await?,
    )
}

/// `DELETE /v1/chats/{chat}/members/{user}`
///
/// # Errors
/// What the owner shard says; `not_applied_everywhere` when a shard was too slow: repeat it.
pub async fn remove(
    State(state): State<ApiState>,
    Caller(_operator): Caller,
    MemberPath(chat, user): MemberPath,
) -> Result<Response, ApiError> {
    done(ask(&*state.gateway, ChatRequest::RemoveMember { chat, user }).await?)
}

/// `GET /v1/chats/{chat}/members`
///
/// # Errors
/// What the owner shard says.
pub async fn list(
    State(state): State<ApiState>,
    Caller(_operator): Caller,
    ChatPath(chat): ChatPath,
) -> Result<Json<Value>, ApiError> {
    match ask(&*state.gateway, ChatRequest::Members { chat }).await? {
        ChatReply::Members(members) => {
            let members: Vec<Value> = members
                .iter()
                .map(|(user, rights)| json!({ "user": user.as_str(), "rights": names(*rights) }))
                .collect();
            Ok(Json(json!({ "members": members })))
        }
        other => Err(mismatch(&other)),
    }
}
