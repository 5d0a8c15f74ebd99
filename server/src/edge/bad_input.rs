//! Malformed input of connections and what the server says to it: one list for the tests and for
//! the table in the documents.

use skein_wire::error::Code;

/// Bytes that a client should not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sends {
    /// Bytes of a WebSocket after the upgrade.
    WebSocket(&'static [u8]),
    /// Bytes of the protocol: a binary WebSocket message, or bytes on the control stream of QUIC.
    Frames(&'static [u8]),
}

/// One malformed input and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadInput {
    /// The input in words.
    pub input: &'static str,
    /// Whether a valid `Hello` goes before it.
    pub after_hello: bool,
    /// The input in bytes.
    pub sends: Sends,
    /// The code of the answer. A WebSocket is closed with 4000 and this, QUIC with this.
    pub code: Code,
    /// The text of the answer.
    pub text: &'static str,
}

const fn websocket(
    input: &'static str,
    bytes: &'static [u8],
    code: Code,
    text: &'static str,
) -> BadInput {
    BadInput {
        input,
        after_hello: true,
        sends: Sends::WebSocket(bytes),
        code,
        text,
    }
}

const fn frames(
    input: &'static str,
    bytes: &'static [u8],
    code: Code,
    text: &'static str,
) -> BadInput {
    BadInput {
        input,
        after_hello: true,
        sends: Sends::Frames(bytes),
        code,
        text,
    }
}

const fn first(bad: BadInput) -> BadInput {
    BadInput {
        after_hello: false,
        ..bad
    }
}

/// Every kind of malformed input that ends a connection. WebSocket bytes are masked with zeros.
pub const BAD_INPUTS: &[BadInput] = &[
    websocket(
        "WebSocket: a text message",
        &[0x81, 0x80, 0, 0, 0, 0],
        Code::Transport,
        "a WebSocket message must be binary, not text",
    ),
    websocket(
        "WebSocket: the first fragment of a message",
        &[0x02, 0x80, 0, 0, 0, 0],
        Code::Transport,
        "a WebSocket message must not be fragmented",
    ),
    websocket(
        "WebSocket: a continuation",
        &[0x80, 0x80, 0, 0, 0, 0],
        Code::Transport,
        "a WebSocket message must not be fragmented",
    ),
    websocket(
        "WebSocket: a frame without a mask",
        &[0x82, 0x01, 0],
        Code::Transport,
        "a client's WebSocket frame must be masked",
    ),
    websocket(
        "WebSocket: a reserved bit",
        &[0xc2, 0x80, 0, 0, 0, 0],
        Code::Transport,
        "reserved WebSocket bits are set; use no extension",
    ),
    websocket(
        "WebSocket: an unknown opcode",
        &[0x83, 0x80, 0, 0, 0, 0],
        Code::Transport,
        "a WebSocket opcode that does not exist",
    ),
    websocket(
        "WebSocket: a ping of more than 125 bytes",
        &[0x89, 0xfe, 0, 126, 0, 0, 0, 0],
        Code::Transport,
        "a WebSocket control frame has at most 125 bytes",
    ),
    websocket(
        "WebSocket: a length in too many bytes",
        &[0x82, 0xfe, 0, 5, 0, 0, 0, 0],
        Code::Transport,
        "a WebSocket length is not in its shortest form",
    ),
    websocket(
        "WebSocket: a message of 8 EiB",
        &[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        Code::TooLarge,
        "the frame is longer than its ceiling; split it",
    ),
    websocket(
        "WebSocket: an empty message",
        &[0x82, 0x80, 0, 0, 0, 0],
        Code::Malformed,
        "a WebSocket message holds one or more whole frames",
    ),
    websocket(
        "WebSocket: a message that ends within a frame",
        &[0x82, 0x82, 0, 0, 0, 0, 9, 0x0d],
        Code::Malformed,
        "a message ends within a frame",
    ),
    websocket(
        "WebSocket: eleven pings in a second",
        &[
            0x89, 0x80, 0, 0, 0, 0, 0x89, 0x80, 0, 0, 0, 0, 0x89, 0x80, 0, 0, 0, 0, 0x89, 0x80, 0,
            0, 0, 0, 0x89, 0x80, 0, 0, 0, 0, 0x89, 0x80, 0, 0, 0, 0, 0x89, 0x80, 0, 0, 0, 0, 0x89,
            0x80, 0, 0, 0, 0, 0x89, 0x80, 0, 0, 0, 0, 0x89, 0x80, 0, 0, 0, 0, 0x89, 0x80, 0, 0, 0,
            0,
        ],
        Code::Transport,
        "too many WebSocket control frames; a ping every few seconds is enough",
    ),
    websocket(
        "WebSocket: a close frame with half a code",
        &[0x88, 0x81, 0, 0, 0, 0, 3],
        Code::Transport,
        "a WebSocket close frame has half a code",
    ),
    websocket(
        "WebSocket: a close frame with code 1005",
        &[0x88, 0x82, 0, 0, 0, 0, 3, 0xed],
        Code::Transport,
        "a WebSocket close code that must not be sent",
    ),
    websocket(
        "WebSocket: a close frame with a reason that is not UTF-8",
        &[0x88, 0x83, 0, 0, 0, 0, 3, 0xe8, 0xff],
        Code::Transport,
        "the reason of a WebSocket close frame is not UTF-8",
    ),
    frames(
        "a frame of no bytes",
        &[0],
        Code::Malformed,
        "a frame has no kind",
    ),
    frames(
        "a frame of 5,000 bytes",
        &[0x53, 0x88],
        Code::TooLarge,
        "the frame is longer than its ceiling; split it",
    ),
    frames(
        "a frame of an unknown kind",
        &[1, 0x3f],
        Code::UnknownKind,
        "frame kind not known to this version; update the server or the client",
    ),
    frames(
        "a frame of the server's",
        &[1, 0x41],
        Code::OutOfOrder,
        "a frame of the server came from a client",
    ),
    frames(
        "a frame that lacks a field",
        &[1, 0x0d],
        Code::Malformed,
        "a field is cut off",
    ),
    frames(
        "a frame with bytes behind its last field",
        &[10, 0x0d, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        Code::Malformed,
        "bytes follow the last field of a frame",
    ),
    frames(
        "a second `Hello`",
        &[5, 0x01, 1, 1, b'x', 0],
        Code::OutOfOrder,
        "this frame is not allowed here; send Hello first and once",
    ),
    first(frames(
        "a request before `Hello`",
        &[9, 0x0d, 1, 0, 0, 0, 0, 0, 0, 0],
        Code::OutOfOrder,
        "this frame is not allowed here; send Hello first and once",
    )),
    first(frames(
        "a `Hello` of another version",
        &[5, 0x01, 9, 1, b'x', 0],
        Code::Version,
        "this server speaks version 1 only",
    )),
    first(frames(
        "a `Hello` with a token that is none",
        &[5, 0x01, 1, 1, b'x', 0],
        Code::BadToken,
        "the token is not valid here; get a new one",
    )),
];
