//! `POST /v1/points`: points from senders that have nothing better than HTTP.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use skein_engine::request::{ChatReply, ChatRequest, PointsReply, PointsRequest};
use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatName, Counter, SessionId};
use skein_wire::limits::POINTS_PER_UPLOAD_MAX;
use skein_wire::point::Point;
use skein_wire::update::Verdict;

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

/// Answers with what became of the points. One whose values are out of range has a verdict of its own
/// and does not stand in the way of the others: a phone that was away uploads what it has once.
///
/// # Errors
/// What the owner shard says; `bad_request`, `too_large` for the body; `bad_point`, `no_fix` when no
/// point of it can be taken.
pub async fn post(
    State(state): State<ApiState>,
    Caller(actor): Caller,
    JsonBody(body): JsonBody<PointsBody>,
) -> Result<Json<Value>, ApiError> {
    let (points, refused) = points(&body.points)?;
    let request = PointsRequest {
        chat: ChatName::new(&body.chat)?,
        session: body.session.parse::<SessionId>()?,
        actor,
        historical: body.historical,
        durable: body.durable,
        points,
    };
    match ask(&*state.gateway, ChatRequest::Points(request)).await? {
        ChatReply::Points(mut reply) => {
            reply.verdicts.extend(refused);
            reply.verdicts.sort_by_key(|verdict| verdict.counter);
            Ok(Json(to_json(&reply)))
        }
        other => Err(mismatch(&other)),
    }
}

/// The points that can be taken, and what is wrong with the others.
fn points(json: &[PointJson]) -> Result<(Vec<Point>, Vec<Verdict>), ApiError> {
    if json.is_empty() {
        return Err(ApiError::new(
            Code::BadRequest,
            "`points` is empty; send at least one",
        ));
    }
    if json.len() > POINTS_PER_UPLOAD_MAX {
        return Err(ApiError::new(
            Code::TooLarge,
            format!("more than {POINTS_PER_UPLOAD_MAX} points; send several uploads"),
        ));
    }
    let mut taken = Vec::with_capacity(json.len());
    let mut refused = Vec::new();
    let mut first = None;
    for (index, point) in json.iter().enumerate() {
        match point.to_point() {
            Ok(point) => taken.push(point),
            Err(WireError { code, text }) => {
                let error = ApiError::new(code, format!("point {index}: {text}"));
                if !matches!(code, Code::BadPoint | Code::NoFix) {
                    return Err(error);
                }
                first.get_or_insert(error);
                refused.push(Verdict {
                    counter: Counter(point.counter),
                    code,
                });
            }
        }
    }
    match first.filter(|_| taken.is_empty()) {
        Some(error) => Err(error),
        None => Ok((taken, refused)),
    }
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
