//! One member that shares: its connection, its session, and what the server said about its points.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use skein_wire::error::Code;
use skein_wire::frame::decode_update;
use skein_wire::ids::{ChatName, Counter, RequestNumber, ShareNumber};
use skein_wire::limits::{SERVER_FRAME_BYTES_MAX, WEBSOCKET_SUBPROTOCOL};
use skein_wire::point::{Payload, Point};
use skein_wire::request::{Request, SharePoint, ShareStart, ShareStop};
use skein_wire::splitter::split_first;
use skein_wire::update::{Accepted, Update};

use crate::fault::Fault;
use crate::skein_websocket::{PATH, hello, message, refusal};
use crate::walk::Walk;
use crate::websocket_frame::{Message, cut, put_pong, upgrade, upgraded};

/// Bytes that may wait for a connection: beyond that a sender cannot send, as a phone without a
/// network.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// Where a sender stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Starting,
    Sharing(ShareNumber),
    Stopping,
    Stopped,
}

/// One sender, without its socket.
pub struct Sender {
    chat: ChatName,
    duration_s: u32,
    token: String,
    walk: Walk,
    stage: Stage,
    request: u32,
    /// A new session follows the old one.
    again: bool,
    /// Bytes that came and are no whole message yet.
    pending: Vec<u8>,
    /// Bytes that are to be sent.
    pub out: Vec<u8>,
    /// The last counter that was sent in this session.
    sent_last: u64,
    /// What was sent in sessions before this one and was not acknowledged when they ended.
    acknowledged: u64,
    superseded: u64,
    refused: BTreeMap<&'static str, u64>,
    turned_away: Vec<u64>,
}

impl Sender {
    /// Who is not connected yet.
    pub fn new(chat: ChatName, duration_s: u32, token: String, walk: Walk) -> Self {
        Self {
            chat,
            duration_s,
            token,
            walk,
            stage: Stage::Connecting,
            request: 0,
            again: false,
            pending: Vec::new(),
            out: Vec::new(),
            sent_last: 0,
            acknowledged: 0,
            superseded: 0,
            refused: BTreeMap::new(),
            turned_away: Vec::new(),
        }
    }

    /// The connection is made.
    pub fn begin(&mut self, host: &str) {
        self.out = upgrade(host, PATH, WEBSOCKET_SUBPROTOCOL);
    }

    /// Whether points can be sent.
    pub fn is_sharing(&self) -> bool {
        matches!(self.stage, Stage::Sharing(_))
    }

    /// Whether its session is over, and no other one begins.
    pub fn is_stopped(&self) -> bool {
        self.stage == Stage::Stopped
    }

    /// Whether the server has said something about everything that was sent.
    pub fn is_settled(&self) -> bool {
        self.acknowledged >= self.sent_last
    }

    /// Sends a point; false where that cannot be done now.
    pub fn publish(&mut self, counter: u64, seconds: f64, now_ms: u64) -> bool {
        let Stage::Sharing(share) = self.stage else {
            return false;
        };
        if self.out.len() > WAITING_BYTES_MAX {
            return false;
        }
        let point = Request::Point(SharePoint {
            share,
            durable: false,
            point: Point {
                counter: Counter(counter),
                captured_at_ms: now_ms as i64,
                payload: Payload::Fix(self.walk.step(seconds)),
            },
        });
        self.out.extend(message(&[point]));
        self.sent_last = counter;
        true
    }

    /// Ends the session; `again`: and begins a new one.
    pub fn stop(&mut self, again: bool) {
        let Stage::Sharing(share) = self.stage else {
            return;
        };
        self.stage = Stage::Stopping;
        self.again = again;
        let request = self.next_request();
        let stop = Request::ShareStop(ShareStop { request, share });
        self.out.extend(message(&[stop]));
    }

    /// Takes what has come.
    ///
    /// # Errors
    /// What ends this sender.
    pub fn take(&mut self, input: &[u8]) -> Result<(), Fault> {
        self.pending.extend_from_slice(input);
        let pending = std::mem::take(&mut self.pending);
        let mut used = 0;
        if self.stage == Stage::Connecting {
            match upgraded(&pending)? {
                Some(answer) => {
                    used = answer;
                    self.start_session(true);
                }
                None => {
                    self.pending = pending;
                    return Ok(());
                }
            }
        }
        while let Some((found, bytes)) = cut(&pending[used..])? {
            match found {
                Message::Data(frames) => self.frames(frames)?,
                Message::Ping(payload) => put_pong(&mut self.out, payload),
                Message::Pong => {}
                Message::Close(status, reason) => {
                    let reason = String::from_utf8_lossy(reason);
                    return Err(Fault::Refused(format!("closed with {status} {reason}")));
                }
            }
            used += bytes;
        }
        self.pending = pending[used..].to_vec();
        Ok(())
    }

    fn start_session(&mut self, first: bool) {
        self.stage = Stage::Starting;
        let request = self.next_request();
        let start = Request::ShareStart(ShareStart {
            request,
            chat: self.chat.clone(),
            duration_s: self.duration_s,
            idempotency_key: String::new(),
            sealed: false,
        });
        let greeting = first.then(|| hello(&self.token));
        let requests: Vec<_> = greeting.into_iter().chain([start]).collect();
        self.out.extend(message(&requests));
    }

    fn frames(&mut self, mut frames: &[u8]) -> Result<(), Fault> {
        while let Some(frame) = split_first(&mut frames, SERVER_FRAME_BYTES_MAX)? {
            if let Some(update) = decode_update(Bytes::copy_from_slice(frame))? {
                self.update(update)?;
            }
        }
        Ok(())
    }

    fn update(&mut self, update: Update) -> Result<(), Fault> {
        match update {
            Update::Shared(shared) => self.stage = Stage::Sharing(shared.share),
            Update::Accepted(accepted) => self.accepted(&accepted),
            Update::Done(_) if self.stage == Stage::Stopping => {
                // The end of a session acknowledges what came before it on this connection.
                self.acknowledged = self.acknowledged.max(self.sent_last);
                self.stage = Stage::Stopped;
                if std::mem::take(&mut self.again) {
                    self.start_session(false);
                }
            }
            Update::Refused(refused) => return Err(refusal(refused.code, &refused.text)),
            Update::Goodbye(goodbye) => return Err(refusal(goodbye.code, &goodbye.text)),
            _ => {}
        }
        Ok(())
    }

    fn accepted(&mut self, accepted: &Accepted) {
        self.acknowledged = self.acknowledged.max(accepted.counter.0);
        for verdict in &accepted.verdicts {
            self.turned_away.push(verdict.counter.0);
            match verdict.code {
                Code::Superseded => self.superseded += 1,
                code => *self.refused.entry(code.name()).or_default() += 1,
            }
        }
    }

    /// Points that a newer one had overtaken.
    pub fn superseded(&self) -> u64 {
        self.superseded
    }

    /// Points that were refused, by code.
    pub fn refused(&self) -> &BTreeMap<&'static str, u64> {
        &self.refused
    }

    /// Counters that viewers are not owed: those with a verdict.
    pub fn turned_away(&self) -> &[u64] {
        &self.turned_away
    }

    /// Counters about which the server has said nothing.
    pub fn in_doubt(&self) -> RangeInclusive<u64> {
        self.acknowledged + 1..=self.sent_last
    }

    /// How many those are.
    pub fn unspoken(&self) -> u64 {
        self.sent_last.saturating_sub(self.acknowledged)
    }

    fn next_request(&mut self) -> RequestNumber {
        self.request += 1;
        RequestNumber(self.request)
    }
}
