//! Many members at once: JSON lines that are read as they come and become members in batches.
//!
//! A batch is one promise: all of its lines are members or none is. A line that cannot be taken leaves
//! its whole batch out; the report says which, and the other batches go on. What stops an import (a
//! version that has changed, a full disk) is in the report, too, with the lines that are done: import
//! the rest again, or everything, which changes nothing for those who are members already.

use std::mem;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use skein_engine::request::{ChatReply, ChatRequest};
use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatName, UserName};

use crate::http::body::parse;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::gateway::{ShardGateway, ask, mismatch};
use crate::http::if_match::{IfMatch, with_version};
use crate::http::limits::{
    IMPORT_BATCH_BYTES, IMPORT_BATCH_LINES, IMPORT_LINE_BYTES_MAX, IMPORT_PAUSE_MS_MAX,
    IMPORT_REPORT_MAX,
};
use crate::http::members::{MemberLine, check_user};
use crate::http::names::ChatPath;
use crate::http::state::ApiState;

/// `POST /v1/chats/{chat}/members`
///
/// # Errors
/// `not_found` and the like before the first batch; what stops it later is in the report.
pub async fn import(
    State(state): State<ApiState>,
    Caller(_operator): Caller,
    ChatPath(chat): ChatPath,
    IfMatch(expected): IfMatch,
    request: Request,
) -> Response {
    let mut import = Import::new(chat, expected);
    let stopped = import
        .read(&*state.gateway, request.into_body())
        .await
        .err();
    import.report(stopped)
}

/// One import.
#[derive(Debug)]
struct Import {
    chat: ChatName,
    /// Version of the members as the next batch must find them, if the caller asked for one.
    expected: Option<u64>,
    /// Bytes of a line that has not ended.
    rest: Vec<u8>,
    /// Lines so far.
    lines: u64,
    batch: Batch,
    accepted: u64,
    batches: u64,
    refused: Vec<Value>,
    refused_total: u64,
    skipped: Vec<Value>,
    version: u64,
}

/// Lines that become members together.
#[derive(Debug, Default)]
struct Batch {
    first: u64,
    members: Vec<(UserName, u8)>,
    /// Line of each of `members`.
    lines: Vec<u64>,
    bytes: usize,
    is_refused: bool,
}

impl Import {
    fn new(chat: ChatName, expected: Option<u64>) -> Self {
        Self {
            chat,
            expected,
            rest: Vec::new(),
            lines: 0,
            batch: Batch::default(),
            accepted: 0,
            batches: 0,
            refused: Vec::new(),
            refused_total: 0,
            skipped: Vec::new(),
            version: 0,
        }
    }

    /// Takes the whole body, as it comes.
    async fn read(&mut self, gateway: &dyn ShardGateway, mut body: Body) -> Result<(), ApiError> {
        let pause = Duration::from_millis(IMPORT_PAUSE_MS_MAX);
        loop {
            let frame = tokio::time::timeout(pause, body.frame()).await;
            let Some(frame) = frame.map_err(|_| ApiError::of(Code::Deadline))? else {
                break;
            };
            let frame = frame.map_err(|_| {
                ApiError::new(Code::BadRequest, "the body broke off; send the rest")
            })?;
            if let Ok(bytes) = frame.into_data() {
                self.take(gateway, &bytes).await?;
            }
        }
        let last = mem::take(&mut self.rest);
        if !last.is_empty() {
            self.line(gateway, &last).await?;
        }
        self.flush(gateway).await
    }

