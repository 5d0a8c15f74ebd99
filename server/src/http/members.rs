//! Members of a chat: for the chat service and the operator only.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use skein_engine::grid::Grid;
use skein_engine::guest::is_guest;
use skein_engine::request::{ChatReply, ChatRequest};
use skein_engine::rights::Rights;
use skein_wire::error::Code;
use skein_wire::ids::UserName;

use crate::events::member_json::member_json;
use crate::http::body::JsonBody;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::gateway::{ask, mismatch};
use crate::http::if_match::{IfMatch, with_version};
use crate::http::limits::MEMBERS_PER_PAGE;
use crate::http::names::{ChatPath, MemberPath};
use crate::http::sessions::{done, met};
use crate::http::state::ApiState;

/// A right as JSON says it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Right {
    Share,
    Watch,
}

/// Body of a change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberBody {
    /// `share`, `watch`, both or none.
    rights: Vec<Right>,
    /// Places on a grid with cells of so many metres.
    grid_m: Option<u32>,
}

/// A line of an import.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberLine {
    /// Who.
    pub user: String,
    /// `share`, `watch` or both.
    rights: Vec<Right>,
    /// Places on a grid with cells of so many metres.
    grid_m: Option<u32>,
}

impl MemberLine {
    /// The rights.
    ///
    /// # Errors
    /// `bad_request` for a grid that members do not have.
    pub fn rights(&self) -> Result<Rights, ApiError> {
        rights(&self.rights, self.grid_m)
    }
}

/// The query of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembersQuery {
    /// Go on behind this name.
    after: Option<String>,
    /// How many at most.
    limit: Option<usize>,
}

fn rights(rights: &[Right], grid_m: Option<u32>) -> Result<Rights, ApiError> {
    let exact = rights.iter().fold(Rights::NONE, |all, right| {
        all.or(match right {
            Right::Share => Rights::SHARE,
            Right::Watch => Rights::WATCH,
        })
    });
    let Some(metres) = grid_m else {
        return Ok(exact);
    };
    let on_grid = Grid::new(metres).and_then(|grid| exact.on_grid(grid));
    on_grid.ok_or_else(|| {
        let steps = Grid::STEPS_M;
        let text = format!("`grid_m` goes with the right to watch, and is one of {steps:?}");
        ApiError::new(Code::BadRequest, text)
    })
}

/// Whether a user can be a member: some names are those of guests.
///
/// # Errors
/// `bad_name` for those.
pub fn check_user(user: &UserName) -> Result<(), ApiError> {
    match is_guest(user) {
        true => Err(ApiError::new(
            Code::BadName,
            "names that begin with `guest:` are those of guests",
        )),
        false => Ok(()),
    }
}

/// The answer to a change of members or links: 200, or 202 while it is not yet durable.
///
/// # Errors
/// `internal` when the reply is another one.
pub fn changed(reply: ChatReply) -> Result<Response, ApiError> {
    match reply {
        ChatReply::Changed {
            durable, version, ..
        } => {
            let done = done(ChatReply::Done { durable })?;
            Ok(with_version(version, done))
        }
        other => Err(mismatch(&other)),
    }
}

/// `PUT /v1/chats/{chat}/members/{user}`
///
/// # Errors
/// What the owner shard says; `bad_request` for a body that is not as described.
pub async fn put(
    State(state): State<ApiState>,
    Caller(_operator): Caller,
    MemberPath(chat, user): MemberPath,
    IfMatch(expected): IfMatch,
    JsonBody(body): JsonBody<MemberBody>,
) -> Result<Response, ApiError> {
    check_user(&user)?;
    let request = ChatRequest::PutMember {
        chat,
        user,
        rights: rights(&body.rights, body.grid_m)?.bits(),
        expected,
    };
    changed(ask(&*state.gateway, request).await?)
}

/// `DELETE /v1/chats/{chat}/members/{user}`
///
/// # Errors
/// What the owner shard says; `not_applied_everywhere` when a shard was too slow: repeat it.
pub async fn remove(
    State(state): State<ApiState>,
    Caller(_operator): Caller,
    MemberPath(chat, user): MemberPath,
    IfMatch(expected): IfMatch,
) -> Result<Response, ApiError> {
    check_user(&user)?;
    let request = ChatRequest::RemoveMember {
        chat,
        user,
        expected,
    };
    match ask(&*state.gateway, request).await? {
        ChatReply::Changed {
            durable,
            version,
            was_member,
        } => {
            let body = json!({ "durable": durable, "was_member": was_member });
            Ok(with_version(version, met(durable, &body)))
        }
        other => Err(mismatch(&other)),
    }
}

/// `GET /v1/chats/{chat}/members`
///
/// # Errors
/// What the owner shard says.
pub async fn list(
    State(state): State<ApiState>,
    Caller(_operator): Caller,
    ChatPath(chat): ChatPath,
    query: Result<Query<MembersQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let bad = |_| ApiError::new(Code::BadRequest, "the query has `after` and `limit`");
    let Query(query) = query.map_err(bad)?;
    let after = query.after.as_deref().map(UserName::new).transpose()?;
    let request = ChatRequest::Members {
        chat,
        after,
        limit: query.limit.unwrap_or(MEMBERS_PER_PAGE),
    };
    match ask(&*state.gateway, request).await? {
        ChatReply::Members(page) => {
            let last = page.members.last().filter(|_| page.more);
            let next = last.map(|(user, _)| user.as_str());
            let members: Vec<Value> = page
                .members
                .iter()
                .map(|(user, rights)| member_json(user.as_str(), *rights))
                .collect();
            let mut answer = json!({ "members": members, "version": page.version });
            if let Some(next) = next {
                answer["next"] = json!(next);
            }
            Ok(with_version(page.version, Json(answer)))
        }
        other => Err(mismatch(&other)),
    }
}
