//! Who may speak: `Hello` first and once, `Auth` after it, everything else is for the engine.

use bytes::Bytes;
use skein_engine::ids::ConnectionId;
use skein_wire::error::{Code, WireError};
use skein_wire::frame::encode_update;
use skein_wire::ids::RequestNumber;
use skein_wire::limits::VERSION;
use skein_wire::request::{Hello, Request, Token};
use skein_wire::update::{Done, Goodbye, Refused, Update};

use crate::access::Access;
use crate::access::rate_table::RateKey;
use crate::edge::event::Event;
use crate::edge::speaker::Speaker;

/// What a request of a connection leads to.
#[derive(Debug)]
pub struct Greeted {
    /// For the shard.
    pub event: Option<Event>,
    /// For the client, from the edge itself.
    pub answer: Option<Bytes>,
}

impl Greeted {
    fn event(event: Event) -> Self {
        Self {
            event: Some(event),
            answer: None,
        }
    }

    fn refused(request: RequestNumber, error: WireError) -> Self {
        let update = Update::Refused(Refused {
            request,
            code: error.code,
            text: error.text.into_owned(),
        });
        let mut frame = Vec::new();
        encode_update(&update, &mut frame);
        Self {
            event: None,
            answer: Some(frame.into()),
        }
    }
}

/// Whether taking `request` costs a verified signature.
pub fn is_costly(request: &Request) -> bool {
    matches!(request, Request::Hello(_) | Request::Auth(_))
}

/// Takes one request. `speaker` is who has said `Hello` on this connection before, as those are known
/// whose requests are counted.
///
/// A refused `Auth` leaves the connection as it was: the old token is good until it expires.
///
/// # Errors
/// `out_of_order` for a frame before `Hello` and for a second `Hello`, `version`, `bad_token`,
/// `token_expired`: the connection is to be closed.
pub fn take(
    access: &Access,
    now_ms: u64,
    speaker: &mut Option<Speaker>,
    connection: ConnectionId,
    request: Request,
) -> Result<Greeted, WireError> {
    let taken = match (request, speaker.as_mut()) {
        (Request::Hello(hello), None) => {
            Greeted::event(welcome(access, now_ms, connection, &hello)?)
        }
        (Request::Hello(_), _) | (_, None) => {
            return Err(WireError::of(Code::OutOfOrder));
        }
        (Request::Auth(token), Some(known)) => match known.may_renew(now_ms) {
            true => renew(access, now_ms, connection, &token),
            false => Greeted::refused(
                RequestNumber(0),
                WireError::new(Code::RateLimited, "too many tokens; keep the one you have"),
            ),
        },
        (request, Some(known)) => {
            return Ok(hand_on(access, now_ms, connection, request, known.user()));
        }
    };
    if let Some(Event::Connected { identity, .. } | Event::Renewed { identity, .. }) = &taken.event
    {
        let user = access.rates().user(&identity.person);
        speaker.get_or_insert_with(|| Speaker::new(user));
    }
    Ok(taken)
}

/// A request is for the engine, unless its user asks too often.
fn hand_on(
    access: &Access,
    now_ms: u64,
    connection: ConnectionId,
    request: Request,
    user: RateKey,
) -> Greeted {
    let asked = number_of(&request);
    let taken = asked.map(|_| access.rates().take_user(user, now_ms));
    match (asked, taken) {
        (Some(number), Some(Err(too_often))) => Greeted::refused(number, too_often.into()),
        _ => Greeted::event(Event::Frame {
            connection,
            request,
        }),
    }
}

/// The number of a request that is counted: it makes work for the chat's owner and is answered.
fn number_of(request: &Request) -> Option<RequestNumber> {
    match request {
        Request::ShareStart(start) => Some(start.request),
        Request::ShareResume(resume) => Some(resume.request),
        Request::ShareExtend(extend) => Some(extend.request),
        Request::ShareStop(stop) => Some(stop.request),
        Request::Watch(watch) => Some(watch.request),
        _ => None,
    }
}

/// A whole `Goodbye` frame.
pub fn goodbye(code: Code, retry_after_ms: u32, text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    let goodbye = Goodbye {
        code,
        retry_after_ms,
        text: text.to_owned(),
    };
    encode_update(&Update::Goodbye(goodbye), &mut frame);
    frame
}

fn welcome(
    access: &Access,
    now_ms: u64,
    connection: ConnectionId,
    hello: &Hello,
) -> Result<Event, WireError> {
    if hello.version != VERSION {
        return Err(WireError::of(Code::Version));
    }
    let identity = access.verify(&hello.token.0, now_ms)?;
    Ok(Event::Connected {
        connection,
        identity,
    })
}

fn renew(access: &Access, now_ms: u64, connection: ConnectionId, token: &Token) -> Greeted {
    let request = RequestNumber(0);
    let identity = match access.verify(&token.0, now_ms) {
        Ok(identity) => identity,
        Err(error) => return Greeted::refused(request, error),
    };
    let mut frame = Vec::new();
    let durable = true;
    encode_update(&Update::Done(Done { request, durable }), &mut frame);
    Greeted {
        event: Some(Event::Renewed {
            connection,
            identity,
        }),
        answer: Some(frame.into()),
    }
}
