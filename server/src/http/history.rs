//! `/v1/chats/{chat}/history` and `/v1/users/{user}/history`: where people were, for operators only.
//!
//! To watch is to see where somebody is while they share; to read where they were is an audit.
//! So members have no way to it, whatever their rights: the routes are on the control listener.

use axum::Json;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRef, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use http::header::{ACCEPT, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use skein_wire::error::Code;
use skein_wire::ids::{SessionId, UserName};
use skein_wire::point::Payload;
use std::borrow::Cow;
use std::time::Duration;

use crate::gpx_writer::{TrackPoint, Tracks};
use crate::history::erase::{EraseReport, EraseWhat};
use crate::history::error::HistoryError;
use crate::history::handle::History;
use crate::history::limits::{ERASE_DEADLINE_MS, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use crate::history::query::{After, HistoryQuery, Page};
use crate::history::row::HistoryRow;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::names::{ChatPath, UserPath};
use crate::http::point_json::PointJson;
use crate::http::state::ApiState;
use crate::text::time_text;

/// Media type of GPX.
const GPX: &str = "application/gpx+xml";

/// Header that carries `next` where the body has no place for it.
const NEXT_HEADER: &str = "skein-next";

/// What an erase of the history alone leaves, and what does not leave it.
const LOG_NOT_COVERED: &str = "points in the log; DELETE /v1/log/chats/{chat}/points erases them, and from the history with them";

/// What the routes share.
#[derive(Clone, Debug)]
pub struct HistoryState {
    api: ApiState,
    history: Option<History>,
}

impl HistoryState {
    /// Of a history, if one is kept.
    pub fn new(api: ApiState, history: Option<History>) -> Self {
        Self { api, history }
    }

    /// The state of all requests.
    pub fn api(&self) -> &ApiState {
        &self.api
    }

    fn history(&self) -> Result<&History, ApiError> {
        self.history.as_ref().ok_or_else(|| {
            ApiError::new(
                Code::NotFound,
                "no history is kept; set `history.enabled`, or start with --history",
            )
        })
    }
}

impl FromRef<HistoryState> for ApiState {
    fn from_ref(state: &HistoryState) -> Self {
        state.api.clone()
    }
}

/// The routes.
pub fn routes() -> Router<HistoryState> {
    Router::new()
        .route("/v1/chats/{chat}/history", get(query).delete(erase_chat))
        .route("/v1/users/{user}/history", delete(erase_user))
}

/// The query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryText {
    /// Milliseconds since 1970, or RFC 3339.
    from: Option<String>,
    /// The same; rows before it.
    to: Option<String>,
    user: Option<String>,
    session: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

#[derive(Debug, Serialize)]
struct RowJson {
    user: String,
    session: String,
    at: u64,
    offset: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    historical: bool,
    point: PointJson,
}

#[derive(Debug, Serialize)]
struct GapJson {
    records: u64,
    noticed_at: u64,
}

#[derive(Debug, Serialize)]
struct EraseJson {
    #[serde(flatten)]
    report: EraseReport,
    not_covered: &'static str,
}

#[derive(Debug, Serialize)]
struct PageJson {
    points: Vec<RowJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<GapJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// `GET /v1/chats/{chat}/history`
///
/// # Errors
/// `not_found` when no history is kept or the chat was never named; `bad_request`, `bad_name`,
/// `bad_cursor` for a query that is not as described; `internal` when the database cannot be read.
pub async fn query(
    State(state): State<HistoryState>,
    Caller(_operator): Caller,
    ChatPath(chat): ChatPath,
    text: Result<Query<QueryText>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let history = state.history()?.clone();
    let Query(text) = text.map_err(|_| {
        ApiError::new(
            Code::BadRequest,
            "the query has `from`, `to`, `user`, `session`, `after`, `limit`, each once",
        )
    })?;
    let (handle, partition) = history.chat(&chat).ok_or(ApiError::of(Code::NotFound))?;
    let query = text.read(handle, partition)?;
    let wants_gpx = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains(GPX));
    // Made where the database is read: the threads of requests also shake hands.
    let answer = move || {
        let page = history.page(&query).map_err(|error| refused(&error))?;
        match wants_gpx {
            true => gpx(&page),
            false => Ok(Json(PageJson::from(page)).into_response()),
        }
    };
    tokio::task::spawn_blocking(answer)
        .await
        .map_err(|_| ApiError::of(Code::Internal))?
}

/// `DELETE /v1/chats/{chat}/history`
///
/// # Errors
/// `not_found` when no history is kept or the chat was never named; `not_durable` when it could not
/// be erased.
pub async fn erase_chat(
    State(state): State<HistoryState>,
    Caller(_operator): Caller,
    ChatPath(chat): ChatPath,
) -> Result<Response, ApiError> {
    let history = state.history()?;
    let (handle, _) = history.chat(&chat).ok_or(ApiError::of(Code::NotFound))?;
    erase(history, EraseWhat::Chat(handle)).await
}

/// `DELETE /v1/users/{user}/history`
///
/// # Errors
/// `not_found` when no history is kept; `not_durable` when it could not be erased.
pub async fn erase_user(
    State(state): State<HistoryState>,
    Caller(_operator): Caller,
    UserPath(user): UserPath,
) -> Result<Response, ApiError> {
    erase(state.history()?, EraseWhat::User(user)).await
}

async fn erase(history: &History, what: EraseWhat) -> Result<Response, ApiError> {
    let deadline = Duration::from_millis(ERASE_DEADLINE_MS);
    let late = || {
        ApiError::new(
            Code::NotDurable,
            "the erase is not done yet and goes on; repeat it to know when it is",
        )
    };
    let report = tokio::time::timeout(deadline, history.erase(what))
        .await
        .map_err(|_| late())?
        .map_err(|_| refused(&HistoryError::Stopping))?
        .map_err(|error| {
            tracing::error!(%error, "the history could not be erased");
            ApiError::new(
                Code::NotDurable,
                "not everything was erased: the database refuses; see the server's log, free disk space, erase again",
            )
        })?;
    // 202 as elsewhere: it is applied, and the server goes on until nothing is left in the file.
    let status = match report.scrubbed {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    let answer = EraseJson {
        report,
        not_covered: LOG_NOT_COVERED,
    };
    Ok((status, Json(answer)).into_response())
}

fn refused(error: &HistoryError) -> ApiError {
    if matches!(error, HistoryError::Stopping) {
        return ApiError::of(Code::GoingAway);
    }
    tracing::error!(%error, "the history cannot be read");
    ApiError::new(
        Code::Internal,
        "the history cannot be read; see the server's log",
    )
}

impl QueryText {
    fn read(&self, chat: u32, partition: u16) -> Result<HistoryQuery, ApiError> {
        let limit = match &self.limit {
            None => PAGE_ROWS_DEFAULT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=PAGE_ROWS_MAX).contains(limit))
                .ok_or_else(|| bad(format!("`limit` is not a number from 1 to {PAGE_ROWS_MAX}")))?,
        };
        let query = HistoryQuery {
            chat,
            partition,
            from_ms: time(self.from.as_deref(), 0)?,
            to_ms: time(self.to.as_deref(), u64::MAX)?,
            user: match &self.user {
                Some(user) => Some(UserName::new(user)?.as_str().to_owned()),
                None => None,
            },
            session: match &self.session {
                Some(session) => Some(session.parse::<SessionId>()?),
                None => None,
            },
            after: match &self.after {
                Some(after) => Some(after.parse::<After>().map_err(|_| {
                    ApiError::new(
                        Code::BadCursor,
                        "`after` is not the `next` of an answer; use it as it was given, or none",
                    )
                })?),
                None => None,
            },
            limit,
        };
        if query.from_ms >= query.to_ms {
            return Err(bad("`from` is not before `to`"));
        }
        Ok(query)
    }
}

fn bad(text: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(Code::BadRequest, text)
}

fn time(text: Option<&str>, absent: u64) -> Result<u64, ApiError> {
    let Some(text) = text else {
        return Ok(absent);
    };
    let date = || time_text::parse_ms(text).and_then(|ms| u64::try_from(ms).ok());
    text.parse().ok().or_else(date).ok_or_else(|| {
        bad("`from` and `to` are milliseconds since 1970, or times like 2020-12-18T06:15:50Z")
    })
}

impl From<HistoryRow> for RowJson {
    fn from(row: HistoryRow) -> Self {
        Self {
            point: PointJson::from(&row.point),
            user: row.user,
            session: row.session.to_string(),
            at: row.at_ms,
            offset: row.offset,
            historical: row.historical,
        }
    }
}

impl From<Page> for PageJson {
    fn from(page: Page) -> Self {
        let gap = |gap: &crate::history::query::Gap| GapJson {
            records: gap.last - gap.first + 1,
            noticed_at: gap.noticed_ms,
        };
        Self {
            gaps: page.gaps.iter().map(gap).collect(),
            points: page.rows.into_iter().map(RowJson::from).collect(),
            next: page.next.map(|next| next.to_string()),
        }
    }
}

/// Sealed points cannot be in a track.
fn gpx(page: &Page) -> Result<Response, ApiError> {
    let mut tracks = Tracks::default();
    for row in &page.rows {
        if let Payload::Fix(fix) = &row.point.payload {
            let point = TrackPoint {
                time_ms: row.at_ms as i64,
                lat: fix.position.lat(),
                lon: fix.position.lon(),
            };
            tracks.add(row.session, &row.user, point);
        }
    }
    let document = tracks.write(Vec::new());
    let document = document.map_err(|_| ApiError::of(Code::Internal))?;
    let mut response = ([(CONTENT_TYPE, GPX)], document).into_response();
    let next = page
        .next
        .and_then(|next| HeaderValue::from_str(&next.to_string()).ok());
    if let Some(next) = next {
        response.headers_mut().insert(NEXT_HEADER, next);
    }
    Ok(response)
}
