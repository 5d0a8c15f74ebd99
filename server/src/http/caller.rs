//! Who calls: a user with a token, or the operator.
//!
//! In dev mode the control API asks for no token, so it must be deaf to web pages: a browser on
//! the same machine could be made to call it. Requests with an `Origin`, or for a host that is
//! not this machine by name or number, are refused.

use std::net::IpAddr;

use axum::extract::{FromRef, FromRequestParts, MatchedPath};
use http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use http::request::Parts;
use skein_engine::request::Actor;
use skein_wire::error::Code;
use skein_wire::ids::UserName;

use crate::access::Access;
use crate::access::control_token::ControlTokens;
use crate::edge::http_listener::PeerAddress;
use crate::http::control_scopes;
use crate::http::error::ApiError;
use crate::http::state::{ApiState, Callers};

/// The caller, once let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(pub Actor);

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    ApiState: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let state = ApiState::from_ref(state);
        match &state.callers {
            Callers::Users(access) => user(parts, access, state.clock.now_ms()),
            Callers::Operators(token) => operator(parts, token),
            Callers::ThisMachine => this_machine(parts),
        }
    }
}

/// As whom the caller acts: nobody does for somebody else, but operators, who say for whom. `missing` is the field that
/// they say it in, and what it is.
///
/// # Errors
/// `not_found` for somebody else, so that whether that user exists is not said; `bad_request` for an operator who does not
/// say it.
pub fn acting_user(
    actor: &Actor,
    named: Option<&str>,
    missing: &'static str,
) -> Result<UserName, ApiError> {
    match (actor, named) {
        (Actor::User(person), None) => Ok(person.user.clone()),
        (Actor::User(person), Some(named)) if person.user.as_str() == named => {
            Ok(person.user.clone())
        }
        (Actor::User(_), Some(_)) => Err(ApiError::of(Code::NotFound)),
        (Actor::Control, Some(named)) => Ok(UserName::new(named)?),
        (Actor::Control, None) => Err(ApiError::new(
            Code::BadRequest,
            format!("missing field {missing}"),
        )),
    }
}

fn user(parts: &Parts, access: &Access, now_ms: u64) -> Result<Caller, ApiError> {
    let identity = access.verify(bearer(parts)?, now_ms)?;
    if identity.person.is_relay() {
        return Err(ApiError::new(
            Code::OutOfScope,
            "a relay's token is good for watching by QUIC only",
        ));
    }
    let rates = access.rates();
    rates.take_user(rates.user(&identity.person), now_ms)?;
    Ok(Caller(Actor::User(identity.person)))
}

fn operator(parts: &Parts, tokens: &ControlTokens) -> Result<Caller, ApiError> {
    let Some(scopes) = tokens.scopes_of(bearer(parts)?) else {
        return Err(ApiError::new(
            Code::BadToken,
            "not a control token of this server; see --control-token",
        ));
    };
    let path = parts.extensions.get::<MatchedPath>();
    let path = path.map_or("", MatchedPath::as_str);
    control_scopes::check(scopes, &parts.method, path)?;
    Ok(Caller(Actor::Control))
}

fn this_machine(parts: &Parts) -> Result<Caller, ApiError> {
    let peer = parts.extensions.get::<PeerAddress>();
    let is_local = peer.is_some_and(|peer| peer.0.ip().is_loopback());
    let by_browser = header(parts, &ORIGIN).is_some();
    let host_is_local = header(parts, &HOST).is_some_and(names_this_machine);
    if is_local && host_is_local && !by_browser {
        return Ok(Caller(Actor::Control));
    }
    Err(ApiError::new(
        Code::BadToken,
        "in dev mode the control API is for programs on this machine, not for web pages or others",
    ))
}

/// Whether a `Host` is `localhost` or a loopback address, with or without a port.
fn names_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The bearer token of a request.
fn bearer(parts: &Parts) -> Result<&str, ApiError> {
    header(parts, &AUTHORIZATION)
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| {
            ApiError::new(
                Code::BadToken,
                "no token; send `Authorization: Bearer TOKEN`",
            )
        })
}

fn header<'a>(parts: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    parts.headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use crate::http::caller::names_this_machine;

    #[test]
    fn only_this_machine_by_name_or_number() {
        for host in [
            "localhost",
            "LOCALHOST:9090",
            "127.0.0.1:80",
            "127.0.0.1",
            "[::1]:9090",
            "[::1]",
        ] {
            assert!(names_this_machine(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9090",
            "10.0.0.1:9090",
            "localhost.evil.example",
        ] {
            assert!(!names_this_machine(host), "{host}");
        }
    }
}
