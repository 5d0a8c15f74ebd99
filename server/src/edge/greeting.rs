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
use crate::edge::event::Event;

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
}

/// Whether taking `request` costs a verified signature.
pub fn is_costly(request: &Request) -> bool {
    matches!(request, Request::Hello(_) | Request::Auth(_))
}

/// Takes one request. `greeted` tells whether this connection's `Hello` was taken before.
///
/// A refused `Auth` leaves the connection as it was: the old token is good until it expires.
///
/// # Errors
/// `out_of_order` for a frame before `Hello` and for a second `Hello`, `version`, `bad_token`,
/// `token_expired`: the connection is to be closed.
pub fn take(
    access: &Access,
    now_ms: u64,
    greeted: &mut bool,
    connection: ConnectionId,
    request: Request,
) -> Result<Greeted, WireError> {
    match request {
        Request::Hello(hello) if !*greeted => {
            let event = welcome(access, now_ms, connection, &hello)?;
            *greeted = true;
            Ok(Greeted::event(event))
        }
        Request::Hello(_) => Err(WireError::of(Code::OutOfOrder)),
        _ if !*greeted => Err(WireError::of(Code::OutOfOrder)),
        Request::Auth(token) => Ok(renew(access, now_ms, connection, &token)),
        request => Ok(Greeted::event(Event::Frame {
            connection,
            request,
        })),
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
    let (event, update) = match access.verify(&token.0, now_ms) {
        Ok(identity) => (
            Some(Event::Renewed {
                connection,
                identity,
            }),
            Update::Done(Done {
                request,
                durable: true,
            }),
        ),
        Err(error) => (
            None,
            Update::Refused(Refused {
                request,
                code: error.code,
                text: error.text.into_owned(),
            }),
        ),
    };
    let mut frame = Vec::new();
    encode_update(&update, &mut frame);
    Greeted {
        event,
        answer: Some(frame.into()),
    }
}
