//! Names in a path: the chat, the session, the user.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use skein_engine::ids::GuestId;
use skein_wire::error::Code;
use skein_wire::ids::{ChatName, GeofenceName, SessionId, UserName};

use crate::http::error::ApiError;

/// `/v1/chats/{chat}/…`
#[derive(Clone, Debug)]
pub struct ChatPath(pub ChatName);

/// `/v1/chats/{chat}/sessions/{session}/…`
#[derive(Clone, Debug)]
pub struct SessionPath(pub ChatName, pub SessionId);

/// `/v1/chats/{chat}/members/{user}`
#[derive(Clone, Debug)]
pub struct MemberPath(pub ChatName, pub UserName);

/// `/v1/chats/{chat}/guests/{guest}`
#[derive(Clone, Debug)]
pub struct GuestPath(pub ChatName, pub GuestId);

/// `/v1/chats/{chat}/geofences/{name}`, `/v1/chats/{chat}/alerts/{name}`
#[derive(Clone, Debug)]
pub struct GeofencePath(pub ChatName, pub GeofenceName);

/// `/v1/users/{user}/…`
#[derive(Clone, Debug)]
pub struct UserPath(pub UserName);

/// The decoded parameters of the path.
async fn parameters(parts: &mut Parts) -> Result<HashMap<String, String>, ApiError> {
    let bad = || {
        ApiError::new(
            Code::BadName,
            "the path is not UTF-8; percent-encode its names",
        )
    };
    let Path(parameters) = Path::from_request_parts(parts, &())
        .await
        .map_err(|_| bad())?;
    Ok(parameters)
}

fn parse<T>(parameters: &HashMap<String, String>, name: &str) -> Result<T, ApiError>
where
    T: std::str::FromStr<Err = skein_wire::error::WireError>,
{
    let text = parameters.get(name).map_or("", String::as_str);
    text.parse().map_err(ApiError::from)
}

impl<S: Send + Sync> FromRequestParts<S> for GuestPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let names = parameters(parts).await?;
        let text = names.get("guest").map_or("", String::as_str);
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let guest = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        // One that cannot be is one that is not there.
        let guest = guest.ok_or_else(|| ApiError::of(Code::NotFound))?;
        Ok(Self(parse(&names, "chat")?, GuestId(guest)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ChatPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let names = parameters(parts).await?;
        Ok(Self(parse(&names, "chat")?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let names = parameters(parts).await?;
        Ok(Self(parse(&names, "chat")?, parse(&names, "session")?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MemberPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let names = parameters(parts).await?;
        Ok(Self(parse(&names, "chat")?, parse(&names, "user")?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for GeofencePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let names = parameters(parts).await?;
        Ok(Self(parse(&names, "chat")?, parse(&names, "name")?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for UserPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let names = parameters(parts).await?;
        Ok(Self(parse(&names, "user")?))
    }
}
