//! Who is not who they say, and who asks for what is not theirs: what they are told.

use crate::bad_input::BadInput;

/// Input: how the token is made. Code and text are the same for a connection and for HTTP.
pub const BAD_TOKENS: &[BadInput] = &[
    BadInput::new("no token", "none", "bad_token", "token"),
    BadInput::new("not a token", "noise", "bad_token", "get a new one"),
    BadInput::new("no signature", "unsigned", "bad_token", "get a new one"),
    BadInput::new(
        "a changed signature",
        "forged",
        "bad_token",
        "get a new one",
    ),
    BadInput::new(
        "another key's signature",
        "foreign",
        "bad_token",
        "get a new one",
    ),
    BadInput::new(
        "longer than a token may be",
        "too long",
        "bad_token",
        "get a new one",
    ),
    BadInput::new(
        "a time that is over",
        "expired",
        "token_expired",
        "get a new one",
    ),
];

/// Input: who asks for what. What one has no right to does not exist.
pub const BAD_RIGHTS: &[BadInput] = &[
    BadInput::new(
        "a chat of others",
        "stranger: watch",
        "not_found",
        "or no right to it",
    ),
    BadInput::new(
        "a chat of others",
        "stranger: share",
        "not_found",
        "or no right to it",
    ),
    BadInput::new(
        "a session of others",
        "stranger: resume",
        "not_found",
        "or no right to it",
    ),
    BadInput::new(
        "a session of others",
        "member: resume",
        "not_found",
        "or no right to it",
    ),
    BadInput::new(
        "a session of others",
        "member: stop",
        "not_found",
        "or no right to it",
    ),
    BadInput::new(
        "a session of others",
        "member: points",
        "not_found",
        "or no right to it",
    ),
    BadInput::new(
        "a session of others",
        "stranger: stop",
        "not_found",
        "or no right to it",
    ),
    BadInput::new(
        "a session of others",
        "stranger: points",
        "not_found",
        "or no right to it",
    ),
    BadInput::new(
        "a chat of others",
        "stranger: positions",
        "not_found",
        "or no right to it",
    ),
    BadInput::new(
        "a chat that is not there",
        "stranger: positions of nowhere",
        "not_found",
        "or no right to it",
    ),
];
