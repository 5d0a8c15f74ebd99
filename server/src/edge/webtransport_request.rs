//! The request that opens a session, and its answer.
//!
//! Packed fields are unpacked by a library, here and nowhere else; see the decision record on
//! WebTransport.

use http::StatusCode;
use http::header::ORIGIN;
use web_transport_proto::{Capsule, ConnectError, ConnectRequest, ConnectResponse};

use crate::edge::origins::Origins;
use crate::edge::webtransport_fault::{DECOMPRESSION_FAILED, Fault};
use crate::edge::webtransport_sections::put;

/// Where sessions are opened.
pub const WEBTRANSPORT_PATH: &str = "/v1/wt";

/// Kind of the frame that carries a request's fields, and an answer's.
pub const HEADERS: u64 = 0x01;
/// Kind of the frame that carries capsules.
pub const DATA: u64 = 0x00;
/// Kind of the capsule that ends a session.
pub const CLOSE_SESSION: u64 = 0x2843;

/// Why a session is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSession {
    /// HTTP status.
    pub status: StatusCode,
    /// The same in words, for the server's own use: HTTP/3 has no place for them.
    pub text: &'static str,
}

/// Checks the fields of a request, packed as they came.
///
/// # Errors
/// A fault where they do not unpack; within, what is missing, with the status that says so.
pub fn judge(fields: &[u8], origins: &Origins) -> Result<Result<(), NoSession>, Fault> {
    let mut frame = Vec::new();
    put(&mut frame, HEADERS, fields);
    let request = match ConnectRequest::decode(&mut frame.as_slice()) {
        Ok(request) => request,
        Err(ConnectError::QpackError(_)) => {
            return Err(Fault::new(
                DECOMPRESSION_FAILED,
                "the fields of a request do not unpack",
            ));
        }
        Err(error) => return Ok(Err(wrong(&error))),
    };
    if request.url.path() != WEBTRANSPORT_PATH {
        return Ok(refuse(
            StatusCode::NOT_FOUND,
            "sessions are opened at /v1/wt",
        ));
    }
    let host = request.url.host_str().map(|host| match request.url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    });
    if !origins.allow(request.headers.get(ORIGIN), host.as_deref()) {
        return Ok(refuse(
            StatusCode::FORBIDDEN,
            "this page may not open a session here; list its origin",
        ));
    }
    Ok(Ok(()))
}

/// A whole frame that answers a request.
pub fn answer(status: StatusCode) -> Vec<u8> {
    let mut frame = Vec::new();
    ConnectResponse::new(status)
        .encode(&mut frame)
        .expect("constant fields can be packed");
    frame
}

/// A whole frame that ends the session.
pub fn goodbye(code: u32, text: &str) -> Vec<u8> {
    let mut capsule = Vec::new();
    let reason = text.to_owned();
    Capsule::CloseWebTransportSession { code, reason }.encode(&mut capsule);
    let mut frame = Vec::new();
    put(&mut frame, DATA, &capsule);
    frame
}

fn refuse(status: StatusCode, text: &'static str) -> Result<(), NoSession> {
    Err(NoSession { status, text })
}

