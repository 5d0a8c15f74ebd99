//! `/v1/webhooks`: how the addresses of webhooks are doing, and the batches that were given up, which
//! can be looked at, tried again and dropped. Control scope.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRef, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use skein_wire::error::Code;

use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::limits::DEAD_LETTERS_PER_PAGE;
use crate::http::public::wrong_method;
use crate::http::state::ApiState;
use crate::webhook::handle::{Retried, Webhooks};
use crate::webhook::store::DeadLetter;

/// What the routes share.
#[derive(Clone, Debug)]
pub struct WebhooksState {
    api: ApiState,
    webhooks: Option<Webhooks>,
}

impl WebhooksState {
    /// Of webhooks, if there are any.
    pub fn new(api: ApiState, webhooks: Option<Webhooks>) -> Self {
        Self { api, webhooks }
    }

    fn webhooks(&self) -> Result<&Webhooks, ApiError> {
        let absent = || {
            ApiError::new(
                Code::NotFound,
                "no webhook is configured; see `webhook.urls`",
            )
        };
        self.webhooks.as_ref().ok_or_else(absent)
    }
}

impl FromRef<WebhooksState> for ApiState {
    fn from_ref(state: &WebhooksState) -> Self {
        state.api.clone()
    }
}

/// The routes.
pub fn routes() -> Router<WebhooksState> {
    Router::new()
        .route("/v1/webhooks", get(list))
        .route("/v1/webhooks/dead", get(dead_letters))
        .route("/v1/webhooks/dead/{id}", get(dead_letter).delete(discard))
        .route("/v1/webhooks/dead/{id}/retry", post(retry))
        .method_not_allowed_fallback(wrong_method)
}

/// The query of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Go on behind this number.
    #[serde(default)]
    after: u64,
}

/// Asks the database on a thread that may wait.
async fn ask<T: Send + 'static>(
    state: &WebhooksState,
    question: impl FnOnce(&Webhooks) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let webhooks = state.webhooks()?.clone();
    let asked = tokio::task::spawn_blocking(move || question(&webhooks)).await;
    let answer = asked.map_err(|_| ApiError::of(Code::Internal))?;
    answer.map_err(|error| {
        tracing::error!(%error, "the list of dead letters cannot be used");
        ApiError::new(
            Code::Busy,
            "the list of dead letters cannot be used now; try again",
        )
    })
}

/// `GET /v1/webhooks`
///
/// # Errors
/// `not_found` when there are none; `busy` when the database cannot be read.
pub async fn list(
    State(state): State<WebhooksState>,
    Caller(_operator): Caller,
) -> Result<Json<Value>, ApiError> {
    let all = ask(&state, |webhooks| {
        let end = webhooks.feed().end().index;
        let targets = webhooks.targets().iter().map(|target| {
            let standing = target.standing();
            Ok(json!({
                "url": target.url,
                "after": webhooks.feed().place(standing.last).to_string(),
                "lag": end.saturating_sub(standing.last),
                "failures": standing.failures,
                "error": standing.error,
                "retry_at": standing.retry_at_ms,
                "dead_letters": webhooks.store().dead_count(Some(&target.url))?,
            }))
        });
        targets.collect::<rusqlite::Result<Vec<Value>>>()
    });
    Ok(Json(json!({ "webhooks": all.await? })))
}

/// `GET /v1/webhooks/dead`
///
/// # Errors
/// `bad_request` when `after` is no number; those of [`list`].
pub async fn dead_letters(
    State(state): State<WebhooksState>,
    Caller(_operator): Caller,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let bad = |_| ApiError::new(Code::BadRequest, "`after` is the number of a dead letter");
    let Query(PageQuery { after }) = query.map_err(bad)?;
    let letters = ask(&state, move |webhooks| {
        webhooks.store().dead_letters(after, DEAD_LETTERS_PER_PAGE)
    });
    let letters = letters.await?;
    let is_full = letters.len() == DEAD_LETTERS_PER_PAGE;
    let next = letters.last().filter(|_| is_full).map(|letter| letter.id);
    let letters: Vec<Value> = letters.iter().map(letter_json).collect();
    Ok(Json(json!({ "dead_letters": letters, "next": next })))
}

/// `GET /v1/webhooks/dead/{id}`: with what was to be sent as `body`.
///
/// # Errors
/// `not_found` when there is no such dead letter; those of [`list`].
pub async fn dead_letter(
    State(state): State<WebhooksState>,
    Caller(_operator): Caller,
    id: Result<Path<u64>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let id = number(id)?;
    let found = ask(&state, move |webhooks| webhooks.store().dead_letter(id)).await?;
    let (letter, body) = found.ok_or_else(absent)?;
    let body: Value = serde_json::from_slice(&body).map_err(|_| ApiError::of(Code::Internal))?;
    let mut json = letter_json(&letter);
    json["body"] = body;
    Ok(Json(json))
}

/// `POST /v1/webhooks/dead/{id}/retry`: tries it again, once, as soon as its address has time.
///
/// # Errors
/// `not_found` when there is no such dead letter; `bad_request` when its address is not configured any
/// more; those of [`list`].
pub async fn retry(
    State(state): State<WebhooksState>,
    Caller(_operator): Caller,
    id: Result<Path<u64>, PathRejection>,
) -> Result<Response, ApiError> {
    let id = number(id)?;
    match ask(&state, move |webhooks| webhooks.retry(id)).await? {
        Retried::Asked => {
            Ok((StatusCode::ACCEPTED, Json(json!({ "retrying": true }))).into_response())
        }
        Retried::Absent => Err(absent()),
        Retried::Homeless => Err(ApiError::new(
            Code::BadRequest,
            "its address is not configured any more; configure it, or drop the dead letter",
        )),
    }
}

/// `DELETE /v1/webhooks/dead/{id}`
///
/// # Errors
/// `not_found` when there is no such dead letter; those of [`list`].
pub async fn discard(
    State(state): State<WebhooksState>,
    Caller(_operator): Caller,
    id: Result<Path<u64>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let id = number(id)?;
    match ask(&state, move |webhooks| webhooks.store().remove(id)).await? {
        true => Ok(Json(json!({ "dropped": true }))),
        false => Err(absent()),
    }
}

fn number(id: Result<Path<u64>, PathRejection>) -> Result<u64, ApiError> {
    id.map(|Path(id)| id).map_err(|_| absent())
}

fn absent() -> ApiError {
    ApiError::new(Code::NotFound, "no such dead letter; it may have arrived")
}

fn letter_json(letter: &DeadLetter) -> Value {
    json!({
        "id": letter.id,
        "url": letter.url,
        "webhook_id": letter.message,
        "first": letter.first,
        "last": letter.last,
        "events": letter.events,
        "failed_at": letter.failed_at_ms,
        "tries": letter.tries,
        "error": letter.error,
        "retrying": letter.retrying,
    })
}
