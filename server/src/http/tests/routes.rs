//! The tables of requests are the routers, and each request asks for a token, those of the control API for
//! their scope.

use std::collections::BTreeSet;

use http::StatusCode;

use crate::http::control_scopes::CONTROL_SCOPES;
use crate::http::public_routes::PUBLIC_ROUTES;
use crate::http::tests::{Api, Rig, SESSION, rig, token_without};

/// Methods that a route may have; HEAD goes with GET.
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "PATCH", "DELETE"];

/// A route with names in it.
fn filled(route: &str) -> String {
    route
        .replace("{chat}", "hike")
        .replace("{session}", SESSION)
        .replace("{user}", "ana")
        .replace("{name}", "home")
        .replace("{guest}", SESSION)
        .replace("{partition}", "0")
        .replace("{id}", "1")
}

/// What the router takes: of each of its routes the methods that are there.
fn taken(rig: &Rig) -> BTreeSet<String> {
    // The only list of its routes that the router gives.
    let shown = format!("{:?}", rig.router);
    let routes = shown.split('"').filter(|text| text.starts_with('/'));
    let routes: BTreeSet<&str> = routes.collect();
    let mut taken = BTreeSet::new();
    for route in routes {
        let path = filled(route);
        for method in METHODS {
            let (status, _) = rig.call_with(&format!("{method} {path}"), |request| request);
            // Nobody is told what a route has who brings no token: a 404 is the fallback's.
            let is_absent = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_FOUND];
            if !is_absent.contains(&status) {
                taken.insert(format!("{method} {route}"));
            }
        }
    }
    taken
}

#[test]
fn the_table_of_public_requests_is_the_router() {
    let table = PUBLIC_ROUTES.iter();
    let mut known: BTreeSet<_> = table.map(|(it, route)| format!("{it} {route}")).collect();
    assert_eq!(known.len(), PUBLIC_ROUTES.len(), "none is there twice");
    // Without a token, for who looks after the server.
    known.insert("GET /v1/health".to_owned());
    assert_eq!(taken(&rig(&Api::Public)), known);
}

#[test]
fn the_table_of_scopes_is_the_router() {
    let table = CONTROL_SCOPES.iter();
    let mut known: BTreeSet<_> = table
        .map(|(it, route, _)| format!("{it} {route}"))
        .collect();
    known.insert("GET /v1/health".to_owned());
    known.insert("GET /metrics".to_owned());
    assert_eq!(taken(&rig(&Api::Control)), known);
}

#[test]
fn each_control_request_asks_for_its_scope() {
    let rig = rig(&Api::Control);
    for (method, route, scope) in CONTROL_SCOPES {
        let input = format!("{method} {} {{}}", filled(route));
        let (status, body) = rig.call_with(&input, |request| {
            let token = token_without(*scope);
            request.header("authorization", format!("Bearer {token}"))
        });
        assert_eq!(status, StatusCode::FORBIDDEN, "{input}: {body}");
        assert_eq!(body["code"], "out_of_scope", "{input}");
    }
    assert!(rig.gateway.asked.lock().unwrap().is_empty());
}

#[test]
fn nobody_comes_in_without_a_good_token() {
    let public = rig(&Api::Public);
    let control = rig(&Api::Control);
    let by_users = PUBLIC_ROUTES.iter().map(|row| (&public, row.clone()));
    let by_operators = CONTROL_SCOPES.iter();
    let by_operators = by_operators.map(|(method, route, _)| (&control, (method.clone(), *route)));
    for (rig, (method, route)) in by_users.chain(by_operators) {
        let input = format!("{method} {} {{}}", filled(route));
        // A user's token opens nothing on the control API, nor the control token on the public one.
        let others = if std::ptr::eq(rig, &public) {
            &control.token
        } else {
            &public.token
        };
        for header in [
            None,
            Some("Bearer "),
            Some("Bearer no.such.token"),
            Some("Basic YTpi"),
            Some(&format!("Bearer {others}")),
        ] {
            let (status, body) = rig.call_with(&input, |request| match header {
                Some(header) => request.header("authorization", header),
                None => request,
            });
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{input} {header:?}");
            assert_eq!(body["code"], "bad_token", "{input} {header:?}");
        }
    }
    assert!(public.gateway.asked.lock().unwrap().is_empty());
    assert!(control.gateway.asked.lock().unwrap().is_empty());
}
