//! The control API: members, sessions of everybody, events, metrics. On a listener of its own.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, put};

use crate::http::events::{self, EventsState};
use crate::http::guests::{self, GuestsState};
use crate::http::history::{self, HistoryState};
use crate::http::metrics;
use crate::http::public::{bounded, no_such_path, session_routes, wrong_method};
use crate::http::state::ApiState;
use crate::http::viewers::{self, ViewersState};
use crate::http::{geofences, health, member_import, members, positions, settings};
use crate::metrics::MetricsBoard;

/// The control routes. Health and metrics ask for no token: they say nothing of anybody.
pub fn router(
    state: ApiState,
    events: EventsState,
    history: HistoryState,
    guests: GuestsState,
    viewers: ViewersState,
    board: Arc<MetricsBoard>,
) -> Router {
    Router::new()
        .merge(session_routes())
        .merge(geofences::routes())
        .merge(geofences::control_routes())
        .route("/v1/chats/{chat}/positions", get(positions::get))
        .route(
            "/v1/chats/{chat}/members",
            get(members::list).post(member_import::import),
        )
        .route(
            "/v1/chats/{chat}/members/{user}",
            put(members::put).delete(members::remove),
        )
        .route(
            "/v1/chats/{chat}/settings",
            get(settings::get).put(settings::put),
        )
        .route("/v1/health", get(health::get))
        .merge(history::routes().with_state(history))
        .merge(guests::routes().with_state(guests))
        .merge(viewers::routes().with_state(viewers))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(state.clone(), bounded))
        .with_state(state)
        // Streams of events are bounded by themselves; scrapes must work when all else is full.
        .merge(
            Router::new()
                .route("/v1/events", get(events::get))
                .with_state(events),
        )
        .merge(
            Router::new()
                .route("/metrics", get(metrics::get))
                .with_state(board),
        )
}
