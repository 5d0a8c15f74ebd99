//! Judges the request that asks for a WebSocket, and answers it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, HOST, HeaderName, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use skein_wire::limits::WEBSOCKET_SUBPROTOCOL;

use crate::edge::origins::Origins;

/// Where WebSockets are opened.
pub const WEBSOCKET_PATH: &str = "/v1/ws";

/// Text that RFC 6455 puts behind the client's key.
const ACCEPT_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bytes of a client's key, before base64.
const KEY_BYTES: usize = 16;

/// Why a request is not upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoUpgrade {
    /// HTTP status.
    pub status: StatusCode,
    /// What to do next.
    pub text: &'static str,
}

/// Checks a request for [`WEBSOCKET_PATH`]; the answer is the 101.
///
/// # Errors
/// What is missing, with the status that says so.
pub fn judge<B>(request: &Request<B>, origins: &Origins) -> Result<Response<()>, NoUpgrade> {
    let headers = request.headers();
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "a WebSocket is opened by GET over HTTP/1.1",
        );
    }
    if !has_token(headers, CONNECTION, "upgrade") || !has_token(headers, UPGRADE, "websocket") {
        return refuse(
            StatusCode::UPGRADE_REQUIRED,
            "this is a WebSocket; ask for an upgrade",
        );
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        return refuse(
            StatusCode::UPGRADE_REQUIRED,
            "the WebSocket version spoken here is 13",
        );
    }
    let Some(key) = headers
        .get(SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key.as_bytes()))
    else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "Sec-WebSocket-Key is not 16 bytes in base64",
        );
    };
    if !has_token(headers, SEC_WEBSOCKET_PROTOCOL, WEBSOCKET_SUBPROTOCOL) {
        return refuse(
            StatusCode::BAD_REQUEST,
            "the WebSocket subprotocol spoken here is skein.v1",
        );
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if !origins.allow(headers.get(ORIGIN), host) {
        return refuse(
            StatusCode::FORBIDDEN,
            "this page may not open a WebSocket here; list its origin",
        );
    }
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, accept(key.as_bytes()))
        .header(SEC_WEBSOCKET_PROTOCOL, WEBSOCKET_SUBPROTOCOL)
        .body(());
    Ok(response.expect("constant names and base64 are valid"))
}

fn refuse(status: StatusCode, text: &'static str) -> Result<Response<()>, NoUpgrade> {
    Err(NoUpgrade { status, text })
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}

fn is_key(key: &[u8]) -> bool {
    STANDARD
        .decode(key)
        .is_ok_and(|bytes| bytes.len() == KEY_BYTES)
}

/// The RFC's proof that the request was read: not a secret, so its old hash does no harm.
fn accept(key: &[u8]) -> String {
    let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key);
    digest.update(ACCEPT_SUFFIX.as_bytes());
    STANDARD.encode(digest.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(change: impl FnOnce(&mut Request<()>)) -> Request<()> {
        let mut request = Request::builder()
            .uri(WEBSOCKET_PATH)
            .header(CONNECTION, "keep-alive, Upgrade")
            .header(UPGRADE, "WebSocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .header(SEC_WEBSOCKET_PROTOCOL, "chat, skein.v1")
            .body(())
            .unwrap();
        change(&mut request);
        request
    }

    fn status(change: impl FnOnce(&mut Request<()>)) -> u16 {
        match judge(&request(change), &Origins::default()) {
            Ok(response) => response.status().as_u16(),
            Err(no) => no.status.as_u16(),
        }
    }

    #[test]
    fn the_answer_proves_that_the_key_was_read() {
        let response = judge(&request(|_| {}), &Origins::default()).unwrap();
        // The example of RFC 6455, section 1.3.
        assert_eq!(
            response.headers()[SEC_WEBSOCKET_ACCEPT],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "skein.v1");
    }

    #[test]
    fn whatever_is_missing_is_named_by_its_status() {
        assert_eq!(status(|_| {}), 101);
        assert_eq!(status(|r| *r.method_mut() = Method::POST), 405);
        assert_eq!(status(|r| *r.version_mut() = Version::HTTP_10), 405);
        assert_eq!(status(|r| drop(r.headers_mut().remove(UPGRADE))), 426);
        assert_eq!(status(|r| drop(r.headers_mut().remove(CONNECTION))), 426);
        assert_eq!(
            status(|r| drop(r.headers_mut().remove(SEC_WEBSOCKET_VERSION))),
            426
        );
        assert_eq!(
            status(|r| drop(r.headers_mut().remove(SEC_WEBSOCKET_KEY))),
            400
        );
        assert_eq!(
            status(|r| drop(r.headers_mut().remove(SEC_WEBSOCKET_PROTOCOL))),
            400
        );
        let key = "c2hvcnQ=".parse().unwrap();
        assert_eq!(
            status(|r| drop(r.headers_mut().insert(SEC_WEBSOCKET_KEY, key))),
            400
        );
        let origin = "https://evil.example".parse().unwrap();
        assert_eq!(
            status(|r| drop(r.headers_mut().insert("origin", origin))),
            403
        );
    }
}
