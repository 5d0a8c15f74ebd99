//! `DELETE /v1/log/chats/{chat}/points?user=` and `DELETE /v1/log/users/{user}/points`: take the points of
//! a chat, of one of its members, or of a user in every chat out of the log. Control scope.

use std::fmt;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRef, Query, State};
use axum::routing::delete;
use axum::{Json, Router};
use serde::Deserialize;
use skein_wire::error::Code;
use skein_wire::ids::UserName;
use tokio::sync::Semaphore;

use crate::erase_scope::EraseScope;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::limits::LOG_ERASES_MAX;
use crate::http::names::{ChatPath, UserPath};
use crate::http::public::wrong_method;
use crate::http::state::ApiState;
use crate::log_erase::Erased;

/// Does what is asked for, on a thread that may wait. `None`: there is no such chat.
pub type Eraser = dyn Fn(&EraseScope) -> anyhow::Result<Option<Erased>> + Send + Sync;

/// The route, beside those of the control API.
pub fn routes(api: ApiState, eraser: Arc<Eraser>) -> Router {
    let places = Arc::new(Semaphore::new(LOG_ERASES_MAX));
    Router::new()
        .route("/v1/log/chats/{chat}/points", delete(erase_chat))
        .route("/v1/log/users/{user}/points", delete(erase_user))
        .method_not_allowed_fallback(wrong_method)
        .with_state(EraseState {
            api,
            eraser,
            places,
        })
}

#[derive(Clone)]
struct EraseState {
    api: ApiState,
    eraser: Arc<Eraser>,
    places: Arc<Semaphore>,
}

impl fmt::Debug for EraseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EraseState").finish_non_exhaustive()
    }
}

impl FromRef<EraseState> for ApiState {
    fn from_ref(state: &EraseState) -> Self {
        state.api.clone()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EraseQuery {
    user: Option<String>,
}

async fn erase_chat(
    State(state): State<EraseState>,
    Caller(_operator): Caller,
    ChatPath(chat): ChatPath,
    query: Result<Query<EraseQuery>, QueryRejection>,
) -> Result<Json<Erased>, ApiError> {
    let Query(query) = query.map_err(|_| {
        let text = "`user` is the name of a member, and there is nothing else";
        ApiError::new(Code::BadRequest, text)
    })?;
    let user = query.user.as_deref().map(UserName::new).transpose()?;
    let chat = Some(chat);
    erase(state, EraseScope { chat, user }).await
}

async fn erase_user(
    State(state): State<EraseState>,
    Caller(_operator): Caller,
    UserPath(user): UserPath,
) -> Result<Json<Erased>, ApiError> {
    let user = Some(user);
    erase(state, EraseScope { chat: None, user }).await
}

async fn erase(state: EraseState, scope: EraseScope) -> Result<Json<Erased>, ApiError> {
    let place = state.places.try_acquire_owned();
    let place = place.map_err(|_| ApiError::of(Code::Busy))?;
    let eraser = state.eraser;
    let erased = tokio::task::spawn_blocking(move || {
        let erased = eraser(&scope);
        drop(place);
        erased
    });
    let erased = erased.await.map_err(|_| ApiError::of(Code::Internal))?;
    match erased {
        Ok(Some(erased)) => Ok(Json(erased)),
        Ok(None) => Err(ApiError::of(Code::NotFound)),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "an erase did not succeed");
            let text = "not everything could be erased; the server's log says why, erase again";
            Err(ApiError::new(Code::NotDurable, text))
        }
    }
}
