//! `GET /v1/events?after=INDEX`: what happened in chats, as server-sent events, resumable.
//!
//! An event's id names the control log and its index there, so a caller goes on where it was, also with
//! the `Last-Event-ID` that browsers' event sources send. Everything in the stream is durable, and comes
//! once. When what was asked for is no longer kept, a `resync` event says so: read the lists again, then go on.
//!
//! A stream is read from the log as fast as its caller takes it, and holds one group of commands; the
//! listener ends the connection of a caller that takes nothing.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRef, Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use skein_wire::error::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::control::event_place::EventPlace;
use crate::control::feed::{EventCursor, EventFeed, FeedItem};
use crate::events::event_json::{EventJson, place_of};
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::limits::{EVENT_KEEP_ALIVE_S, EVENT_STREAMS_MAX};
use crate::http::listener::stopped;
use crate::http::state::ApiState;

/// What the streams share.
#[derive(Clone, Debug)]
pub struct EventsState {
    api: ApiState,
    feed: EventFeed,
    places: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl EventsState {
    /// Streams from this feed until `stop` is true.
    pub fn new(api: ApiState, feed: EventFeed, stop: watch::Receiver<bool>) -> Self {
        Self {
            api,
            feed,
            places: Arc::new(Semaphore::new(EVENT_STREAMS_MAX)),
            stop,
        }
    }
}

impl FromRef<EventsState> for ApiState {
    fn from_ref(events: &EventsState) -> Self {
        events.api.clone()
    }
}

/// The query.
#[derive(Debug, Deserialize)]
pub struct EventsQuery {
    /// Go on behind this event, an id or an index; absent = from now on.
    after: Option<String>,
}

/// Answers with the stream.
///
/// # Errors
/// `busy` when too many streams are open; `bad_request` when `after` is no place.
pub async fn get(
    State(events): State<EventsState>,
    Caller(_operator): Caller,
    query: Result<Query<EventsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let bad = || {
        ApiError::new(
            Code::BadRequest,
            "`after` is the id of an event, or its index",
        )
    };
    let Query(query) = query.map_err(|_| bad())?;
    let after = query.after.map(|text| text.parse()).transpose();
    let after = after.map_err(|_| bad())?;
    let place = events
        .places
        .clone()
        .try_acquire_owned()
        .map_err(|_| ApiError::of(Code::Busy))?;
    let after = last_event_id(&headers).or(after);
    let cursor = events.feed.open(after);
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(EVENT_KEEP_ALIVE_S));
    Ok(Sse::new(stream_of(events.feed, cursor, place, events.stop))
        .keep_alive(keep_alive)
        .into_response())
}

fn last_event_id(headers: &HeaderMap) -> Option<EventPlace> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}

struct Streaming {
    feed: EventFeed,
    cursor: EventCursor,
    ready: std::vec::IntoIter<FeedItem>,
    stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

fn stream_of(
    feed: EventFeed,
    cursor: EventCursor,
    place: OwnedSemaphorePermit,
    stop: watch::Receiver<bool>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let start = Streaming {
        feed,
        cursor,
        ready: Vec::new().into_iter(),
        stop,
        _place: place,
    };
    stream::unfold(start, |mut streaming| async move {
        loop {
            let Streaming { feed, ready, .. } = &mut streaming;
            if let Some(event) = ready.find_map(|item| to_event(feed, &item)) {
                return Some((Ok(event), streaming));
            }
            let more = tokio::select! {
                more = streaming.cursor.next() => more?,
                () = stopped(&mut streaming.stop) => return None,
            };
            streaming.ready = more.into_iter();
        }
    })
}

/// What a consumer sees of an item; some commands are nobody's business.
fn to_event(feed: &EventFeed, item: &FeedItem) -> Option<Event> {
    let json = EventJson::new(feed, item)?;
    let event = Event::default().id(place_of(feed, item).to_string());
    Some(event.event(json.kind()).data(json.to_string()))
}
