//! `GET /v1/chats/{chat}/crossings?after=ID`: what happened at geofences and alerts, for whoever was away.
//!
//! A viewer is told of a crossing once, in the moment, and not with a cursor. What it has missed is in the
//! control log, and is read from there: nothing is kept for it. Only what is as young as the end of a
//! session that a viewer is still told of is shown, so that a new member does not learn of last week.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRef, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use skein_engine::command::Command;
use skein_engine::geofence::ledger::CrossingRecord;
use skein_engine::request::{Actor, ChatReply, ChatRequest};
use skein_wire::error::Code;
use skein_wire::ids::ChatName;
use tokio::sync::Semaphore;

use crate::control::event_place::EventPlace;
use crate::control::feed::{EventFeed, FeedItem};
use crate::events::event_json::crossing_json;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::gateway::{ask, mismatch};
use crate::http::limits::{CROSSING_READS_MAX, CROSSINGS_AGE_MS_MAX, CROSSINGS_PER_PAGE};
use crate::http::names::ChatPath;
use crate::http::public::wrong_method;
use crate::http::state::ApiState;

/// What the handler is given.
#[derive(Clone, Debug)]
pub struct CrossingsState {
    api: ApiState,
    feed: EventFeed,
    places: Arc<Semaphore>,
}

impl CrossingsState {
    /// Crossings of this feed.
    pub fn new(api: ApiState, feed: EventFeed) -> Self {
        Self {
            api,
            feed,
            places: Arc::new(Semaphore::new(CROSSING_READS_MAX)),
        }
    }
}

impl FromRef<CrossingsState> for ApiState {
    fn from_ref(state: &CrossingsState) -> Self {
        state.api.clone()
    }
}

/// The routes that both APIs have.
pub fn routes(state: CrossingsState) -> Router {
    Router::new()
        .route("/v1/chats/{chat}/crossings", get(list))
        .method_not_allowed_fallback(wrong_method)
        .with_state(state)
}

/// The query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossingsQuery {
    /// Go on behind this place; absent = no crossings, only where to go on from.
    after: Option<String>,
}

/// `GET /v1/chats/{chat}/crossings`
///
/// # Errors
/// `not_found` for who may not watch the chat and for guests; `bad_request` when `after` is no place;
/// `busy` when too many read at once.
pub async fn list(
    State(state): State<CrossingsState>,
    Caller(actor): Caller,
    ChatPath(chat): ChatPath,
    query: Result<Query<CrossingsQuery>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let bad = || {
        ApiError::new(
            Code::BadRequest,
            "`after` is the `next` of an answer, or the id of an event",
        )
    };
    let Query(query) = query.map_err(|_| bad())?;
    let after = query.after.map(|text| text.parse()).transpose();
    let after: Option<EventPlace> = after.map_err(|_| bad())?;
    let look = ChatRequest::Look {
        chat: chat.clone(),
        actor: actor.clone(),
    };
    let view_recorded = match ask(&*state.api.gateway, look).await? {
        ChatReply::Look { view_recorded } => view_recorded,
        other => return Err(mismatch(&other)),
    };
    let place = state.places.clone().try_acquire_owned();
    let place = place.map_err(|_| ApiError::of(Code::Busy))?;
    let now_ms = state.api.clock.now_ms();
    let page = Page {
        chat,
        actor,
        view_recorded,
        since_ms: now_ms.saturating_sub(CROSSINGS_AGE_MS_MAX),
        crossings: Vec::new(),
    };
    let read = tokio::task::spawn_blocking(move || {
        let answer = page.read(&state.feed, after);
        drop(place);
        answer
    });
    Ok(Json(read.await.map_err(|_| ApiError::of(Code::Internal))?))
}

/// What an answer is made from.
struct Page {
    chat: ChatName,
    actor: Actor,
    /// The look was recorded, for those who are seen.
    view_recorded: bool,
    since_ms: u64,
    crossings: Vec<Value>,
}

impl Page {
    fn read(mut self, feed: &EventFeed, after: Option<EventPlace>) -> Value {
        let end = feed.end();
        let Some(after) = after else {
            return self.answer(end, false, false);
        };
        let mut cursor = feed.open(Some(after));
        let (mut next, mut gap) = (end, false);
        while let Some(items) = cursor.next_until(end.index) {
            for item in items {
                match item {
                    FeedItem::Resync { .. } => gap = true,
                    FeedItem::Command {
                        index,
                        command,
                        time_ms,
                    } => {
                        if self.take(feed.place(index), &command, time_ms) {
                            next = feed.place(index);
                        }
                    }
                }
            }
            if self.crossings.len() >= CROSSINGS_PER_PAGE {
                return self.answer(next, gap, true);
            }
        }
        self.answer(end, gap, false)
    }

    /// Adds what a command tells the caller. Whether it told something.
    fn take(&mut self, place: EventPlace, command: &Command, time_ms: u64) -> bool {
        let Command::Cross { chat, crossing } = command else {
            return false;
        };
        if *chat != self.chat.as_str() || time_ms < self.since_ms || !self.is_told(crossing) {
            return false;
        }
        let (kind, mut json) = crossing_json(crossing);
        json["type"] = json!(kind);
        json["id"] = json!(place.to_string());
        self.crossings.push(json);
        true
    }

    /// An alert is told to its owner, and to operators.
    fn is_told(&self, crossing: &CrossingRecord) -> bool {
        match &self.actor {
            Actor::Control => true,
            Actor::User(person) => {
                crossing.owner.is_empty() || crossing.owner == person.user.as_str()
            }
        }
    }

    fn answer(self, next: EventPlace, gap: bool, more: bool) -> Value {
        json!({
            "crossings": self.crossings,
            "next": next.to_string(),
            "more": more,
            "gap": gap,
            "view_recorded": self.view_recorded,
        })
    }
}
