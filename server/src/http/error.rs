//! Errors as the HTTP API says them: `{"code": "...", "text": "..."}` with the code's own status.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use skein_wire::error::{Code, WireError};

use crate::access::rates::TooOften;

/// What is said of a path that an API does not have.
pub const NO_SUCH_PATH: &str = "no such path; see the API description";

/// An error on its way to a caller.
#[derive(Debug)]
pub struct ApiError {
    /// Which, and what is said.
    pub error: WireError,
    /// Milliseconds until it may be tried again, where that is known.
    retry_after_ms: Option<u32>,
}

/// The body of an error.
#[derive(Debug, Serialize)]
struct Body<'a> {
    code: &'static str,
    text: &'a str,
}

impl ApiError {
    /// An error with the code's own text.
    pub fn of(code: Code) -> Self {
        WireError::of(code).into()
    }

    /// An error with a text of its own, which must say what to do next.
    pub fn new(code: Code, text: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        WireError::new(code, text).into()
    }
}

impl From<WireError> for ApiError {
    fn from(error: WireError) -> Self {
        Self {
            error,
            retry_after_ms: None,
        }
    }
}

impl From<TooOften> for ApiError {
    fn from(too_often: TooOften) -> Self {
        Self {
            retry_after_ms: Some(too_often.retry_after_ms),
            error: too_often.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let WireError { code, text } = self.error;
        let status =
            StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = Json(Body {
            code: code.name(),
            text: &text,
        });
        let mut response = (status, body).into_response();
        if let Some(wait_ms) = self.retry_after_ms {
            let seconds = HeaderValue::from(wait_ms.div_ceil(1_000));
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}
