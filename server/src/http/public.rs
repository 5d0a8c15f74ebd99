//! The public API: what users' devices may ask over HTTP.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use skein_wire::error::Code;

use crate::http::error::{ApiError, NO_SUCH_PATH};
use crate::http::state::ApiState;
use crate::http::viewers::{self, ViewersState};
use crate::http::{geofences, health, points, positions, sessions, settings};

/// The public routes.
pub fn router(state: ApiState, viewers: ViewersState) -> Router {
    Router::new()
        .merge(session_routes())
        .merge(geofences::routes())
        .route("/v1/chats/{chat}/positions", get(positions::get))
        .route("/v1/chats/{chat}/settings", get(settings::get))
        .route("/v1/points", post(points::post))
        .route("/v1/health", get(health::get))
        .merge(viewers::routes().with_state(viewers))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(state.clone(), bounded))
        .with_state(state)
}

/// The routes that both APIs have.
pub fn session_routes() -> Router<ApiState> {
    Router::new()
        .route(
            "/v1/chats/{chat}/sessions",
            get(sessions::list).post(sessions::start),
        )
        .route(
            "/v1/chats/{chat}/sessions/{session}",
            delete(sessions::stop).patch(sessions::extend),
        )
        .route(
            "/v1/chats/{chat}/sessions/{session}/extend",
            post(sessions::extend),
        )
}

/// Answers paths that are not there.
pub async fn no_such_path() -> Response {
    ApiError::new(Code::NotFound, NO_SUCH_PATH).into_response()
}

/// Answers methods that a path does not have.
pub async fn wrong_method() -> Response {
    let mut response =
        ApiError::new(Code::BadRequest, "this path does not have that method").into_response();
    *response.status_mut() = http::StatusCode::METHOD_NOT_ALLOWED;
    response
}

/// Takes a place for the request, or says `busy`: a queue here would only grow old.
pub async fn bounded(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    match state.requests.clone().try_acquire_owned() {
        Ok(_place) => next.run(request).await,
        Err(_) => ApiError::of(Code::Busy).into_response(),
    }
}
