//! `GET /v1/log` and `GET /v1/log/{partition}?after=&epoch=&limit=&wait_ms=`: the event log for other
//! programs, resumable. Control scope: the records hold positions.
//!
//! The offset of the last record is where a caller goes on: the header `skein-after` of an answer is
//! the `after` of the next request, also where the last records were taken out. Records are given when
//! they are appended; what lies beyond `skein-durable` may be lost in a power failure, and its offsets
//! may come again, in an epoch of their own: who gives the header `skein-epoch` back as `epoch` is told so
//! instead of getting other records from there on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRef, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Value, json};
use skein_log::{ConsumerStat, EpochStart, Inspector, Reader};
use skein_wire::error::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::limits::{
    LOG_LISTS_MAX, LOG_PAGE_RECORDS, LOG_PAGE_RECORDS_MAX, LOG_READS_MAX, LOG_WAIT_MS_MAX,
};
use crate::http::log_page::{self, Page, PageRequest};
use crate::http::public::wrong_method;
use crate::http::state::ApiState;

/// Media type of a page.
const JSON_LINES: &str = "application/x-ndjson";

/// Headers of a page.
const AFTER: &str = "skein-after";
const DURABLE: &str = "skein-durable";
const EPOCH: &str = "skein-epoch";

/// The routes, beside those of the control API. Readers are bounded by themselves: they may wait.
pub fn routes(log: LogState) -> Router {
    Router::new()
        .route("/v1/log", get(list))
        .route("/v1/log/{partition}", get(read))
        .method_not_allowed_fallback(wrong_method)
        .with_state(log)
}

/// What reads of the log share.
#[derive(Clone)]
pub struct LogState {
    api: ApiState,
    readers: Arc<Vec<Reader>>,
    inspector: Inspector,
    places: Arc<Semaphore>,
    list_places: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl LogState {
    /// Reads until `stop` is true. `readers` has one per partition, in order; `inspector` looks at
    /// the same log, for what lies beside the records.
    pub fn new(
        api: ApiState,
        readers: Vec<Reader>,
        inspector: Inspector,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            api,
            readers: Arc::new(readers),
            inspector,
            places: Arc::new(Semaphore::new(LOG_READS_MAX)),
            list_places: Arc::new(Semaphore::new(LOG_LISTS_MAX)),
            stop,
        }
    }

    fn reader(&self, partition: &str) -> Result<Reader, ApiError> {
        let Ok(number) = partition.parse::<u16>() else {
            return Err(bad_request(
                "a partition is a number; GET /v1/log lists them",
            ));
        };
        let reader = self.readers.get(usize::from(number)).cloned();
        reader.ok_or_else(|| {
            let last = self.readers.len().saturating_sub(1);
            let text = format!("this log has partitions 0 to {last}; GET /v1/log lists them");
            ApiError::new(Code::NotFound, text)
        })
    }
}

impl fmt::Debug for LogState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogState")
            .field("partitions", &self.readers.len())
            .finish_non_exhaustive()
    }
}

impl FromRef<LogState> for ApiState {
    fn from_ref(log: &LogState) -> Self {
        log.api.clone()
    }
}

fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ApiError> {
    let place = places.clone().try_acquire_owned();
    place.map_err(|_| ApiError::of(Code::Busy))
}

/// The query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// Go on behind this offset; absent = from the first record.
    #[serde(default)]
    after: u64,
    /// The epoch in which that offset was read.
    epoch: Option<u32>,
    /// Lines of the answer.
    limit: Option<usize>,
    /// Wait so long for the first record, milliseconds.
    #[serde(default)]
    wait_ms: u64,
}

impl LogQuery {
    fn page(&self) -> Result<PageRequest, ApiError> {
        let lines_max = self.limit.unwrap_or(LOG_PAGE_RECORDS);
        if !(1..=LOG_PAGE_RECORDS_MAX).contains(&lines_max) {
            return Err(bad_request(format!(
                "`limit` is 1 to {LOG_PAGE_RECORDS_MAX} records; go on with the header {AFTER}"
            )));
        }
        if self.wait_ms > LOG_WAIT_MS_MAX {
            return Err(bad_request(format!(
                "`wait_ms` is at most {LOG_WAIT_MS_MAX}; ask again when nothing came"
            )));
        }
        Ok(PageRequest {
            after: self.after,
            lines_max,
            wait: Duration::from_millis(self.wait_ms),
        })
    }
}

fn bad_request(text: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::new(Code::BadRequest, text)
}

/// Answers with records.
///
/// # Errors
/// `bad_request` for a query that is none and for an offset of the future, `not_found` for a
/// partition that is not there, `busy` when too many read.
pub async fn read(
    State(log): State<LogState>,
    Caller(_operator): Caller,
    Path(partition): Path<String>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|_| {
        bad_request(
            "`after`, `epoch`, `limit` and `wait_ms` are numbers, and there is nothing else",
        )
    })?;
    let reader = log.reader(&partition)?;
    let request = query.page()?;
    if let Some(epoch) = query.epoch {
        same_history(&reader.epochs(), epoch, request.after)?;
    }
    let appended = reader.appended();
    if request.after > appended {
        return Err(bad_request(format!(
            "`after` is beyond the newest record, {appended}; if it was given before, it was lost \
             with the machine's power: go on behind `durable` of GET /v1/log"
        )));
    }
    let (place, stop) = (place(&log.places)?, log.stop.clone());
    let of_page = reader.clone();
    // Old records may have to come from the disk.
    let page = tokio::task::spawn_blocking(move || {
        let page = log_page::read(of_page, request, || *stop.borrow());
        drop(place);
        page
    });
    let page = page.await.map_err(|_| ApiError::of(Code::Internal))?;
    Ok(answer(page, &reader))
}

