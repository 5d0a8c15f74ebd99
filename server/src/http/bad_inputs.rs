//! HTTP requests that are refused, and what is said.

use crate::bad_input::BadInput;

/// To the public API, with ana's token. Input: method, path and, where there is one, the body.
pub const BAD_REQUESTS: &[BadInput] = &[
    BadInput::new(
        "a path that is not there",
        "GET /v2/chats",
        "not_found",
        "no such path",
    ),
    BadInput::new(
        "a method that the path does not have",
        "PUT /v1/points",
        "bad_request",
        "does not have that method",
    ),
    BadInput::new(
        "a body that is not JSON",
        "POST /v1/points {",
        "bad_request",
        "not JSON",
    ),
    BadInput::new(
        "no body",
        "POST /v1/chats/hike/sessions",
        "bad_request",
        "missing field `duration_s`",
    ),
    BadInput::new(
        "a field that is not known",
        r#"POST /v1/chats/hike/sessions {"duration_s":60,"colour":"red"}"#,
        "bad_request",
        "unknown field `colour`",
    ),
    BadInput::new(
        "a negative duration",
        r#"POST /v1/chats/hike/sessions {"duration_s":-1}"#,
        "bad_request",
        "wrong type or is out of range",
    ),
    BadInput::new(
        "a session for somebody else",
        r#"POST /v1/chats/hike/sessions {"duration_s":60,"user":"ben"}"#,
        "not_found",
        "no right to it",
    ),
    BadInput::new(
        "an empty idempotency key",
        r#"POST /v1/chats/hike/sessions {"duration_s":60,"idempotency_key":""}"#,
        "bad_request",
        "1 to 64 bytes",
    ),
    BadInput::new(
        "a session id that is none",
        "DELETE /v1/chats/hike/sessions/7",
        "bad_name",
        "16 hexadecimal digits",
    ),
    BadInput::new(
        "a chat name with a control character",
        "GET /v1/chats/a%00b/positions",
        "bad_name",
        "no control characters",
    ),
    BadInput::new(
        "a chat name that is not UTF-8",
        "GET /v1/chats/%ff/positions",
        "bad_name",
        "percent-encode",
    ),
    BadInput::new(
        "a latitude out of range",
        r#"POST /v1/points {"chat":"hike","session":"00000000000000a1","points":[{"counter":1,"captured_at":1,"lat":91,"lon":0}]}"#,
        "bad_point",
        "point 0: the coordinates",
    ),
    BadInput::new(
        "a coordinate that is not a number",
        r#"POST /v1/points {"chat":"hike","session":"00000000000000a1","points":[{"counter":1,"captured_at":1,"lat":NaN,"lon":0}]}"#,
        "bad_request",
        "not JSON",
    ),
    BadInput::new(
        "a coordinate beyond any number",
        r#"POST /v1/points {"chat":"hike","session":"00000000000000a1","points":[{"counter":1,"captured_at":1,"lat":1e999,"lon":0}]}"#,
        "bad_request",
        "not JSON",
    ),
    BadInput::new(
        "a receiver without a fix",
        r#"POST /v1/points {"chat":"hike","session":"00000000000000a1","points":[{"counter":1,"captured_at":1,"lat":0,"lon":0}]}"#,
        "no_fix",
        "without accuracy",
    ),
    BadInput::new(
        "a point without a position",
        r#"POST /v1/points {"chat":"hike","session":"00000000000000a1","points":[{"counter":1,"captured_at":1}]}"#,
        "bad_request",
        "either `lat` and `lon`, or `sealed`",
    ),
    BadInput::new(
        "no points",
        r#"POST /v1/points {"chat":"hike","session":"00000000000000a1","points":[]}"#,
        "bad_request",
        "`points` is empty",
    ),
    BadInput::new(
        "the control API's paths on the public listener",
        r#"PUT /v1/chats/hike/members/ana {"rights":["share"]}"#,
        "not_found",
        "no such path",
    ),
    BadInput::new(
        "metrics on the public listener",
        "GET /metrics",
        "not_found",
        "no such path",
    ),
];

