//! Codes and errors of the protocol: whose fault, and what now.
//!
//! One list serves the close codes, the refusals, the HTTP errors and the table in the docs.

use std::borrow::Cow;
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $http:literal, $text:literal;)*) => {
        /// What went wrong, as a number and a stable name. The text beside it may change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Code { $($(#[$doc])* $variant = $number,)* }

        impl Code {
            /// Every code, in numeric order.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code of a number, if it is known.
            pub fn from_u16(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// The stable snake_case name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The HTTP status that carries the same meaning.
            pub fn http_status(self) -> u16 {
                match self { $(Self::$variant => $http,)* }
            }

            /// One sentence: what it means and what to do next.
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

codes! {
    // 1..: the connection goes on or ends in good order.
    /// Nothing is wrong: the peer closed in good order.
    Ok = 0, "ok", 200, "closed in good order";
    /// The server is going away and says when to come back.
    GoingAway = 1, "going_away", 503, "the server is shutting down; reconnect after the stated time with your cursor";
    /// The viewer took nothing for the idle limit.
    IdleViewer = 2, "idle_viewer", 408, "nothing was taken for the idle limit; reconnect with your cursor";

    // 16..: the peer's bytes are wrong. These close the connection.
    /// A frame that does not parse.
    Malformed = 16, "malformed", 400, "the bytes are not a frame of this protocol; fix the client";
    /// A frame longer than its ceiling.
    TooLarge = 17, "too_large", 413, "the frame is longer than its ceiling; split it";
    /// A frame kind that this version does not know.
    UnknownKind = 18, "unknown_kind", 400, "frame kind not known to this version; update the server or the client";
    /// A frame that is not allowed now (before `Hello`, twice, wrong direction).
    OutOfOrder = 19, "out_of_order", 400, "this frame is not allowed here; send Hello first and once";
    /// A protocol version that is not spoken here.
    Version = 20, "version", 426, "this server speaks version 1 only";
    /// The peer took too long to say `Hello` or to finish a frame.
    Deadline = 21, "deadline", 408, "the frame or the handshake was not finished in time";
    /// A transport rule was broken (text message, fragment, unmasked frame).
    Transport = 22, "transport", 400, "send unfragmented, masked, binary WebSocket messages";

    // 32..: who you are.
    /// A token that is missing, malformed, or signed by a key that is not known.
    BadToken = 32, "bad_token", 401, "the token is not valid here; get a new one";
    /// A token whose time is over.
    TokenExpired = 33, "token_expired", 401, "the token has expired; get a new one";
    /// No right to do this, or no such thing: the two look the same.
    NotFound = 34, "not_found", 404, "no such chat or session, or no right to it";
    /// Membership ended while the watch or session was on.
    MembershipRevoked = 35, "membership_revoked", 403, "the membership of this chat was revoked";

    /// A control token without the scope that the request needs.
    OutOfScope = 36, "out_of_scope", 403, "this token is not good for that request; use one with its scope";

    /// The right to watch shows more or less from now on, on a watch that was on.
    RightsChanged = 37, "rights_changed", 403, "what you may see has changed; watch again, without a cursor";

    // 48..: a request that cannot be met.
    /// A chat, user or session name that is not well-formed.
    BadName = 48, "bad_name", 400, "the name is empty, too long or has control characters";
    /// A cursor that is not well-formed.
    BadCursor = 49, "bad_cursor", 400, "the cursor is not well-formed; use one as it was given, or none";
    /// A duration of zero or beyond the limit.
    BadDuration = 50, "bad_duration", 400, "the duration is zero or beyond the limit";
    /// A share number that this connection has not been given.
    UnknownShare = 51, "unknown_share", 404, "this connection has no such share; start or resume it first";
    /// A chat handle that this connection does not watch.
    UnknownWatch = 52, "unknown_watch", 404, "this connection does not watch that chat";
    /// The session is over (stopped, expired or revoked).
    SessionEnded = 53, "session_ended", 410, "the session is over; start a new one";
    /// A limit of sessions, watches or shares is reached.
    LimitReached = 54, "limit_reached", 429, "a limit is reached; end something first";
    /// A request field is missing or has a value out of range.
    BadRequest = 55, "bad_request", 400, "a field is missing or out of range; see the API description";
    /// An idempotency key used again for a different request.
    KeyReused = 56, "key_reused", 409, "this idempotency key belongs to another request";

    /// Something has changed since the caller looked.
    Conflict = 57, "conflict", 412, "it has changed since you looked; read it again, then decide";

    /// A relay was asked for what only its upstream does.
    Relayed = 58, "relayed", 421, "this is a relay and serves viewers only; ask the server that it relays";

    // 64..: a point that is refused.
    /// A coordinate that is not a number or out of range, or a time out of range.
    BadPoint = 64, "bad_point", 422, "the coordinates or the time are not a number or out of range";
    /// (0,0) without accuracy: a receiver without a fix.
    NoFix = 65, "no_fix", 422, "(0,0) without accuracy means that the receiver has no fix";
    /// A counter at or below the last one, on a live point.
    Superseded = 66, "superseded", 200, "a newer point is already there; nothing to do";
    /// A historical point seen before, or older than the window.
    OutsideWindow = 67, "outside_window", 422, "seen before or older than the window of 1,024 points";
    /// Sealed where plain is expected or the reverse.
    WrongSealing = 68, "wrong_sealing", 422, "the session is sealed and the point is not, or the reverse";
    /// More points or requests than a rate limit allows.
    RateLimited = 69, "rate_limited", 429, "too many points or requests; send fewer";

    // 80..: the server cannot, for now.
    /// No memory or capacity for more.
    Busy = 80, "busy", 503, "the server has no room for more; try again later";
    /// The promise cannot be made durable now.
    NotDurable = 81, "not_durable", 503, "the change could not be made durable; try again later";
    /// Still reading its log.
    Recovering = 82, "recovering", 503, "the server is still recovering; try again shortly";
    /// A shard did not apply a revocation within its bound.
    NotAppliedEverywhere = 83, "not_applied_everywhere", 503, "one shard has not applied it in time; repeat the request";
    /// A bug of the server.
    Internal = 84, "internal", 500, "a fault of the server; please report it";
}

/// What a WebSocket close status stands above its code: 4000 to 4999 are an application's own.
const WEBSOCKET_CLOSE_FIRST: u16 = 4000;

impl Code {
    /// The status of a WebSocket close frame with this code.
    pub fn websocket_close(self) -> u16 {
        WEBSOCKET_CLOSE_FIRST + self as u16
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An ill-formed input: the documented code and a text that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct WireError {
    /// The documented code.
    pub code: Code,
    /// What exactly was wrong. Never holds the peer's bytes.
    pub text: Cow<'static, str>,
}

/// An error about ill-formed bytes.
#[cold]
pub(crate) const fn malformed(text: &'static str) -> WireError {
    WireError {
        code: Code::Malformed,
        text: Cow::Borrowed(text),
    }
}

impl WireError {
    /// An error with a text of its own.
    pub fn new(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    /// An error with the code's own text.
    pub fn of(code: Code) -> Self {
        Self {
            code,
            text: Cow::Borrowed(code.text()),
        }
    }
}
