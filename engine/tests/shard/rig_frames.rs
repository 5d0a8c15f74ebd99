//! Frames and requests that many scenarios send.

use skein_engine::request::{Actor, ChatRequest, StartRequest};
use skein_wire::ids::{Cursor, RequestNumber, ShareNumber};
use skein_wire::request::{Delivery, Request, SharePoint, SharePoints, ShareStart, Watch};

use crate::rig::{Rig, chat, point, user};

impl Rig {
    pub fn start_request(name: &str, key: &str) -> ChatRequest {
        ChatRequest::Start(StartRequest {
            chat: chat(),
            actor: Actor::User(user(name).into()),
            user: user(name),
            duration_s: 900,
            idempotency_key: key.to_owned(),
            sealed: false,
        })
    }

    pub fn share_start(key: &str, duration_s: u32) -> Request {
        Request::ShareStart(ShareStart {
            request: RequestNumber(1),
            chat: chat(),
            duration_s,
            idempotency_key: key.to_owned(),
            sealed: false,
        })
    }

    pub fn point_frame(share: ShareNumber, counter: u64) -> Request {
        Request::Point(SharePoint {
            share,
            durable: false,
            point: point(counter),
        })
    }

    pub fn history_frame(share: ShareNumber, counters: &[u64]) -> Request {
        Request::Points(SharePoints {
            share,
            historical: true,
            durable: false,
            points: counters.iter().map(|counter| point(*counter)).collect(),
        })
    }

    pub fn watch_frame(cursor: Option<Cursor>, delivery: Delivery) -> Request {
        Request::Watch(Watch {
            request: RequestNumber(2),
            chat: chat(),
            session: None,
            view: None,
            cursor,
            delivery,
            trail: 0,
            interval_ms: 0,
        })
    }
}
