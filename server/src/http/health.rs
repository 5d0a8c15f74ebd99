//! `GET /v1/health`: whether the server serves, and what it cannot promise for now.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::health::Phase;
use crate::http::state::ApiState;

/// Answers `GET /v1/health`: 200 while the server serves, 503 before and after.
pub async fn get(State(state): State<ApiState>) -> Response {
    let health = &state.health;
    let (status, name) = match health.phase() {
        Phase::Recovering => (StatusCode::SERVICE_UNAVAILABLE, "recovering"),
        Phase::Serving => (StatusCode::OK, "ok"),
        Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    let body = json!({
        "status": name,
        "version": env!("CARGO_PKG_VERSION"),
        "control_durable": health.control_durable(),
        "log_durable": health.log_durable(),
        "time_ms": state.clock.now_ms(),
    });
    (status, Json(body)).into_response()
}
