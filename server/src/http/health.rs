//! `GET /v1/health`: whether the server serves, and what it cannot promise for now.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::http::state::ApiState;

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Reading its log.
    Recovering = 0,
    /// Serving.
    Serving = 1,
    /// Saying goodbye.
    Stopping = 2,
}

/// What the server knows of itself. Any thread may write it.
#[derive(Debug)]
pub struct Health {
    phase: AtomicU8,
    control_durable: AtomicBool,
    log_durable: AtomicBool,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Recovering as u8),
            control_durable: AtomicBool::new(true),
            log_durable: AtomicBool::new(true),
        }
    }
}

impl Health {
    /// Says where the server is in its life.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Says whether the control log can be made durable; while not, starts are refused.
    pub fn set_control_durable(&self, durable: bool) {
        self.control_durable.store(durable, Ordering::Release);
    }

    /// Says whether the event log is on disk; while not, points survive no crash.
    pub fn set_log_durable(&self, durable: bool) {
        self.log_durable.store(durable, Ordering::Release);
    }

    /// Where the server is in its life.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Recovering,
            1 => Phase::Serving,
            _ => Phase::Stopping,
        }
    }
}

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
        "control_durable": health.control_durable.load(Ordering::Acquire),
        "log_durable": health.log_durable.load(Ordering::Acquire),
        "time_ms": state.clock.now_ms(),
    });
    (status, Json(body)).into_response()
}
