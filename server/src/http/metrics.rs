//! `GET /metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use skein_wire::error::Code;

use crate::http::error::ApiError;
use crate::metrics::MetricsBoard;

/// Media type of the answer.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers `GET /metrics`.
///
/// # Errors
/// `internal` when the text cannot be written.
pub async fn get(State(board): State<Arc<MetricsBoard>>) -> Result<Response, ApiError> {
    let text = board.text().map_err(|_| ApiError::of(Code::Internal))?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}
