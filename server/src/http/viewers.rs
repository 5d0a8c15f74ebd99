//! `…/sessions/{session}/viewers` and `…/views`: who sees me now, and who has. For the sharer and for
//! operators; to anybody else the session looks like one that is not there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRef, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use skein_engine::guest::GUEST_NAME_PREFIX;
use skein_engine::request::{Actor, ChatReply, ChatRequest};
use skein_wire::error::Code;
use skein_wire::ids::{ChatName, SessionId};

use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::gateway::{ask, mismatch, reply_of};
use crate::http::names::SessionPath;
use crate::http::state::ApiState;
use crate::views::limits::VIEWS_PER_PAGE;
use crate::views::store::{PageReader, SessionRow, ViewRow};

/// What the routes share.
#[derive(Clone)]
pub struct ViewersState {
    api: ApiState,
    record: Option<Arc<PageReader>>,
}

impl ViewersState {
    /// With a record of views, if one is kept.
    pub fn new(api: ApiState, record: Option<Arc<PageReader>>) -> Self {
        Self { api, record }
    }
}

impl fmt::Debug for ViewersState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewersState")
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

impl FromRef<ViewersState> for ApiState {
    fn from_ref(state: &ViewersState) -> Self {
        state.api.clone()
    }
}

/// The routes, which both APIs have.
pub fn routes() -> Router<ViewersState> {
    Router::new()
        .route("/v1/chats/{chat}/sessions/{session}/viewers", get(viewers))
        .route("/v1/chats/{chat}/sessions/{session}/views", get(views))
}

/// `GET /v1/chats/{chat}/sessions/{session}/viewers`
///
/// # Errors
/// `not_found` when it is no session of the caller's, `session_ended` when it is over; `busy` when a shard does not answer.
pub async fn viewers(
    State(state): State<ViewersState>,
    Caller(actor): Caller,
    SessionPath(chat, session): SessionPath,
) -> Result<Json<Value>, ApiError> {
    let gateway = &*state.api.gateway;
    let own = ChatRequest::OwnSession {
        chat: chat.clone(),
        session,
        actor,
    };
    let except = match ask(gateway, own).await? {
        ChatReply::Session(info) => info.user,
        other => return Err(mismatch(&other)),
    };
    let question = ChatRequest::Viewers {
        chat,
        session,
        except,
    };
    let mut total = 0;
    // Who has several devices is one.
    let mut by_name: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut looked = Vec::new();
    // All are asked before the first answer is waited for.
    for reply in gateway.request_each(&question) {
        let viewers = match reply_of(reply).await? {
            ChatReply::Viewers(viewers) => viewers,
            other => return Err(mismatch(&other)),
        };
        total += viewers.total;
        looked.extend(viewers.looked);
        for (user, since_ms) in viewers.listed {
            let entry = by_name.entry(user.as_str().to_owned());
            let (watches, since) = entry.or_insert((0, since_ms));
            *watches += 1;
            *since = since_ms.min(*since);
        }
    }
    let viewers: Vec<Value> = by_name
        .iter()
        .map(|(name, (watches, since_ms))| {
            let mut json = json!({ "watches": watches, "since": since_ms });
            put_name(&mut json, name);
            json
        })
        .collect();
    let looked: Vec<Value> = looked
        .iter()
        .map(|(name, at_ms)| {
            let mut json = json!({ "at": at_ms });
            put_name(&mut json, name.as_str());
            json
        })
        .collect();
    Ok(Json(
        json!({ "total": total, "viewers": viewers, "looked": looked }),
    ))
}

/// The query of a page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Go on behind this number.
    #[serde(default)]
    after: u64,
}

/// `GET /v1/chats/{chat}/sessions/{session}/views`
///
/// # Errors
/// `not_found` when no record is kept, the caller is no member any more, or there is no such session of the caller's; `bad_request` for a
/// query that is not as described; `internal` when the database cannot be read.
pub async fn views(
    State(state): State<ViewersState>,
    Caller(actor): Caller,
    SessionPath(chat, session): SessionPath,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let bad = |_| ApiError::new(Code::BadRequest, "`after` is the `next` of the page before");
    let Query(PageQuery { after }) = query.map_err(bad)?;
    let record = state.record.clone().ok_or_else(|| {
        ApiError::new(
            Code::NotFound,
            "no record of views is kept; the operator turns it on with `views.retain`",
        )
    })?;
    // All of it is asked for in any case: neither answer nor time tell what there is.
    let live = live_of(&state, &chat, session, &actor).await?;
    let name = chat.clone();
    let known = read(&record, move |record| {
        record.session(name.as_str(), session.0)
    })
    .await?;
    let own = known.filter(|known| is_own(known, &actor)).or(live);
    let of = own.ok_or_else(|| ApiError::of(Code::NotFound))?;
    let page = read(&record, move |record| {
        record.page(chat.as_str(), session.0, &of, after, VIEWS_PER_PAGE)
    });
    let page = page.await?;
    let is_full = page.views.len() == VIEWS_PER_PAGE;
    let next = page.views.last().filter(|_| is_full).map(|view| view.id);
    let views: Vec<Value> = page.views.iter().map(view_json).collect();
    Ok(Json(
        json!({ "views": views, "lost": page.lost, "next": next }),
    ))
}

/// Reads from the record on a thread that may wait.
async fn read<T: Send + 'static>(
    record: &Arc<PageReader>,
    question: impl FnOnce(&PageReader) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let record = record.clone();
    let asked = tokio::task::spawn_blocking(move || question(&record)).await;
    let answer = asked.map_err(|_| ApiError::of(Code::Internal))?;
    answer.map_err(|error| {
        tracing::error!(%error, "the record of views cannot be read");
        ApiError::of(Code::Internal)
    })
}

fn is_own(session: &SessionRow, actor: &Actor) -> bool {
    match actor {
        Actor::User(person) => person.user.as_str() == session.user,
        Actor::Control => true,
    }
}

/// A session of the caller's that the record may not have heard of yet.
async fn live_of(
    state: &ViewersState,
    chat: &ChatName,
    session: SessionId,
    actor: &Actor,
) -> Result<Option<SessionRow>, ApiError> {
    let audit = ChatRequest::Audit {
        chat: chat.clone(),
        session,
        actor: actor.clone(),
    };
    match ask(&*state.api.gateway, audit).await? {
        ChatReply::Audit(live) => Ok(live.map(|info| SessionRow {
            user: info.user.as_str().to_owned(),
            started_ms: info.started_at_ms,
            ended_ms: None,
        })),
        other => Err(mismatch(&other)),
    }
}

fn view_json(view: &ViewRow) -> Value {
    let mut json = json!({
        "from": view.from_ms,
        "until": view.until_ms,
        "whole_chat": view.whole_chat,
    });
    put_name(&mut json, &view.user);
    json
}

/// Members by their names, guests by their links.
fn put_name(json: &mut Value, name: &str) {
    match name.strip_prefix(GUEST_NAME_PREFIX) {
        Some(guest) => json["guest"] = guest.into(),
        None => json["user"] = name.into(),
    }
}
