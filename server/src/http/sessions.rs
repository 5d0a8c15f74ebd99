//! Sessions: start, extend, stop, list. The same for users and the operator.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use skein_engine::request::{Actor, ChatReply, ChatRequest, StartRequest};
use skein_wire::error::Code;
use skein_wire::ids::{ChatName, UserName};
use skein_wire::limits::IDEMPOTENCY_KEY_BYTES_MAX;

use crate::http::body::JsonBody;
use crate::http::caller::{Caller, acting_user};
use crate::http::error::ApiError;
use crate::http::gateway::{ask, mismatch};
use crate::http::names::{ChatPath, SessionPath};
use crate::http::session_json::SessionJson;
use crate::http::state::ApiState;

/// Body of a start.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartBody {
    /// How long, seconds.
    duration_s: u32,
    /// The member who will share; for the operator only, a user is who the token says.
    #[serde(default)]
    user: Option<String>,
    /// The same key gives the same session; absent = every request is a new one.
    #[serde(default)]
    idempotency_key: Option<String>,
    /// Points will be end-to-end encrypted.
    #[serde(default)]
    sealed: bool,
}

/// Body of an extension.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtendBody {
    /// From now, seconds.
    duration_s: u32,
}

/// `POST /v1/chats/{chat}/sessions`
///
/// # Errors
/// What the owner shard says; `bad_request` for a body that is not as described.
pub async fn start(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    ChatPath(chat): ChatPath,
    JsonBody(body): JsonBody<StartBody>,
) -> Result<Json<SessionJson>, ApiError> {
    let user = acting_user(&actor, body.user.as_deref(), "`user`: say who will share")?;
    let unknown = unknown_to(&actor, &chat, &user);
    let request = StartRequest {
        chat,
        user,
        actor,
        duration_s: body.duration_s,
        idempotency_key: idempotency_key(body.idempotency_key)?,
        sealed: body.sealed,
    };
    match ask(&*state.gateway, ChatRequest::Start(request)).await {
        Err(refused) if refused.error.code == Code::NotFound => Err(unknown),
        reply => session(reply?),
    }
}

/// What is said where a chat or a right is missing: users do not learn which, nor who else is
/// there; operators, who may read the members anyway, learn what to do.
fn unknown_to(actor: &Actor, chat: &ChatName, user: &UserName) -> ApiError {
    match actor {
        Actor::User(_) => ApiError::of(Code::NotFound),
        Actor::Control => ApiError::new(
            Code::NotFound,
            format!(
                "{user} may not share in {chat}, or there is no such chat; give the right `share` \
                 first, as with `skein member add --rights share,watch`"
            ),
        ),
    }
}

/// `PATCH /v1/chats/{chat}/sessions/{session}` and `POST …/extend`
///
/// # Errors
/// What the owner shard says; `bad_request` for a body that is not as described.
pub async fn extend(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    SessionPath(chat, session_id): SessionPath,
    JsonBody(body): JsonBody<ExtendBody>,
) -> Result<Json<SessionJson>, ApiError> {
    let duration_s = body.duration_s;
    let request = ChatRequest::Extend {
        chat,
        session: session_id,
        actor,
        duration_s,
    };
    session(ask(&*state.gateway, request).await?)
}

/// `DELETE /v1/chats/{chat}/sessions/{session}`
///
/// # Errors
/// What the owner shard says.
pub async fn stop(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    SessionPath(chat, session): SessionPath,
) -> Result<Response, ApiError> {
    done(
        ask(
            &*state.gateway,
            ChatRequest::Stop {
                chat,
                session,
                actor,
            },
        )
        .await?,
    )
}

/// `GET /v1/chats/{chat}/sessions`
///
/// # Errors
/// What the owner shard says.
pub async fn list(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    ChatPath(chat): ChatPath,
) -> Result<Json<Value>, ApiError> {
    match ask(&*state.gateway, ChatRequest::Sessions { chat, actor }).await? {
        ChatReply::Sessions(sessions) => {
            let sessions: Vec<SessionJson> = sessions.iter().map(SessionJson::from).collect();
            Ok(Json(json!({ "sessions": sessions })))
        }
        other => Err(mismatch(&other)),
    }
}

/// The answer to a request that has none of its own: 200, or 202 while it is not yet durable.
///
/// # Errors
/// `internal` when the reply is another one.
pub fn done(reply: ChatReply) -> Result<Response, ApiError> {
    match reply {
        ChatReply::Done { durable } => Ok(met(durable, &json!({ "durable": durable }))),
        other => Err(mismatch(&other)),
    }
}

/// An answer with 200, or with 202 while what was asked for is not yet durable.
pub fn met(durable: bool, body: &Value) -> Response {
    let status = match durable {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    (status, Json(body)).into_response()
}

fn session(reply: ChatReply) -> Result<Json<SessionJson>, ApiError> {
    match reply {
        ChatReply::Session(info) => Ok(Json(SessionJson::from(&info))),
        other => Err(mismatch(&other)),
    }
}

/// The caller's key, or a random one that no other request has.
fn idempotency_key(given: Option<String>) -> Result<String, ApiError> {
    match given {
        Some(key) if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX => Err(ApiError::new(
            Code::BadRequest,
            format!("`idempotency_key` has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes"),
        )),
        Some(key) => Ok(key),
        None => {
            let random = getrandom::u64().map_err(|_| ApiError::of(Code::Internal))?;
            Ok(format!("http-{random:016x}"))
        }
    }
}
