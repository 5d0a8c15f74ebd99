//! A protocol client for tests: says hello, shares, watches, one frame at a time, over WebSocket.
//!
//! It hides nothing: what the server sends is handed out as it came.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use skein_wire::batch::Batch;
use skein_wire::error::Code;
use skein_wire::frame::{decode_update, encode_request};
use skein_wire::ids::{ChatName, Counter, Cursor, RequestNumber, SessionId, ShareNumber};
use skein_wire::limits::{SERVER_FRAME_BYTES_MAX, VERSION};
use skein_wire::point::{Fix, Payload, Point, Position};
use skein_wire::request::{
    Delivery, Hello, Request, SharePoint, ShareResume, ShareStart, ShareStop, Token, Watch,
};
use skein_wire::splitter::split_first_shared;
use skein_wire::update::{Accepted, Refused, Shared, Update, Watching, Welcome};

use crate::wait::PATIENCE;
use crate::websocket::{Message, Options, WebSocket};

/// Close codes of the WebSocket binding are those of the protocol above this.
pub const CLOSE_BASE: u16 = 4000;

/// How a connection ended, as the server put it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The WebSocket close code; 0 when the socket ended without a close frame.
    pub code: u16,
    /// The text beside it.
    pub text: String,
}

impl Closed {
    /// The protocol's code in it.
    pub fn protocol_code(&self) -> Option<Code> {
        Code::from_u16(self.code.checked_sub(CLOSE_BASE)?)
    }
}

/// What comes from the server.
#[derive(Clone, Debug)]
pub enum Received {
    /// A frame.
    Update(Update),
    /// The end.
    Closed(Closed),
}

/// A connection that has been welcomed.
pub struct Peer {
    /// The socket below, for tests that need to misbehave.
    pub socket: WebSocket,
    /// What the server said first.
    pub welcome: Welcome,
    /// Frames that came while something else was awaited.
    inbox: VecDeque<Update>,
    request_last: u32,
}

