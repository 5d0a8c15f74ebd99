//! Which scope each request of the control API needs: one table.
//!
//! A request that is not in it needs a token that is good for everything, so that a new route is
//! closed to the others until somebody has decided.

use http::Method;
use skein_wire::error::Code;

use crate::access::control_scope::ControlScope::{
    self, Chats, Erase, Members, Places, Read, Webhooks,
};
use crate::access::control_scope::ControlScopes;
use crate::http::error::ApiError;

/// Method, route, scope.
pub const CONTROL_SCOPES: &[(Method, &str, ControlScope)] = &[
    (Method::GET, "/v1/chats/{chat}/members", Read),
    (Method::GET, "/v1/chats/{chat}/guests", Read),
    (Method::GET, "/v1/chats/{chat}/settings", Read),
    (Method::GET, "/v1/chats/{chat}/sessions", Read),
    (
        Method::GET,
        "/v1/chats/{chat}/sessions/{session}/viewers",
        Read,
    ),
    (
        Method::GET,
        "/v1/chats/{chat}/sessions/{session}/views",
        Read,
    ),
    (Method::GET, "/v1/chats/{chat}/crossings", Read),
    (Method::GET, "/v1/events", Read),
    (Method::GET, "/v1/log", Read),
    (Method::GET, "/v1/chats/{chat}/positions", Places),
    (Method::GET, "/v1/chats/{chat}/geofences", Places),
    (Method::GET, "/v1/chats/{chat}/alerts", Places),
    (Method::GET, "/v1/chats/{chat}/history", Places),
    (Method::GET, "/v1/log/{partition}", Places),
    (Method::POST, "/v1/chats/{chat}/members", Members),
    (Method::PUT, "/v1/chats/{chat}/members/{user}", Members),
    (Method::DELETE, "/v1/chats/{chat}/members/{user}", Members),
    (Method::POST, "/v1/chats/{chat}/guests", Members),
    (Method::DELETE, "/v1/chats/{chat}/guests/{guest}", Members),
    (Method::PUT, "/v1/chats/{chat}/settings", Chats),
    (Method::POST, "/v1/chats/{chat}/sessions", Chats),
    (Method::PATCH, "/v1/chats/{chat}/sessions/{session}", Chats),
    (Method::DELETE, "/v1/chats/{chat}/sessions/{session}", Chats),
    (
        Method::POST,
        "/v1/chats/{chat}/sessions/{session}/extend",
        Chats,
    ),
    (Method::PUT, "/v1/chats/{chat}/geofences/{name}", Chats),
    (Method::DELETE, "/v1/chats/{chat}/geofences/{name}", Chats),
    (Method::PUT, "/v1/chats/{chat}/alerts/{name}", Chats),
    (Method::DELETE, "/v1/chats/{chat}/alerts/{name}", Chats),
    (Method::DELETE, "/v1/chats/{chat}/history", Erase),
    (Method::DELETE, "/v1/users/{user}/history", Erase),
    (Method::DELETE, "/v1/log/chats/{chat}/points", Erase),
    (Method::DELETE, "/v1/log/users/{user}/points", Erase),
    // Their addresses may hold secrets.
    (Method::GET, "/v1/webhooks", Webhooks),
    (Method::GET, "/v1/webhooks/dead", Webhooks),
    (Method::GET, "/v1/webhooks/dead/{id}", Webhooks),
    (Method::DELETE, "/v1/webhooks/dead/{id}", Webhooks),
    (Method::POST, "/v1/webhooks/dead/{id}/retry", Webhooks),
];

/// Whether a token with these scopes may make a request of this route.
///
/// # Errors
/// `out_of_scope`, with the scope that is missing.
pub fn check(scopes: ControlScopes, method: &Method, route: &str) -> Result<(), ApiError> {
    if scopes == ControlScopes::EVERYTHING {
        return Ok(());
    }
    // A router answers HEAD as it does GET.
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let row = CONTROL_SCOPES
        .iter()
        .find(|(known, path, _)| known == method && *path == route);
    match row {
        Some((.., scope)) if scopes.has(*scope) => Ok(()),
        Some((.., scope)) => Err(ApiError::new(
            Code::OutOfScope,
            format!("this control token is not good for that; it needs the scope `{scope}`"),
        )),
        None => Err(ApiError::of(Code::OutOfScope)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::Method;

    use crate::access::control_scope::{ControlScope, ControlScopes};
    use crate::http::control_scopes::{CONTROL_SCOPES, check};

    #[test]
    fn each_request_needs_its_own_scope_and_no_other() {
        for (method, route, needed) in CONTROL_SCOPES {
            for scope in ControlScope::ALL {
                let token = ControlScopes::parse(scope.name()).unwrap();
                let may = check(token, method, route).is_ok();
                assert_eq!(may, scope == *needed, "{method} {route} with {scope}");
            }
            assert!(check(ControlScopes::EVERYTHING, method, route).is_ok());
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_for_tokens_without_scopes() {
        let all = ControlScope::ALL.map(ControlScope::name).join(",");
        let all = ControlScopes::parse(&all).unwrap();
        for (method, route) in [
            (Method::GET, "/v1/new"),
            (Method::PUT, "/v1/events"),
            (Method::GET, ""),
        ] {
            assert!(check(all, &method, route).is_err(), "{method} {route}");
            assert!(check(ControlScopes::EVERYTHING, &method, route).is_ok());
        }
        let read = ControlScopes::parse("read").unwrap();
        assert!(check(read, &Method::HEAD, "/v1/events").is_ok());
        assert!(check(read, &Method::HEAD, "/v1/log/{partition}").is_err());
    }

    #[test]
    fn no_route_is_there_twice() {
        let routes: BTreeSet<_> = CONTROL_SCOPES
            .iter()
            .map(|(method, route, _)| (method.as_str(), *route))
            .collect();
        assert_eq!(routes.len(), CONTROL_SCOPES.len());
    }
}