/// To the control API. Input as above.
pub const BAD_CONTROL_REQUESTS: &[BadInput] = &[
    BadInput::new(
        "a session without its user",
        r#"POST /v1/chats/hike/sessions {"duration_s":60}"#,
        "bad_request",
        "missing field `user`",
    ),
    BadInput::new(
        "a right that is none",
        r#"PUT /v1/chats/hike/members/ana {"rights":["fly"]}"#,
        "bad_request",
        "wrong type or is out of range",
    ),
    BadInput::new(
        "a user name that is too long",
        "DELETE /v1/chats/hike/members/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "bad_name",
        "1 to 128 bytes",
    ),
    BadInput::new(
        "a member with a guest's name",
        r#"PUT /v1/chats/hike/members/guest:00000000000000ab {"rights":["watch"]}"#,
        "bad_name",
        "those of guests",
    ),
    BadInput::new(
        "a page of members that is none",
        "GET /v1/chats/hike/members?limit=many",
        "bad_request",
        "`after` and `limit`",
    ),
    BadInput::new(
        "a link without any time",
        r#"POST /v1/chats/hike/guests {"duration_s":0}"#,
        "bad_duration",
        "1 second to 31 days",
    ),
    BadInput::new(
        "a link with cells of a metre",
        r#"POST /v1/chats/hike/guests {"duration_s":60,"grid_m":1}"#,
        "bad_request",
        "10 to 100,000 metres",
    ),
    BadInput::new(
        "a setting that is neither yes nor no",
        r#"PUT /v1/chats/hike/settings {"sealed":"yes"}"#,
        "bad_request",
        "wrong type or is out of range",
    ),
    BadInput::new(
        "a link that can never have been",
        "DELETE /v1/chats/hike/guests/7",
        "not_found",
        "no such chat",
    ),
    BadInput::new(
        "an index that is none",
        "GET /v1/events?after=yesterday",
        "bad_request",
        "`after` is the id",
    ),
    BadInput::new(
        "the history of a chat that was never named",
        "GET /v1/chats/nowhere/history",
        "not_found",
        "no such chat",
    ),
    BadInput::new(
        "a history from a time that is none",
        "GET /v1/chats/hike/history?from=yesterday",
        "bad_request",
        "milliseconds since 1970, or times like",
    ),
    BadInput::new(
        "a history that ends before it begins",
        "GET /v1/chats/hike/history?from=2&to=2",
        "bad_request",
        "`from` is not before `to`",
    ),
    BadInput::new(
        "a history of too many rows at once",
        "GET /v1/chats/hike/history?limit=10001",
        "bad_request",
        "a number from 1 to 10000",
    ),
    BadInput::new(
        "a page behind something that is no page",
        "GET /v1/chats/hike/history?after=17",
        "bad_cursor",
        "the `next` of an answer",
    ),
    BadInput::new(
        "a parameter that the history does not have",
        "GET /v1/chats/hike/history?near=45,13",
        "bad_request",
        "each once",
    ),
    BadInput::new(
        "a history of a session that is none",
        "GET /v1/chats/hike/history?session=7",
        "bad_name",
        "16 hexadecimal digits",
    ),
    BadInput::new(
        "a partition that the log does not have",
        "GET /v1/log/2",
        "not_found",
        "GET /v1/log lists them",
    ),
    BadInput::new(
        "a partition that is no number",
        "GET /v1/log/first",
        "bad_request",
        "a partition is a number",
    ),
    BadInput::new(
        "an offset of the future",
        "GET /v1/log/0?after=6",
        "bad_request",
        "beyond the newest record, 5",
    ),
    BadInput::new(
        "an offset that is none",
        "GET /v1/log/0?after=-1",
        "bad_request",
        "are numbers",
    ),
    BadInput::new(
        "a parameter that is not known",
        "GET /v1/log/0?before=7",
        "bad_request",
        "there is nothing else",
    ),
    BadInput::new(
        "more records than an answer holds",
        "GET /v1/log/0?limit=10001",
        "bad_request",
        "`limit` is 1 to 10000",
    ),
    BadInput::new(
        "a longer wait than there is",
        "GET /v1/log/0?after=5&wait_ms=30001",
        "bad_request",
        "`wait_ms` is at most 30000",
    ),
    BadInput::new(
        "an erase in a chat that was never named",
        "DELETE /v1/log/chats/nowhere/points",
        "not_found",
        "no such chat",
    ),
    BadInput::new(
        "an erase of a member without a name",
        "DELETE /v1/log/chats/hike/points?user=",
        "bad_name",
        "1 to 128 bytes",
    ),
    BadInput::new(
        "an erase with a condition that there is not",
        "DELETE /v1/log/chats/hike/points?before=2026-05-01",
        "bad_request",
        "there is nothing else",
    ),
];