fn wrong(error: &ConnectError) -> NoSession {
    let (status, text) = match error {
        ConnectError::FieldSectionTooLarge | ConnectError::FrameTooLarge => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the fields of the request are too long",
        ),
        ConnectError::WrongMethod(_) | ConnectError::InvalidMethod => (
            StatusCode::METHOD_NOT_ALLOWED,
            "a session is opened by CONNECT; other requests go to the HTTP port",
        ),
        ConnectError::WrongProtocol(Some(_)) => (
            StatusCode::NOT_IMPLEMENTED,
            "the protocol spoken here is webtransport",
        ),
        _ => (
            StatusCode::BAD_REQUEST,
            "the request does not ask for a WebTransport session",
        ),
    };
    NoSession { status, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::webtransport_sections::Sections;

    /// Fields as literals without a table and without Huffman (RFC 9204, section 4.5.6).
    fn fields(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = vec![0, 0];
        for (name, value) in pairs {
            assert!(name.len() < 134 && value.len() < 127);
            match name.len() {
                len @ 0..7 => bytes.push(0x20 | len as u8),
                len => bytes.extend([0x27, (len - 7) as u8]),
            }
            bytes.extend(name.bytes());
            bytes.push(value.len() as u8);
            bytes.extend(value.bytes());
        }
        bytes
    }

    const GOOD: [(&str, &str); 5] = [
        (":method", "CONNECT"),
        (":protocol", "webtransport"),
        (":scheme", "https"),
        (":authority", "map.example:4433"),
        (":path", "/v1/wt"),
    ];

    fn with(name: &str, value: &'static str) -> Vec<u8> {
        let change = |&(key, old)| (key, if key == name { value } else { old });
        fields(&GOOD.iter().map(change).collect::<Vec<_>>())
    }

    fn without(name: &str) -> Vec<u8> {
        fields(
            &GOOD
                .into_iter()
                .filter(|pair| pair.0 != name)
                .collect::<Vec<_>>(),
        )
    }

    fn status(fields: &[u8], origins: &Origins) -> u16 {
        match judge(fields, origins).unwrap() {
            Ok(()) => 200,
            Err(no) => no.status.as_u16(),
        }
    }

    #[test]
    fn a_request_that_asks_for_something_else_is_told_what_is_wrong() {
        let none = Origins::default();
        for (fields, expect) in [
            (fields(&GOOD), 200),
            (with(":path", "/v1/wt?token=x"), 200),
            (with(":path", "/v1/ws"), 404),
            (with(":path", "v1"), 400),
            (with(":method", "GET"), 405),
            (with(":scheme", "http"), 400),
            (with(":protocol", "connect-udp"), 501),
            (without(":protocol"), 400),
            (without(":path"), 400),
            (without(":authority"), 400),
            (without(":method"), 405),
            (Vec::from([0, 0]), 400),
        ] {
            assert_eq!(
                status(&fields, &none),
                expect,
                "{:?}",
                String::from_utf8_lossy(&fields)
            );
        }
    }

    #[test]
    fn the_pages_of_the_list_may_come_and_without_one_those_of_this_place() {
        let listed = Origins::new(["https://app.example".to_owned()]);
        let none = Origins::new([]);
        for (origin, with_list, without) in [
            ("https://app.example", 200, 403),
            ("https://map.example:4433", 403, 200),
            ("https://map.example", 403, 403),
            ("https://evil.example", 403, 403),
            ("null", 403, 403),
        ] {
            let mut pairs = GOOD.to_vec();
            pairs.push(("origin", origin));
            let fields = fields(&pairs);
            assert_eq!(status(&fields, &listed), with_list, "{origin}");
            assert_eq!(status(&fields, &none), without, "{origin}");
        }
    }

    #[test]
    fn fields_that_do_not_unpack_are_a_fault() {
        for bytes in [
            &[][..],
            &[0],
            &[0, 0, 0x80],
            &[0, 0, 0xff, 0xff],
            &[0, 0, 0x27],
        ] {
            let fault = judge(bytes, &Origins::default()).unwrap_err();
            assert_eq!(fault.code, DECOMPRESSION_FAILED, "{bytes:?}");
        }
    }

    #[test]
    fn fields_that_unpack_to_too_much_are_refused() {
        // Each byte names an entry of the fixed table: 32 bytes and more when unpacked.
        let mut bytes = vec![0, 0];
        bytes.resize(2_000, 0xc0 | 25);
        assert_eq!(status(&bytes, &Origins::default()), 431);
    }

    #[test]
    fn the_goodbye_is_one_frame_with_one_capsule() {
        let mut frames = Sections::default();
        frames.push(&goodbye(54, "a limit"));
        let frame = frames.next_whole().unwrap().unwrap();
        assert_eq!(frame.kind, DATA);
        let mut capsules = Sections::default();
        capsules.push(&frame.value);
        let capsule = capsules.next_whole().unwrap().unwrap();
        assert_eq!(capsule.kind, CLOSE_SESSION);
        assert_eq!(capsule.value, [&[0, 0, 0, 54][..], b"a limit"].concat());
        assert!(!frames.is_partial() && !capsules.is_partial());
    }
}
