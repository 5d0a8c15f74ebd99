//! HTTP/3 that opens no session or ends one, and what becomes of it: one list for the tests and
//! for the table in the documents.

use skein_wire::error::Code;

use crate::edge::webtransport_fault::{
    BUFFERED_STREAM_REJECTED, CLOSED_CRITICAL_STREAM, DATAGRAM_ERROR, DECOMPRESSION_FAILED,
    ENCODER_STREAM_ERROR, EXCESSIVE_LOAD, FRAME_ERROR, FRAME_UNEXPECTED, ID_ERROR,
    MISSING_SETTINGS, NO_ERROR, REQUEST_INCOMPLETE, REQUEST_REJECTED, SETTINGS_ERROR,
    STREAM_CREATION_ERROR,
};

/// One malformed input and its answer. Those to which no frame of the protocol belongs end with
/// the connection only; others are answered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebTransportBadInput {
    /// The input in words.
    pub input: &'static str,
    /// The status of the answer to the request, if it gets one.
    pub status: Option<u16>,
    /// The code with which a stream is refused, if one is.
    pub refused: Option<u64>,
    /// The code of the session's goodbye, if it says one.
    pub goodbye: Option<Code>,
    /// The code with which the connection ends.
    pub end: u64,
    /// What it says then.
    pub text: &'static str,
}

/// The connection ends at once.
const fn faults(input: &'static str, end: u64, text: &'static str) -> WebTransportBadInput {
    WebTransportBadInput {
        input,
        status: None,
        refused: None,
        goodbye: None,
        end,
        text,
    }
}

/// The request is answered, and the connection ends in good order.
const fn answers(input: &'static str, status: u16, text: &'static str) -> WebTransportBadInput {
    WebTransportBadInput {
        status: Some(status),
        ..faults(input, NO_ERROR, text)
    }
}

/// The session was open before.
const fn opens(bad: WebTransportBadInput) -> WebTransportBadInput {
    WebTransportBadInput {
        status: Some(200),
        ..bad
    }
}

/// The session was open, and says goodbye.
const fn says(input: &'static str, code: Code, text: &'static str) -> WebTransportBadInput {
    WebTransportBadInput {
        goodbye: Some(code),
        ..opens(faults(input, NO_ERROR, text))
    }
}

/// One stream is refused before that.
const fn refuses(bad: WebTransportBadInput, code: u64) -> WebTransportBadInput {
    WebTransportBadInput {
        refused: Some(code),
        ..bad
    }
}

