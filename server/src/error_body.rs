//! What an error is on HTTP: `{"code": "...", "text": "..."}`, with the code's own status unless HTTP has one that says
//! more, and with `Retry-After` where trying again is what helps.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use skein_wire::error::WireError;

/// Seconds after which to try again what there was no room for, where nobody knows better.
const RETRY_AFTER_S: u32 = 1;

#[derive(Debug, Serialize)]
struct ErrorBody<'a> {
    code: &'static str,
    text: &'a str,
}

/// The status of an error's code.
pub fn status_of(error: &WireError) -> StatusCode {
    let status = StatusCode::from_u16(error.code.http_status());
    status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// An error with its code's own status.
pub fn response(error: &WireError, retry_after_ms: Option<u32>) -> Response {
    response_as(status_of(error), error, retry_after_ms)
}

/// An error of the transport, which HTTP has a status for.
pub fn response_as(status: StatusCode, error: &WireError, retry_after_ms: Option<u32>) -> Response {
    let body = Json(ErrorBody {
        code: error.code.name(),
        text: &error.text,
    });
    let mut response = (status, body).into_response();
    let known_s = retry_after_ms.map(|wait_ms| wait_ms.div_ceil(1_000));
    let retry_after_s = match status {
        StatusCode::SERVICE_UNAVAILABLE => known_s.or(Some(RETRY_AFTER_S)),
        _ => known_s,
    };
    if let Some(seconds) = retry_after_s {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use skein_wire::error::Code;

    use super::*;

    #[test]
    fn trying_again_is_said_where_it_helps() {
        for code in Code::ALL {
            let answer = response(&WireError::of(*code), None);
            assert_eq!(answer.status().as_u16(), code.http_status(), "{code}");
            let is_said = answer.headers().contains_key(RETRY_AFTER);
            assert_eq!(is_said, code.http_status() == 503, "{code}");
        }
        let answer = response(&WireError::of(Code::RateLimited), Some(1_001));
        assert_eq!(answer.headers()[RETRY_AFTER], "2");
        let answer = response(&WireError::of(Code::Busy), Some(5_000));
        assert_eq!(answer.headers()[RETRY_AFTER], "5");
    }
}