    async fn take(&mut self, gateway: &dyn ShardGateway, bytes: &[u8]) -> Result<(), ApiError> {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            let mut line = mem::take(&mut self.rest);
            line.extend_from_slice(piece);
            self.line(gateway, &line).await?;
        }
        self.rest.extend_from_slice(last);
        self.check_length(&self.rest)
    }

    /// Whether the line behind those that are done is too long, as far as it is there: however TCP has cut it.
    fn check_length(&self, line: &[u8]) -> Result<(), ApiError> {
        let number = self.lines + 1;
        match line.len() <= IMPORT_LINE_BYTES_MAX {
            true => Ok(()),
            false => Err(ApiError::new(
                Code::TooLarge,
                format!(
                    "line {number} is longer than {} KiB",
                    IMPORT_LINE_BYTES_MAX / 1_024
                ),
            )),
        }
    }

    async fn line(&mut self, gateway: &dyn ShardGateway, line: &[u8]) -> Result<(), ApiError> {
        self.check_length(line)?;
        self.lines += 1;
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(());
        }
        if self.batch.first == 0 {
            self.batch.first = self.lines;
        }
        match member(line) {
            Ok((user, rights)) => self.batch.push(self.lines, user, rights),
            Err(ApiError { error, .. }) => {
                self.batch.is_refused = true;
                self.refuse(self.lines, &error);
            }
        }
        let is_full = self.lines - self.batch.first + 1 >= IMPORT_BATCH_LINES
            || self.batch.bytes >= IMPORT_BATCH_BYTES;
        if is_full {
            self.flush(gateway).await?;
        }
        Ok(())
    }

    /// Makes the lines of the batch members, unless one of them was refused.
    async fn flush(&mut self, gateway: &dyn ShardGateway) -> Result<(), ApiError> {
        let batch = mem::take(&mut self.batch);
        if batch.is_refused {
            self.skip(&batch);
            return Ok(());
        }
        if batch.members.is_empty() {
            return Ok(());
        }
        let request = ChatRequest::PutMembers {
            chat: self.chat.clone(),
            members: batch.members.clone(),
            expected: self.expected,
        };
        match ask(gateway, request).await? {
            ChatReply::Changed { version, .. } => {
                self.accepted += batch.members.len() as u64;
                self.batches += 1;
                self.version = version;
                // The next batch must find what this one has left.
                self.expected = self.expected.map(|_| version);
                Ok(())
            }
            ChatReply::WouldRestrict(places) => {
                let text = "the member has rights that this line would take; change it by itself";
                let error = WireError::new(Code::Conflict, text);
                for place in places {
                    let line = batch.lines.get(place).copied().unwrap_or(batch.first);
                    self.refuse(line, &error);
                }
                self.skip(&batch);
                Ok(())
            }
            other => Err(mismatch(&other)),
        }
    }

    fn refuse(&mut self, line: u64, error: &WireError) {
        self.refused_total += 1;
        if self.refused.len() < IMPORT_REPORT_MAX {
            let (code, text) = (error.code.name(), &error.text);
            self.refused
                .push(json!({ "line": line, "code": code, "text": text }));
        }
    }

    fn skip(&mut self, batch: &Batch) {
        if self.skipped.len() < IMPORT_REPORT_MAX {
            self.skipped
                .push(json!({ "from": batch.first, "to": self.lines }));
        }
    }

    fn report(self, stopped: Option<ApiError>) -> Response {
        let mut report = json!({
            "lines": self.lines,
            "accepted": self.accepted,
            "batches": self.batches,
            "refused": self.refused,
            "refused_total": self.refused_total,
            "skipped": self.skipped,
            "version": self.version,
        });
        let mut status = StatusCode::OK;
        if let Some(ApiError {
            error: WireError { code, text },
            ..
        }) = stopped
        {
            status = StatusCode::from_u16(code.http_status()).unwrap_or(status);
            report["code"] = json!(code.name());
            report["text"] = json!(text);
        }
        with_version(self.version, (status, Json(report)).into_response())
    }
}

impl Batch {
    fn push(&mut self, line: u64, user: UserName, rights: u8) {
        /// Of a member in a record, beside the name.
        const MEMBER_BYTES: usize = 9;
        self.bytes += user.as_str().len() + MEMBER_BYTES;
        self.lines.push(line);
        self.members.push((user, rights));
    }
}

/// The member that a line names, and the bits of the rights.
///
/// # Errors
/// `bad_name` and `bad_request` for a line that is none; `bad_request` for one that gives nothing.
pub fn member(line: &[u8]) -> Result<(UserName, u8), ApiError> {
    let line: MemberLine = parse(line)?;
    let user = UserName::new(&line.user)?;
    check_user(&user)?;
    let rights = line.rights()?;
    if rights.is_none() {
        return Err(ApiError::new(
            Code::BadRequest,
            "a line gives at least one right; remove members one by one",
        ));
    }
    Ok((user, rights.bits()))
}
