//! `If-Match` and `ETag` where members are concerned: nobody overwrites what they have not seen.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{ETAG, IF_MATCH};
use http::request::Parts;
use skein_wire::error::Code;

use crate::http::error::ApiError;

/// The version that the caller saw, if it says one; `*` is any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfMatch(pub Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        match parts.headers.get(IF_MATCH) {
            None => Ok(Self(None)),
            Some(value) => parse(value),
        }
    }
}

fn parse(value: &HeaderValue) -> Result<IfMatch, ApiError> {
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(IfMatch(None));
    }
    let quoted = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    let version = quoted.unwrap_or(text).parse().map_err(|_| {
        ApiError::new(
            Code::BadRequest,
            "`If-Match` is a version as `ETag` gave it, in quotes",
        )
    })?;
    Ok(IfMatch(Some(version)))
}

/// An answer with its version as `ETag`; 0 = it has none.
pub fn with_version(version: u64, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    if version > 0
        && let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\""))
    {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use crate::http::if_match::{IfMatch, parse};

    #[test]
    fn a_version_is_read_as_it_was_given() {
        for (text, expect) in [("\"17\"", Some(17)), ("17", Some(17)), ("*", None)] {
            let parsed = parse(&HeaderValue::from_static(text)).expect(text);
            assert_eq!(parsed, IfMatch(expect));
        }
        for text in ["", "\"\"", "W/\"17\"", "\"17", "-1", "seventeen"] {
            assert!(parse(&HeaderValue::from_static(text)).is_err(), "{text}");
        }
    }
}