/// Whether what was read up to `after` in an epoch is still what the log holds up to there.
///
/// # Errors
/// `conflict`: a later epoch began before, with other records; `bad_request`: there was no such epoch.
fn same_history(epochs: &[EpochStart], epoch: u32, after: u64) -> Result<(), ApiError> {
    let newest = epochs.last().map_or(0, |start| start.epoch);
    if epoch > newest {
        let text = format!("`epoch` is beyond the newest one, {newest}; use the header {EPOCH}");
        return Err(bad_request(text));
    }
    let later = epochs.iter().filter(|start| start.epoch > epoch);
    let overwritten_from = later.map(|start| start.first_offset).min();
    match overwritten_from.filter(|from| *from <= after) {
        None => Ok(()),
        Some(from) => {
            let held = from - 1;
            let text = format!(
                "what was read behind offset {held} was lost with the machine's power; go on with \
                 `after={held}` and `epoch={newest}`"
            );
            Err(ApiError::new(Code::Conflict, text))
        }
    }
}

fn answer(page: Page, reader: &Reader) -> Response {
    let epoch = reader.epochs().last().map_or(0, |start| start.epoch);
    let headers = [
        (CONTENT_TYPE.as_str(), JSON_LINES.to_owned()),
        (AFTER, page.after.to_string()),
        (DURABLE, reader.durable().to_string()),
        (EPOCH, epoch.to_string()),
    ];
    (headers, page.body).into_response()
}

/// Lists the partitions, and how far the consumers are behind.
///
/// # Errors
/// `busy` when too many read, `internal` when the directory cannot be read.
pub async fn list(
    State(log): State<LogState>,
    Caller(_operator): Caller,
) -> Result<Json<Value>, ApiError> {
    let place = place(&log.list_places)?;
    let inspector = log.inspector.clone();
    let consumers = tokio::task::spawn_blocking(move || {
        let consumers = inspector.consumers();
        drop(place);
        consumers
    });
    let consumers = consumers.await.map_err(|_| ApiError::of(Code::Internal))?;
    let consumers = consumers.map_err(|error| {
        tracing::error!(%error, "the log's consumers cannot be listed");
        ApiError::of(Code::Internal)
    })?;
    let partitions: Vec<Value> = log.readers.iter().map(partition_json).collect();
    let consumers: Vec<Value> = consumers
        .iter()
        .map(|consumer| consumer_json(consumer, &log.readers))
        .collect();
    Ok(Json(json!({
        "log": log.inspector.log_id().to_string(),
        "partitions": partitions,
        "consumers": consumers,
    })))
}

fn partition_json(reader: &Reader) -> Value {
    let epoch = reader.epochs().last().map_or(0, |start| start.epoch);
    json!({
        "partition": reader.partition().0,
        "epoch": epoch,
        "first": reader.first_offset(),
        "next": reader.appended() + 1,
        "durable": reader.durable(),
        "checkpoint": reader.checkpoint(),
    })
}

/// Only the partitions that hold something: of the others there is nothing to be behind of.
fn consumer_json(consumer: &ConsumerStat, readers: &[Reader]) -> Value {
    let mut lag = 0;
    let mut places = Vec::new();
    for (reader, next) in readers.iter().zip(&consumer.next) {
        let end = reader.appended() + 1;
        if end > 1 {
            let behind = end.saturating_sub(*next);
            lag += behind;
            places.push(json!({
                "partition": reader.partition().0,
                "next": next,
                "lag": behind,
            }));
        }
    }
    json!({ "name": consumer.name, "lag": lag, "places": places })
}

#[cfg(test)]
mod tests {
    use skein_log::EpochStart;

    use super::{Code, same_history};

    #[test]
    fn an_offset_of_a_lost_stretch_is_told_from_one_that_was_kept() {
        let start = |epoch, first_offset| EpochStart {
            epoch,
            first_offset,
        };
        let epochs = [start(1, 1), start(2, 11), start(4, 8)];
        let code =
            |epoch, after| same_history(&epochs, epoch, after).map_err(|error| error.error.code);
        assert_eq!(code(1, 7), Ok(()));
        assert_eq!(code(1, 8), Err(Code::Conflict));
        assert_eq!(code(2, 10), Err(Code::Conflict));
        assert_eq!(code(3, 7), Ok(()), "one that nobody wrote in");
        assert_eq!(code(4, 500), Ok(()));
        assert_eq!(code(5, 1), Err(Code::BadRequest));
        let told = same_history(&epochs, 1, 12).map_err(|error| error.error.text.to_string());
        let told = told.expect_err("two epochs began before");
        assert!(told.contains("`after=7` and `epoch=4`"), "{told}");
    }
}
