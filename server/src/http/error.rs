//! Errors as the HTTP API says them: `{"code": "...", "text": "..."}` with the code's own status.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use skein_wire::error::{Code, WireError};

/// What is said of a path that an API does not have.
pub const NO_SUCH_PATH: &str = "no such path; see the API description";

/// An error on its way to a caller.
#[derive(Debug)]
pub struct ApiError(pub WireError);

/// The body of an error.
#[derive(Debug, Serialize)]
struct Body<'a> {
    code: &'static str,
    text: &'a str,
}

impl ApiError {
    /// An error with the code's own text.
    pub fn of(code: Code) -> Self {
        Self(WireError::of(code))
    }

    /// An error with a text of its own, which must say what to do next.
    pub fn new(code: Code, text: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self(WireError::new(code, text))
    }
}

impl From<WireError> for ApiError {
    fn from(error: WireError) -> Self {
        Self(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let WireError { code, text } = self.0;
        let status =
            StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (
            status,
            Json(Body {
                code: code.name(),
                text: &text,
            }),
        )
            .into_response()
    }
}
