//! Geofences of a chat, for the chat service and the operator; and alerts of members: "tell me when she
//! comes near me, or to this place".

use axum::extract::{FromRef, Query, State, rejection::QueryRejection};
use axum::response::Response;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use skein_engine::geofence::record::GeofenceWish;
use skein_engine::request::{Actor, AlertAbout, ChatReply, ChatRequest};
use skein_wire::error::Code;
use skein_wire::ids::{ChatName, GeofenceName, UserName};

use crate::http::body::JsonBody;
use crate::http::caller::{Caller, acting_user};
use crate::http::error::ApiError;
use crate::http::gateway::{ask, mismatch};
use crate::http::geofence_json::{GeofenceBody, geofence_json};
use crate::http::limits::ALERT_DURATION_S;
use crate::http::names::{ChatPath, GeofencePath};
use crate::http::sessions::done;
use crate::http::state::ApiState;

/// The field with whose alert it is.
const OWNER: &str = "`owner`: say who is told";

/// The routes that both APIs have.
pub fn routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    Router::new()
        .route("/v1/chats/{chat}/geofences", get(list))
        .route("/v1/chats/{chat}/alerts", get(list_alerts))
        .route(
            "/v1/chats/{chat}/alerts/{name}",
            put(put_alert).delete(remove_alert),
        )
}

/// The routes that only the control API has.
pub fn control_routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    Router::new().route(
        "/v1/chats/{chat}/geofences/{name}",
        put(put_geofence).delete(remove_geofence),
    )
}

/// `PUT /v1/chats/{chat}/geofences/{name}`
///
/// # Errors
/// What the owner shard says; `bad_request` for a body that is not as described.
pub async fn put_geofence(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    GeofencePath(chat, name): GeofencePath,
    JsonBody(body): JsonBody<GeofenceBody>,
) -> Result<Response, ApiError> {
    if body.owner.is_some() || body.has_middle() {
        return Err(ApiError::new(
            Code::BadRequest,
            "`owner` and `around` are for alerts; a geofence is of the whole chat",
        ));
    }
    let wish = wish(chat, name, &body, None)?;
    done(ask(&*state.gateway, ChatRequest::PutGeofence { actor, wish }).await?)
}

/// `PUT /v1/chats/{chat}/alerts/{name}`
///
/// # Errors
/// What the owner shard says; `bad_request` for a body that is not as described.
pub async fn put_alert(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    GeofencePath(chat, name): GeofencePath,
    JsonBody(body): JsonBody<GeofenceBody>,
) -> Result<Response, ApiError> {
    let owner = acting_user(&actor, body.owner.as_deref(), OWNER)?;
    let mut wish = wish(chat, name, &body, Some(owner))?;
    wish.once = body.once.unwrap_or(true);
    wish.duration_s = body.duration_s.or(Some(ALERT_DURATION_S));
    done(ask(&*state.gateway, ChatRequest::PutGeofence { actor, wish }).await?)
}

fn wish(
    chat: ChatName,
    name: GeofenceName,
    body: &GeofenceBody,
    owner: Option<UserName>,
) -> Result<GeofenceWish, ApiError> {
    Ok(GeofenceWish {
        chat,
        name,
        owner,
        shape: body.shape()?,
        user: body.user()?,
        session: body.session()?,
        dwell_s: body.dwell_s,
        once: body.once.unwrap_or(false),
        duration_s: body.duration_s,
    })
}

/// `DELETE /v1/chats/{chat}/geofences/{name}`
///
/// # Errors
/// What the owner shard says.
pub async fn remove_geofence(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    GeofencePath(chat, name): GeofencePath,
) -> Result<Response, ApiError> {
    remove(&state, (chat, name), actor, None).await
}

/// The query of a removal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerQuery {
    #[serde(default)]
    owner: Option<String>,
}

/// `DELETE /v1/chats/{chat}/alerts/{name}`
///
/// # Errors
/// What the owner shard says; `bad_request` when an operator does not say whose it is.
pub async fn remove_alert(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    GeofencePath(chat, name): GeofencePath,
    query: Result<Query<OwnerQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let bad = |_| {
        ApiError::new(
            Code::BadRequest,
            "`owner` is whose alert it is, and there is nothing else",
        )
    };
    let Query(query) = query.map_err(bad)?;
    let owner = acting_user(&actor, query.owner.as_deref(), OWNER)?;
    remove(&state, (chat, name), actor, Some(owner)).await
}

async fn remove(
    state: &ApiState,
    (chat, name): (ChatName, GeofenceName),
    actor: Actor,
    owner: Option<UserName>,
) -> Result<Response, ApiError> {
    let request = ChatRequest::RemoveGeofence {
        chat,
        actor,
        name,
        owner,
    };
    done(ask(&*state.gateway, request).await?)
}

/// `GET /v1/chats/{chat}/geofences`
///
/// # Errors
/// What the owner shard says.
pub async fn list(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    ChatPath(chat): ChatPath,
) -> Result<Json<Value>, ApiError> {
    match ask(&*state.gateway, ChatRequest::Geofences { chat, actor }).await? {
        ChatReply::Geofences {
            view_recorded,
            geofences,
        } => {
            let all: Vec<Value> = geofences.iter().map(geofence_json).collect();
            let answer = json!({ "geofences": all, "view_recorded": view_recorded });
            Ok(Json(answer))
        }
        other => Err(mismatch(&other)),
    }
}

/// `GET /v1/chats/{chat}/alerts`
///
/// # Errors
/// What the owner shard says.
pub async fn list_alerts(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    ChatPath(chat): ChatPath,
) -> Result<Json<Value>, ApiError> {
    match ask(&*state.gateway, ChatRequest::Alerts { chat, actor }).await? {
        ChatReply::Alerts(own, about) => {
            let own: Vec<Value> = own.iter().map(geofence_json).collect();
            let about: Vec<Value> = about.iter().map(about_json).collect();
            Ok(Json(json!({ "alerts": own, "about_me": about })))
        }
        other => Err(mismatch(&other)),
    }
}

/// Who is told, not of what: where somebody else wants to know of is theirs.
fn about_json(about: &AlertAbout) -> Value {
    json!({ "owner": about.owner.as_str(), "expires_at": about.expires_at_ms })
}