impl Peer {
    /// Connects and is welcomed.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn connect(to: SocketAddr, token: &str) -> Self {
        Self::connect_with(to, token, &Options::default())
    }

    /// The same with socket options.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn connect_with(to: SocketAddr, token: &str, options: &Options) -> Self {
        match Self::try_connect(to, token, options) {
            Ok(peer) => peer,
            Err(closed) => panic!("not welcome at {to}: {closed:?}"),
        }
    }

    /// Connects and says hello.
    ///
    /// # Errors
    /// How the server closed the connection instead of a welcome.
    pub fn try_connect(to: SocketAddr, token: &str, options: &Options) -> Result<Self, Closed> {
        let failed = |e: io::Error| Closed {
            code: 0,
            text: e.to_string(),
        };
        let mut socket = WebSocket::connect(to, options).map_err(failed)?;
        socket.send(&encoded(&[hello(token)])).map_err(failed)?;
        Self::welcomed(socket, PATIENCE)
    }

    /// The peer on a connection on which hello was said, once it is welcomed.
    ///
    /// # Errors
    /// How the server closed the connection instead.
    ///
    /// # Panics
    /// If there is another answer, or none within `limit`.
    pub fn welcomed(mut socket: WebSocket, limit: Duration) -> Result<Self, Closed> {
        let mut inbox = VecDeque::new();
        match receive(&mut socket, &mut inbox, limit) {
            Some(Received::Update(Update::Welcome(welcome))) => Ok(Self {
                socket,
                welcome,
                inbox,
                request_last: 0,
            }),
            Some(Received::Update(Update::Goodbye(goodbye))) => Err(Closed {
                code: CLOSE_BASE + goodbye.code as u16,
                text: goodbye.text,
            }),
            Some(Received::Closed(closed)) => Err(closed),
            other => panic!("not a welcome: {other:?}"),
        }
    }

    /// Sends requests in one message.
    ///
    /// # Panics
    /// If the socket is gone.
    pub fn send(&mut self, requests: &[Request]) {
        let sent = self.socket.send(&encoded(requests));
        sent.unwrap_or_else(|e| panic!("cannot send {} requests: {e}", requests.len()));
    }

    /// Sends requests; tells whether the socket took them.
    pub fn try_send(&mut self, requests: &[Request]) -> bool {
        self.socket.send(&encoded(requests)).is_ok()
    }

    /// A number for the next request.
    pub fn next_request(&mut self) -> RequestNumber {
        self.request_last += 1;
        RequestNumber(self.request_last)
    }

    /// The next frame or the end; `None` when neither comes within `limit`.
    pub fn receive(&mut self, limit: Duration) -> Option<Received> {
        if let Some(update) = self.inbox.pop_front() {
            return Some(Received::Update(update));
        }
        receive(&mut self.socket, &mut self.inbox, limit)
    }

    /// The first frame that `pick` takes; the others stay for later. `None` when none comes
    /// within `limit`, or when the connection ends first.
    pub fn pick<T>(
        &mut self,
        limit: Duration,
        mut pick: impl FnMut(&Update) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + limit;
        let mut passed = VecDeque::new();
        let found = loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.receive(left) {
                Some(Received::Update(update)) => match pick(&update) {
                    Some(found) => break Some(found),
                    None => passed.push_back(update),
                },
                Some(Received::Closed(_)) | None => break None,
            }
        };
        passed.append(&mut self.inbox);
        self.inbox = passed;
        found
    }

    /// As [`Self::pick`] within [`PATIENCE`].
    ///
    /// # Panics
    /// With `what` when nothing fits.
    pub fn expect<T>(&mut self, what: &str, pick: impl FnMut(&Update) -> Option<T>) -> T {
        let found = self.pick(PATIENCE, pick);
        found.unwrap_or_else(|| panic!("no {what}; waiting: {:?}", kinds(&self.inbox)))
    }

    /// Reads until the connection ends, and says how.
    ///
    /// # Panics
    /// If it does not end within `limit`.
    pub fn expect_close(&mut self, limit: Duration) -> Closed {
        let end = Instant::now() + limit;
        loop {
            match self.receive(end.saturating_duration_since(Instant::now())) {
                Some(Received::Closed(closed)) => return closed,
                Some(Received::Update(_)) => {}
                None => panic!("the connection is still open after {limit:?}"),
            }
        }
    }

    /// Starts a session and waits for its number.
    ///
    /// # Panics
    /// If it is refused.
    pub fn share(&mut self, chat: &str, duration_s: u32, key: &str) -> Shared {
        let answer = self.try_share(chat, duration_s, key);
        answer.unwrap_or_else(|refused| panic!("no session in {chat}: {refused:?}"))
    }

    /// Starts a session.
    ///
    /// # Errors
    /// The refusal.
    pub fn try_share(&mut self, chat: &str, duration_s: u32, key: &str) -> Result<Shared, Refused> {
        let request = self.next_request();
        self.send(&[Request::ShareStart(ShareStart {
            request,
            chat: name(chat),
            duration_s,
            idempotency_key: key.to_owned(),
            sealed: false,
        })]);
        self.shared(request)
    }

    /// Binds a session of the same user to this connection.
    ///
    /// # Errors
    /// The refusal.
    pub fn try_resume(&mut self, chat: &str, session: SessionId) -> Result<Shared, Refused> {
        let request = self.next_request();
        self.send(&[Request::ShareResume(ShareResume {
            request,
            chat: name(chat),
            session,
        })]);
        self.shared(request)
    }

    fn shared(&mut self, asked: RequestNumber) -> Result<Shared, Refused> {
        self.expect("answer to a share", |update| match update {
            Update::Shared(shared) if shared.request == asked => Some(Ok(*shared)),
            Update::Refused(refused) if refused.request == asked => Some(Err(refused.clone())),
            _ => None,
        })
    }

    /// Ends a session and waits until that is acknowledged.
    ///
    /// # Panics
    /// If it is refused.
    pub fn stop(&mut self, share: ShareNumber) {
        let asked = self.next_request();
        self.send(&[Request::ShareStop(ShareStop {
            request: asked,
            share,
        })]);
        self.expect("acknowledged stop", |update| match update {
            Update::Done(done) if done.request == asked => Some(()),
            Update::Refused(refused) if refused.request == asked => panic!("{refused:?}"),
            _ => None,
        });
    }

    /// Watches a chat from a cursor on.
    ///
    /// # Panics
    /// If it is refused.
    pub fn watch(&mut self, chat: &str, cursor: Option<Cursor>, delivery: Delivery) -> Watching {
        let answer = self.try_watch(chat, cursor, delivery);
        answer.unwrap_or_else(|refused| panic!("no watch of {chat}: {refused:?}"))
    }

    /// Watches a chat.
    ///
    /// # Errors
    /// The refusal.
    pub fn try_watch(
        &mut self,
        chat: &str,
        cursor: Option<Cursor>,
        delivery: Delivery,
    ) -> Result<Watching, Refused> {
        let asked = self.next_request();
        self.send(&[watch(asked, chat, cursor, delivery)]);
        self.expect("answer to a watch", |update| match update {
            Update::Watching(watching) if watching.request == asked => Some(Ok(*watching)),
            Update::Refused(refused) if refused.request == asked => Some(Err(refused.clone())),
            _ => None,
        })
    }

    /// Sends a live point.
    pub fn point(&mut self, share: ShareNumber, point: Point) {
        self.send(&[live(share, point, false)]);
    }

    /// Sends a live point and waits until it is durable.
    ///
    /// # Panics
    /// If the acknowledgement does not come.
    pub fn durable_point(&mut self, share: ShareNumber, point: Point) {
        let counter = point.counter;
        self.send(&[live(share, point, true)]);
        self.expect("durable acknowledgement", |update| match update {
            Update::Accepted(accepted) if accepted.share == share => {
                (accepted.durable >= counter).then_some(())
            }
            _ => None,
        });
    }

    /// The acknowledgement that covers a counter.
    ///
    /// # Panics
    /// If it does not come.
    pub fn accepted(&mut self, share: ShareNumber, counter: Counter) -> Accepted {
        self.expect("acknowledgement", |update| match update {
            Update::Accepted(accepted) if accepted.share == share => {
                (accepted.counter >= counter).then(|| accepted.clone())
            }
            _ => None,
        })
    }

    /// The next batch of any chat; `None` when none comes within `limit`.
    ///
    /// # Panics
    /// If it does not parse.
    pub fn batch(&mut self, limit: Duration) -> Option<Batch> {
        self.pick(limit, |update| match update {
            Update::Batch(body) => Some(Batch::decode(body).expect("a batch that parses")),
            _ => None,
        })
    }
}

