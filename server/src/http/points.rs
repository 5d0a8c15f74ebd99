//! `POST /v1/points`: points from senders that have nothing better than HTTP.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use skein_engine::request::{ChatReply, ChatRequest, PointsReply, PointsRequest};
use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatName, SessionId};
use skein_wire::limits::POINTS_PER_UPLOAD_MAX;
use skein_wire::point::Point;

use crate::http::body::JsonBody;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::gateway::{ask, mismatch};
use crate::http::point_json::PointJson;
use crate::http::state::ApiState;

/// Body of an upload.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointsBody {
    /// Where.
    chat: String,
    /// Which session, 16 hexadecimal digits.
    session: String,
    /// They lie behind the newest point: trail and history only.
    #[serde(default)]
    historical: bool,
    /// Answer only when they are durable.
    #[serde(default)]
    durable: bool,
    /// Oldest first.
    points: Vec<PointJson>,
}

/// Answers with what became of the points. One that is out of range refuses the whole upload.
///
/// # Errors
/// What the owner shard says; `bad_point`, `no_fix`, `bad_request`, `too_large` for the body.
pub async fn post(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    JsonBody(body): JsonBody<PointsBody>,
) -> Result<Json<Value>, ApiError> {
    let request = PointsRequest {
        chat: ChatName::new(&body.chat)?,
        session: body.session.parse::<SessionId>()?,
        actor,
        historical: body.historical,
        durable: body.durable,
        points: points(&body.points)?,
    };
    match ask(&*state.gateway, ChatRequest::Points(request)).await? {
        ChatReply::Points(reply) => Ok(Json(to_json(&reply))),
        other => Err(mismatch(&other)),
    }
}

fn points(json: &[PointJson]) -> Result<Vec<Point>, ApiError> {
    if json.is_empty() {
        return Err(ApiError::new(
            Code::BadRequest,
            "`points` is empty; send at least one",
        ));
    }
    if json.len() > POINTS_PER_UPLOAD_MAX {
        return Err(ApiError::new(
            Code::TooLarge,
            "more than 128 points; send several uploads",
        ));
    }
    let numbered = |(index, point): (usize, &PointJson)| {
        point.to_point().map_err(|WireError { code, text }| {
            ApiError::new(code, format!("point {index}: {text}"))
        })
    };
    json.iter().enumerate().map(numbered).collect()
}

fn to_json(reply: &PointsReply) -> Value {
    let verdicts: Vec<Value> = reply
        .verdicts
        .iter()
        .map(|verdict| json!({ "counter": verdict.counter.0, "code": verdict.code.name() }))
        .collect();
    json!({
        "counter_last": reply.counter_last.0,
        "accepted": reply.accepted,
        "durable": reply.durable,
        "verdicts": verdicts,
    })
}
