//! HTTP at a relay: its health, and for everything else where to go.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::json;
use skein_wire::error::Code;

use crate::clock::Clock;
use crate::health::{Health, Phase};
use crate::http::error::ApiError;
use crate::http::metrics;
use crate::metrics::{MetricRow, MetricsBoard};

/// Place of `relay_upstream_connected` in the row of a relay's metrics.
pub const UPSTREAM_CONNECTED: usize = 0;

/// What the handlers of a relay are given.
#[derive(Clone, Debug)]
pub struct RelayState {
    /// What the relay knows of itself.
    pub health: Arc<Health>,
    /// Where the link shows whether it hears its upstream: its first number.
    pub link: Arc<MetricRow>,
    /// The relay's clock.
    pub clock: Clock,
    /// Where who shares is sent to.
    pub senders_to: Option<String>,
}

/// The public routes of a relay.
pub fn public(state: RelayState) -> Router {
    Router::new()
        .route("/v1/health", get(health))
        .fallback(elsewhere)
        .with_state(state)
}

/// The control routes of a relay.
pub fn control(state: RelayState, board: Arc<MetricsBoard>) -> Router {
    public(state).merge(
        Router::new()
            .route("/metrics", get(metrics::get))
            .with_state(board),
    )
}

/// Answers `GET /v1/health`: 200 while the relay serves, also while it does not hear its upstream.
async fn health(State(state): State<RelayState>) -> Response {
    let (status, name) = match state.health.phase() {
        Phase::Recovering => (StatusCode::SERVICE_UNAVAILABLE, "recovering"),
        Phase::Serving => (StatusCode::OK, "ok"),
        Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    let body = json!({
        "status": name,
        "version": env!("CARGO_PKG_VERSION"),
        "upstream": if state.link.get(UPSTREAM_CONNECTED) == 1 { "connected" } else { "lost" },
        "time_ms": state.clock.now_ms(),
    });
    (status, Json(body)).into_response()
}

async fn elsewhere(State(state): State<RelayState>) -> Response {
    let error = match state.senders_to {
        Some(server) => ApiError::new(
            Code::Relayed,
            format!("this is a relay and serves viewers only; ask {server}"),
        ),
        None => ApiError::of(Code::Relayed),
    };
    error.into_response()
}
