//! A JSON body: limited in bytes and time, refused with the field that is wrong.
//!
//! Errors never repeat a value: it may be a coordinate.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use skein_wire::error::Code;

use crate::http::error::ApiError;
use crate::http::limits::{BODY_BYTES_MAX, BODY_DEADLINE_MS};

/// The request's body, parsed. An empty body counts as `{}`.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let reading = to_bytes(request.into_body(), BODY_BYTES_MAX);
        let bytes = tokio::time::timeout(Duration::from_millis(BODY_DEADLINE_MS), reading)
            .await
            .map_err(|_| ApiError::of(Code::Deadline))?
            .map_err(|_| too_large())?;
        parse(&bytes).map(JsonBody)
    }
}

fn too_large() -> ApiError {
    ApiError::new(
        Code::TooLarge,
        format!(
            "the body is longer than {} KiB or broke off; split it",
            BODY_BYTES_MAX / 1_024
        ),
    )
}

/// Parses a body.
///
/// # Errors
/// `bad_request`, with the field or the place.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| ApiError::new(Code::BadRequest, describe(&error)))
}

fn describe(error: &serde_json::Error) -> String {
    // A body of one line may itself be a line of something, which has another number there.
    let place = match error.line() {
        0 | 1 => format!("column {}", error.column()),
        line => format!("line {line} column {}", error.column()),
    };
    if error.is_syntax() || error.is_eof() {
        return format!("the body is not JSON at {place}; send a JSON object");
    }
    let text = error.to_string();
    let names_a_field = ["missing field", "unknown field", "duplicate field"]
        .iter()
        .any(|start| text.starts_with(start));
    if names_a_field {
        format!("{text}; see the API description")
    } else {
        format!("a field has the wrong type or is out of range at {place}; see the API description")
    }
}
