//! Every request that the public API takes: one table, which tests hold to the router.
//!
//! Who adds a route adds it here, and so meets the tests of all of them: nobody without a good token,
//! nobody without a right.

use http::Method;

/// Method and route of each request that needs a user's token.
pub const PUBLIC_ROUTES: &[(Method, &str)] = &[
    (Method::GET, "/v1/chats/{chat}/sessions"),
    (Method::POST, "/v1/chats/{chat}/sessions"),
    (Method::PATCH, "/v1/chats/{chat}/sessions/{session}"),
    (Method::DELETE, "/v1/chats/{chat}/sessions/{session}"),
    (Method::POST, "/v1/chats/{chat}/sessions/{session}/extend"),
    (Method::GET, "/v1/chats/{chat}/sessions/{session}/viewers"),
    (Method::GET, "/v1/chats/{chat}/sessions/{session}/views"),
    (Method::GET, "/v1/chats/{chat}/positions"),
    (Method::GET, "/v1/chats/{chat}/settings"),
    (Method::GET, "/v1/chats/{chat}/crossings"),
    (Method::GET, "/v1/chats/{chat}/geofences"),
    (Method::GET, "/v1/chats/{chat}/alerts"),
    (Method::PUT, "/v1/chats/{chat}/alerts/{name}"),
    (Method::DELETE, "/v1/chats/{chat}/alerts/{name}"),
    (Method::POST, "/v1/points"),
];
