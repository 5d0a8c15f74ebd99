//! Errors of the HTTP API on their way to a caller.

use axum::response::{IntoResponse, Response};
use skein_wire::error::{Code, WireError};

use crate::access::rates::TooOften;
use crate::error_body;

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
        error_body::response(&self.error, self.retry_after_ms)
    }
}