/// Every kind of nonsense in HTTP/3.
pub const WEBTRANSPORT_BAD_INPUTS: &[WebTransportBadInput] = &[
    faults(
        "nothing",
        NO_ERROR,
        "the frame or the handshake was not finished in time",
    ),
    faults(
        "settings, and no request",
        NO_ERROR,
        "the frame or the handshake was not finished in time",
    ),
    faults(
        "a request, and no settings",
        NO_ERROR,
        "the frame or the handshake was not finished in time",
    ),
    faults(
        "no settings at the front",
        MISSING_SETTINGS,
        "the control stream begins with settings",
    ),
    faults(
        "settings of HTTP/2",
        SETTINGS_ERROR,
        "a setting of HTTP/2 has no place here",
    ),
    faults("a setting twice", SETTINGS_ERROR, "a setting is said twice"),
    faults(
        "a switch that is 2",
        SETTINGS_ERROR,
        "a switch is neither 0 nor 1",
    ),
    faults(
        "half a setting",
        FRAME_ERROR,
        "the settings end within a setting",
    ),
    faults(
        "settings twice",
        FRAME_UNEXPECTED,
        "this frame is not allowed on this stream",
    ),
    faults(
        "settings of 9,000 bytes",
        EXCESSIVE_LOAD,
        "a frame of HTTP/3 or a capsule is longer than its ceiling",
    ),
    faults(
        "two control streams",
        STREAM_CREATION_ERROR,
        "a stream of which there may be one was opened twice",
    ),
    faults(
        "a control stream that ends",
        CLOSED_CRITICAL_STREAM,
        "a stream was ended that lives as long as the connection",
    ),
    faults(
        "data on the control stream",
        FRAME_UNEXPECTED,
        "this frame is not allowed on this stream",
    ),
    faults(
        "a push stream",
        STREAM_CREATION_ERROR,
        "a client must not open a push stream",
    ),
    faults(
        "an entry for the table",
        ENCODER_STREAM_ERROR,
        "the table of packed fields has no room here",
    ),
    refuses(
        faults(
            "a stream of no known type",
            NO_ERROR,
            "the frame or the handshake was not finished in time",
        ),
        STREAM_CREATION_ERROR,
    ),
    answers(
        "no datagrams",
        400,
        "the client takes no datagrams of HTTP/3",
    ),
    answers(
        "CONNECT without a protocol",
        400,
        "the request does not ask for a WebTransport session",
    ),
    answers(
        "another protocol",
        501,
        "the protocol spoken here is webtransport",
    ),
    answers(
        "GET",
        405,
        "a session is opened by CONNECT; other requests go to the HTTP port",
    ),
    answers("another path", 404, "sessions are opened at /v1/wt"),
    answers(
        "no authority",
        400,
        "the request does not ask for a WebTransport session",
    ),
    answers(
        "a foreign page",
        403,
        "this page may not open a session here; list its origin",
    ),
    says(
        "a page of this place",
        Code::Deadline,
        "the frame or the handshake was not finished in time",
    ),
    faults(
        "fields of 9,000 bytes",
        EXCESSIVE_LOAD,
        "a frame of HTTP/3 or a capsule is longer than its ceiling",
    ),
    answers(
        "fields that unpack to too much",
        431,
        "the fields of the request are too long",
    ),
    faults(
        "fields that do not unpack",
        DECOMPRESSION_FAILED,
        "the fields of a request do not unpack",
    ),
    faults(
        "data before the fields",
        FRAME_UNEXPECTED,
        "this frame is not allowed on this stream",
    ),
    faults(
        "fields twice",
        FRAME_UNEXPECTED,
        "this frame is not allowed on this stream",
    ),
    faults(
        "a request that ends at once",
        REQUEST_INCOMPLETE,
        "the request ends before its fields are whole",
    ),
    refuses(
        says(
            "a second request",
            Code::Deadline,
            "the frame or the handshake was not finished in time",
        ),
        REQUEST_REJECTED,
    ),
    faults(
        "a session that is no request",
        ID_ERROR,
        "a session is named by the stream of its request",
    ),
    refuses(
        says(
            "a stream of another session",
            Code::Deadline,
            "the frame or the handshake was not finished in time",
        ),
        BUFFERED_STREAM_REJECTED,
    ),
    faults(
        "a datagram, and no session",
        NO_ERROR,
        "the frame or the handshake was not finished in time",
    ),
    faults(
        "an empty datagram",
        DATAGRAM_ERROR,
        "a datagram ends within its session's number",
    ),
    says(
        "a datagram of another session",
        Code::Deadline,
        "the frame or the handshake was not finished in time",
    ),
    faults(
        "a goodbye that is too short",
        DATAGRAM_ERROR,
        "the goodbye of a session is too short or too long",
    ),
    // Longer than a packet: the session is open before all of it is there.
    opens(faults(
        "a goodbye that is too long",
        DATAGRAM_ERROR,
        "the goodbye of a session is too short or too long",
    )),
    faults("an unknown capsule, then a goodbye", NO_ERROR, ""),
    faults("a request that ends", NO_ERROR, ""),
    opens(faults(
        "70,000 bytes of capsules",
        EXCESSIVE_LOAD,
        "more is said in HTTP/3 than a session needs",
    )),
    says(
        "a session, and no hello",
        Code::Deadline,
        "the frame or the handshake was not finished in time",
    ),
    says(
        "a stream of the session, and no hello",
        Code::Deadline,
        "the frame or the handshake was not finished in time",
    ),
    says(
        "a frame that is none",
        Code::Malformed,
        "a frame has no kind",
    ),
    says(
        "streams before the request",
        Code::OutOfOrder,
        "only points and heartbeats may leave the control stream",
    ),
];