/// The first request of a connection.
pub fn hello(token: &str) -> Request {
    Request::Hello(Hello {
        version: VERSION,
        token: Token(token.to_owned()),
        client: "skein-tests".to_owned(),
    })
}

/// A watch of a whole chat.
pub fn watch(
    asked: RequestNumber,
    chat: &str,
    cursor: Option<Cursor>,
    delivery: Delivery,
) -> Request {
    Request::Watch(Watch {
        request: asked,
        chat: name(chat),
        session: None,
        view: None,
        cursor,
        delivery,
        trail: 0,
        interval_ms: 0,
    })
}

/// A chat's name.
///
/// # Panics
/// If it is none.
pub fn name(chat: &str) -> ChatName {
    ChatName::new(chat).expect("a chat name")
}

/// A live point as a request.
pub fn live(share: ShareNumber, point: Point, durable: bool) -> Request {
    Request::Point(SharePoint {
        share,
        durable,
        point,
    })
}

/// A plain point.
pub fn point(counter: u64, position: Position, captured_at_ms: i64) -> Point {
    Point {
        counter: Counter(counter),
        captured_at_ms,
        payload: Payload::Fix(Fix {
            position,
            ..Fix::default()
        }),
    }
}

/// The frames of these requests, one after the other.
pub fn encoded(requests: &[Request]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for request in requests {
        encode_request(request, &mut bytes);
    }
    bytes
}

fn kinds(inbox: &VecDeque<Update>) -> Vec<String> {
    let text = |update: &Update| format!("{update:?}").chars().take(60).collect();
    inbox.iter().map(text).collect()
}

/// Reads one message if `inbox` is empty and hands out its first frame.
pub fn receive(
    socket: &mut WebSocket,
    inbox: &mut VecDeque<Update>,
    limit: Duration,
) -> Option<Received> {
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match socket.receive(left) {
            Ok(Some(Message::Binary(message))) => {
                split(message, inbox);
                if let Some(first) = inbox.pop_front() {
                    return Some(Received::Update(first));
                }
            }
            Ok(Some(Message::Close(code, text))) => {
                return Some(Received::Closed(Closed { code, text }));
            }
            Ok(Some(Message::Ping(payload))) => {
                // A socket that is gone shows at the next read.
                let _ = socket.send_frame(0x8a, true, &payload);
            }
            Ok(Some(Message::Pong(_))) => {}
            Ok(None) => return None,
            Err(e) => {
                return Some(Received::Closed(Closed {
                    code: 0,
                    text: e.to_string(),
                }));
            }
        }
    }
}

fn split(message: Vec<u8>, inbox: &mut VecDeque<Update>) {
    let mut rest = Bytes::from(message);
    while let Some(frame) =
        split_first_shared(&mut rest, SERVER_FRAME_BYTES_MAX).expect("whole frames")
    {
        inbox.extend(decode_update(frame).expect("a frame of the protocol"));
    }
}
