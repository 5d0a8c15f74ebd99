//! Links for guests: for the chat service and the operator only.

use axum::extract::{FromRef, State};
use axum::response::Response;
use axum::routing::{delete, get};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

use skein_engine::grid::Grid;
use skein_engine::guest::{GuestGrant, GuestRecord};
use skein_engine::ids::GuestId;
use skein_engine::limits::GUEST_DURATION_S_MAX;
use skein_engine::request::{ChatReply, ChatRequest, GuestInfo};
use skein_wire::error::Code;
use skein_wire::ids::SessionId;

use crate::access::Access;
use crate::http::body::JsonBody;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::gateway::{ask, mismatch};
use crate::http::limits::LABEL_BYTES_MAX;
use crate::http::members::changed;
use crate::http::names::{ChatPath, GuestPath};
use crate::http::state::ApiState;

/// What a record of a link has in place of a bound on its viewers.
const NO_LIMIT: u32 = 0;

/// The same bound as people say it.
const GUEST_DAYS_MAX: u32 = GUEST_DURATION_S_MAX / 86_400;

const _: () = assert!(GUEST_DURATION_S_MAX.is_multiple_of(86_400));

/// What the handlers of links are given.
#[derive(Clone, Debug)]
pub struct GuestsState {
    api: ApiState,
    access: Arc<Access>,
}

impl GuestsState {
    /// Links that this server signs.
    pub fn new(api: ApiState, access: Arc<Access>) -> Self {
        Self { api, access }
    }
}

impl FromRef<GuestsState> for ApiState {
    fn from_ref(guests: &GuestsState) -> Self {
        guests.api.clone()
    }
}

/// The routes.
pub fn routes() -> Router<GuestsState> {
    Router::new()
        .route("/v1/chats/{chat}/guests", get(list).post(create))
        .route("/v1/chats/{chat}/guests/{guest}", delete(revoke))
}

/// Body of a new link.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestBody {
    /// How long it is good, seconds.
    duration_s: u32,
    /// Only this session.
    #[serde(default)]
    session: Option<String>,
    /// Nothing of where people were.
    #[serde(default)]
    last_only: bool,
    /// Places on a grid with cells of so many metres.
    #[serde(default)]
    grid_m: Option<u32>,
    /// Watches at a time.
    #[serde(default)]
    viewers_max: Option<u32>,
    /// A note, shown in lists.
    #[serde(default)]
    label: String,
}

/// `POST /v1/chats/{chat}/guests`
///
/// # Errors
/// What the owner shard says; `bad_request` for a body that is not as described.
pub async fn create(
    State(state): State<GuestsState>,
    Caller(_operator): Caller,
    ChatPath(chat): ChatPath,
    JsonBody(body): JsonBody<GuestBody>,
) -> Result<Json<Value>, ApiError> {
    let grant = GuestGrant {
        guest: GuestId(getrandom::u64().map_err(|_| ApiError::of(Code::Internal))?),
        chat: chat.clone(),
        session: body.session.as_deref().map(session).transpose()?,
        last_only: body.last_only,
        grid: body.grid_m.map(grid).transpose()?,
    };
    let record = record(&body, &grant, state.api.clock.now_ms())?;
    let expires_at_ms = record.expires_at_ms;
    let request = ChatRequest::PutGuest {
        chat,
        guest: grant.guest,
        record,
    };
    match ask(&*state.api.gateway, request).await? {
        ChatReply::Changed { .. } => Ok(Json(json!({
            "guest": id(grant.guest),
            "token": state.access.guest_token(&grant, expires_at_ms),
            "expires_at": expires_at_ms,
        }))),
        other => Err(mismatch(&other)),
    }
}

/// `GET /v1/chats/{chat}/guests`
///
/// # Errors
/// What the owner shard says.
pub async fn list(
    State(state): State<GuestsState>,
    Caller(_operator): Caller,
    ChatPath(chat): ChatPath,
) -> Result<Json<Value>, ApiError> {
    match ask(&*state.api.gateway, ChatRequest::Guests { chat }).await? {
        ChatReply::Guests(guests) => {
            let guests: Vec<Value> = guests.iter().map(guest_json).collect();
            Ok(Json(json!({ "guests": guests })))
        }
        other => Err(mismatch(&other)),
    }
}

/// `DELETE /v1/chats/{chat}/guests/{guest}`
///
/// # Errors
/// What the owner shard says; `not_applied_everywhere` when a shard was too slow: repeat it.
pub async fn revoke(
    State(state): State<GuestsState>,
    Caller(_operator): Caller,
    GuestPath(chat, guest): GuestPath,
) -> Result<Response, ApiError> {
    changed(
        ask(
            &*state.api.gateway,
            ChatRequest::RemoveGuest { chat, guest },
        )
        .await?,
    )
}

fn record(body: &GuestBody, grant: &GuestGrant, now_ms: u64) -> Result<GuestRecord, ApiError> {
    if !(1..=GUEST_DURATION_S_MAX).contains(&body.duration_s) {
        return Err(ApiError::new(
            Code::BadDuration,
            format!("a link is good for 1 second to {GUEST_DAYS_MAX} days"),
        ));
    }
    if body.label.len() > LABEL_BYTES_MAX || body.label.chars().any(char::is_control) {
        return Err(ApiError::new(
            Code::BadRequest,
            format!("`label` has at most {LABEL_BYTES_MAX} bytes and no control characters"),
        ));
    }
    if body.viewers_max == Some(0) {
        return Err(ApiError::new(
            Code::BadRequest,
            "`viewers_max` is 1 or more; leave it out for no limit",
        ));
    }
    Ok(GuestRecord {
        session: grant.session.map_or(0, |session| session.0),
        last_only: grant.last_only,
        grid_m: grant.grid.map_or(0, Grid::metres),
        viewers_max: body.viewers_max.unwrap_or(NO_LIMIT),
        created_at_ms: now_ms,
        expires_at_ms: now_ms + u64::from(body.duration_s) * 1_000,
        label: body.label.clone(),
    })
}

fn guest_json(info: &GuestInfo) -> Value {
    let record = &info.record;
    let mut guest = json!({
        "guest": id(info.guest),
        "viewers": info.viewers,
        "last_only": record.last_only,
        "created_at": record.created_at_ms,
        "expires_at": record.expires_at_ms,
        "label": record.label,
    });
    if record.session != 0 {
        guest["session"] = json!(SessionId(record.session).to_string());
    }
    if record.grid_m != 0 {
        guest["grid_m"] = json!(record.grid_m);
    }
    if record.viewers_max != 0 {
        guest["viewers_max"] = json!(record.viewers_max);
    }
    guest
}

fn id(guest: GuestId) -> String {
    format!("{:016x}", guest.0)
}

fn session(text: &str) -> Result<SessionId, ApiError> {
    text.parse().map_err(ApiError::from)
}

fn grid(metres: u32) -> Result<Grid, ApiError> {
    Grid::new(metres)
        .ok_or_else(|| ApiError::new(Code::BadRequest, "`grid_m` is 10 to 100,000 metres"))
}
