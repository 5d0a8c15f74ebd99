//! Bodies of the frames from a client: bytes of each [`Request`].
//!
//! Reading judges shape only. A point with a counter of 0, a time or a place out of range still
//! reads, because it deserves a verdict of its own and must not take the connection with it:
//! [`Point::check`] judges it.

use bytes::{BufMut, Bytes};

use crate::bytes_in;
use crate::bytes_out;
use crate::error::{Code, WireError, malformed};
use crate::ids::{
    Cell, ChatHandle, ChatName, Counter, Cursor, RequestNumber, SessionId, ShareNumber, UserName,
};
use crate::kind::Kind;
use crate::limits::{
    CHAT_NAME_BYTES_MAX, CLIENT_NAME_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX, POINTS_PER_UPLOAD_MAX,
    TOKEN_BYTES_MAX, TRAIL_POINTS_MAX, USER_NAME_BYTES_MAX, VERSION,
};
use crate::map_view::MapView;
use crate::map_view_codec;
use crate::payload;
use crate::point::{Payload, Point};
use crate::request::{
    CursorReport, Delivery, Heartbeat, Hello, MembersAsk, MembersSeen, Request, ShareExtend,
    SharePoint, SharePoints, ShareResume, ShareStart, ShareStop, Token, Unwatch, Watch,
};
use crate::varint;

/// `Points`: the points lie behind the newest one.
const HISTORICAL: u8 = 1 << 0;
/// `Point`, `Points`: acknowledge when durable.
const DURABLE: u8 = 1 << 1;
/// `Watch`: a session follows.
const ONE_SESSION: u8 = 1 << 0;
/// `Watch`: a cursor follows.
const WITH_CURSOR: u8 = 1 << 1;
/// `Watch`: delivery `every`.
const EVERY: u8 = 1 << 2;

/// The kind byte of a request.
pub(crate) fn kind(request: &Request) -> Kind {
    match request {
        Request::Hello(_) => Kind::Hello,
        Request::Auth(_) => Kind::Auth,
        Request::ShareStart(_) => Kind::ShareStart,
        Request::ShareResume(_) => Kind::ShareResume,
        Request::ShareExtend(_) => Kind::ShareExtend,
        Request::ShareStop(_) => Kind::ShareStop,
        Request::Point(_) => Kind::Point,
        Request::Points(_) => Kind::Points,
        Request::Heartbeat(_) => Kind::Heartbeat,
        Request::Watch(_) => Kind::Watch,
        Request::Unwatch(_) => Kind::Unwatch,
        Request::Cursor(_) => Kind::Cursor,
        Request::Ping(_) => Kind::Ping,
        Request::MembersAsk(_) => Kind::MembersAsk,
        Request::MembersSeen(_) => Kind::MembersSeen,
    }
}

/// Appends the body.
pub(crate) fn put(out: &mut Vec<u8>, request: &Request) {
    match request {
        Request::Hello(hello) => put_hello(out, hello),
        Request::Auth(token) => bytes_out::text(out, &token.0),
        Request::ShareStart(start) => put_share_start(out, start),
        Request::ShareResume(resume) => put_share_resume(out, resume),
        Request::ShareExtend(extend) => {
            put_numbers(out, [extend.request.0, extend.share.0, extend.duration_s]);
        }
        Request::ShareStop(stop) => put_numbers(out, [stop.request.0, stop.share.0]),
        Request::Point(point) => put_share_point(out, point),
        Request::Points(points) => put_share_points(out, points),
        Request::Heartbeat(heartbeat) => {
            put_numbers(out, [heartbeat.share.0]);
            varint::put(out, heartbeat.counter.0);
        }
        Request::Watch(watch) => put_watch(out, watch),
        Request::Unwatch(unwatch) => put_numbers(out, [unwatch.request.0, unwatch.chat.0]),
        Request::Cursor(report) => put_cursor_report(out, report),
        Request::Ping(number) => out.put_u64_le(*number),
        Request::MembersAsk(ask) => put_members_ask(out, ask),
        Request::MembersSeen(seen) => {
            put_numbers(out, [seen.chat.0]);
            varint::put(out, seen.offset);
        }
    }
}

/// Reads the body of a client's `kind`.
///
/// # Errors
/// `malformed`, or the code of the field that is wrong; `out_of_order` for a server's kind.
pub(crate) fn read(kind: Kind, input: &mut &[u8]) -> Result<Request, WireError> {
    Ok(match kind {
        Kind::Hello => Request::Hello(read_hello(input)?),
        Kind::Auth => Request::Auth(read_token(input)?),
        Kind::ShareStart => Request::ShareStart(read_share_start(input)?),
        Kind::ShareResume => Request::ShareResume(read_share_resume(input)?),
        Kind::ShareExtend => Request::ShareExtend(read_share_extend(input)?),
        Kind::ShareStop => Request::ShareStop(read_share_stop(input)?),
        Kind::Point => Request::Point(read_share_point(input)?),
        Kind::Points => Request::Points(read_share_points(input)?),
        Kind::Heartbeat => Request::Heartbeat(read_heartbeat(input)?),
        Kind::Watch => Request::Watch(read_watch(input)?),
        Kind::Unwatch => Request::Unwatch(read_unwatch(input)?),
        Kind::Cursor => Request::Cursor(read_cursor_report(input)?),
        Kind::Ping => Request::Ping(bytes_in::u64_le(input)?),
        Kind::MembersAsk => Request::MembersAsk(read_members_ask(input)?),
        Kind::MembersSeen => Request::MembersSeen(MembersSeen {
            chat: bytes_in::varint_u32(input).map(ChatHandle)?,
            offset: varint::get(input)?,
        }),
        _ => {
            return Err(WireError::new(
                Code::OutOfOrder,
                "a frame of the server came from a client",
            ));
        }
    })
}

fn put_numbers<const N: usize>(out: &mut Vec<u8>, numbers: [u32; N]) {
    for number in numbers {
        varint::put(out, u64::from(number));
    }
}

fn put_members_ask(out: &mut Vec<u8>, ask: &MembersAsk) {
    put_numbers(out, [ask.request.0, ask.chat.0]);
    bytes_out::text(out, ask.after.as_ref().map_or("", UserName::as_str));
}

fn read_members_ask(input: &mut &[u8]) -> Result<MembersAsk, WireError> {
    let request = bytes_in::varint_u32(input).map(RequestNumber)?;
    let chat = bytes_in::varint_u32(input).map(ChatHandle)?;
    let after = match bytes_in::text(input, USER_NAME_BYTES_MAX, Code::BadName)? {
        "" => None,
        name => Some(UserName::new(name)?),
    };
    Ok(MembersAsk {
        request,
        chat,
        after,
    })
}

fn put_hello(out: &mut Vec<u8>, hello: &Hello) {
    varint::put(out, u64::from(hello.version));
    bytes_out::text(out, &hello.token.0);
    bytes_out::text(out, &hello.client);
}

fn read_hello(input: &mut &[u8]) -> Result<Hello, WireError> {
    // What follows the version belongs to that version: do not even look at it.
    if varint::get(input)? != u64::from(VERSION) {
        return Err(WireError::of(Code::Version));
    }
    Ok(Hello {
        version: VERSION,
        token: read_token(input)?,
        client: bytes_in::text(input, CLIENT_NAME_BYTES_MAX, Code::BadRequest)?.to_owned(),
    })
}

fn read_token(input: &mut &[u8]) -> Result<Token, WireError> {
    Ok(Token(
        bytes_in::text(input, TOKEN_BYTES_MAX, Code::BadToken)?.to_owned(),
    ))
}

fn read_request_number(input: &mut &[u8]) -> Result<RequestNumber, WireError> {
    bytes_in::varint_u32(input).map(RequestNumber)
}

fn read_share(input: &mut &[u8]) -> Result<ShareNumber, WireError> {
    bytes_in::varint_u32(input).map(ShareNumber)
}

fn read_chat_name(input: &mut &[u8]) -> Result<ChatName, WireError> {
    ChatName::new(bytes_in::text(input, CHAT_NAME_BYTES_MAX, Code::BadName)?)
}

fn put_share_start(out: &mut Vec<u8>, start: &ShareStart) {
    varint::put(out, u64::from(start.request.0));
    bytes_out::text(out, start.chat.as_str());
    varint::put(out, u64::from(start.duration_s));
    bytes_out::text(out, &start.idempotency_key);
    out.put_u8(u8::from(start.sealed));
}

fn read_share_start(input: &mut &[u8]) -> Result<ShareStart, WireError> {
    Ok(ShareStart {
        request: read_request_number(input)?,
        chat: read_chat_name(input)?,
        duration_s: bytes_in::varint_u32(input)?,
        idempotency_key: bytes_in::text(input, IDEMPOTENCY_KEY_BYTES_MAX, Code::BadRequest)?
            .to_owned(),
        sealed: bytes_in::bool(input)?,
    })
}

fn put_share_resume(out: &mut Vec<u8>, resume: &ShareResume) {
    varint::put(out, u64::from(resume.request.0));
    bytes_out::text(out, resume.chat.as_str());
    out.put_u64_le(resume.session.0);
}

fn read_share_resume(input: &mut &[u8]) -> Result<ShareResume, WireError> {
    Ok(ShareResume {
        request: read_request_number(input)?,
        chat: read_chat_name(input)?,
        session: SessionId(bytes_in::u64_le(input)?),
    })
}

fn read_share_extend(input: &mut &[u8]) -> Result<ShareExtend, WireError> {
    Ok(ShareExtend {
        request: read_request_number(input)?,
        share: read_share(input)?,
        duration_s: bytes_in::varint_u32(input)?,
    })
}

fn read_share_stop(input: &mut &[u8]) -> Result<ShareStop, WireError> {
    Ok(ShareStop {
        request: read_request_number(input)?,
        share: read_share(input)?,
    })
}

fn put_point(out: &mut Vec<u8>, point: &Point) {
    out.put_u8(payload::form(&point.payload));
    varint::put(out, point.counter.0);
    out.put_i64_le(point.captured_at_ms);
    match &point.payload {
        Payload::Sealed(blob) => payload::put_sealed(out, blob),
        Payload::Fix(fix) => {
            payload::put_position_wide(out, fix.position);
            payload::put_motion(out, fix);
        }
    }
}

fn read_point(input: &mut &[u8]) -> Result<Point, WireError> {
    let form = bytes_in::u8(input)?;
    payload::check_form(form, payload::MOTION | payload::SEALED)?;
    Ok(Point {
        counter: Counter(varint::get(input)?),
        captured_at_ms: bytes_in::i64_le(input)?,
        payload: read_payload(input, form)?,
    })
}

fn read_payload(input: &mut &[u8], form: u8) -> Result<Payload, WireError> {
    if form & payload::SEALED != 0 {
        let blob = payload::read_sealed(input)?;
        return Ok(Payload::Sealed(Bytes::copy_from_slice(blob)));
    }
    let position = payload::read_position_wide(input)?;
    payload::read_motion(input, form, position).map(Payload::Fix)
}

fn put_share_point(out: &mut Vec<u8>, point: &SharePoint) {
    varint::put(out, u64::from(point.share.0));
    out.put_u8(if point.durable { DURABLE } else { 0 });
    put_point(out, &point.point);
}

fn read_share_point(input: &mut &[u8]) -> Result<SharePoint, WireError> {
    Ok(SharePoint {
        share: read_share(input)?,
        durable: read_options(input, DURABLE)? & DURABLE != 0,
        point: read_point(input)?,
    })
}

fn put_share_points(out: &mut Vec<u8>, points: &SharePoints) {
    let historical = if points.historical { HISTORICAL } else { 0 };
    let durable = if points.durable { DURABLE } else { 0 };
    varint::put(out, u64::from(points.share.0));
    out.put_u8(historical | durable);
    varint::put(out, points.points.len() as u64);
    points.points.iter().for_each(|point| put_point(out, point));
}

fn read_share_points(input: &mut &[u8]) -> Result<SharePoints, WireError> {
    let share = read_share(input)?;
    let options = read_options(input, HISTORICAL | DURABLE)?;
    let count = read_count(input, POINTS_PER_UPLOAD_MAX)?;
    let mut points = Vec::with_capacity(count);
    for _ in 0..count {
        points.push(read_point(input)?);
    }
    Ok(SharePoints {
        share,
        historical: options & HISTORICAL != 0,
        durable: options & DURABLE != 0,
        points,
    })
}

/// A byte of options of which only `known` ones may be set.
fn read_options(input: &mut &[u8], known: u8) -> Result<u8, WireError> {
    let options = bytes_in::u8(input)?;
    if options & !known != 0 {
        return Err(malformed("an options byte has unknown bits"));
    }
    Ok(options)
}

/// A number of items, at most `count_max` and at most the bytes left, so that it is safe to
/// allocate for.
fn read_count(input: &mut &[u8], count_max: usize) -> Result<usize, WireError> {
    let count = varint::get(input)?;
    if count > count_max as u64 {
        return Err(WireError::new(
            Code::BadRequest,
            "a list is longer than its ceiling; send fewer items",
        ));
    }
    if count > input.len() as u64 {
        return Err(malformed("a list is cut off"));
    }
    Ok(count as usize)
}

fn read_heartbeat(input: &mut &[u8]) -> Result<Heartbeat, WireError> {
    Ok(Heartbeat {
        share: read_share(input)?,
        counter: Counter(varint::get(input)?),
    })
}

fn put_watch(out: &mut Vec<u8>, watch: &Watch) {
    varint::put(out, u64::from(watch.request.0));
    bytes_out::text(out, watch.chat.as_str());
    out.put_u8(watch_options(watch));
    if let Some(session) = watch.session {
        out.put_u64_le(session.0);
    }
    if let Some(cursor) = watch.cursor {
        put_cursor(out, cursor);
    }
    out.put_u8(u8::from(watch.view.is_some()));
    if let Some(view) = &watch.view {
        map_view_codec::put(out, view);
    }
    out.put_u8(watch.trail);
    varint::put(out, u64::from(watch.interval_ms));
}

fn watch_options(watch: &Watch) -> u8 {
    let session = if watch.session.is_some() {
        ONE_SESSION
    } else {
        0
    };
    let cursor = if watch.cursor.is_some() {
        WITH_CURSOR
    } else {
        0
    };
    let every = match watch.delivery {
        Delivery::Every => EVERY,
        Delivery::Latest => 0,
    };
    session | cursor | every
}

fn read_watch(input: &mut &[u8]) -> Result<Watch, WireError> {
    let request = read_request_number(input)?;
    let chat = read_chat_name(input)?;
    let options = read_options(input, ONE_SESSION | WITH_CURSOR | EVERY)?;
    let session = (options & ONE_SESSION != 0).then(|| bytes_in::u64_le(input));
    let session = session.transpose()?.map(SessionId);
    let cursor = (options & WITH_CURSOR != 0).then(|| read_cursor(input));
    let cursor = cursor.transpose()?;
    let delivery = match options & EVERY {
        0 => Delivery::Latest,
        _ => Delivery::Every,
    };
    Ok(Watch {
        request,
        chat,
        session,
        view: read_view(input)?,
        cursor,
        delivery,
        trail: read_trail(input)?,
        interval_ms: bytes_in::varint_u32(input)?,
    })
}

fn read_view(input: &mut &[u8]) -> Result<Option<MapView>, WireError> {
    match bytes_in::bool(input)? {
        true => map_view_codec::read(input).map(Some),
        false => Ok(None),
    }
}

fn read_trail(input: &mut &[u8]) -> Result<u8, WireError> {
    let trail = bytes_in::u8(input)?;
    if usize::from(trail) > TRAIL_POINTS_MAX {
        return Err(WireError::new(
            Code::BadRequest,
            "more trail points are wanted than are kept; ask for fewer",
        ));
    }
    Ok(trail)
}

fn put_cursor(out: &mut Vec<u8>, cursor: Cursor) {
    out.put_u64_le(cursor.log);
    varint::put(out, u64::from(cursor.epoch));
    varint::put(out, cursor.offset);
}

fn read_cursor(input: &mut &[u8]) -> Result<Cursor, WireError> {
    Ok(Cursor {
        log: bytes_in::u64_le(input)?,
        epoch: bytes_in::varint_u32(input)?,
        offset: varint::get(input)?,
    })
}

fn read_unwatch(input: &mut &[u8]) -> Result<Unwatch, WireError> {
    Ok(Unwatch {
        request: read_request_number(input)?,
        chat: ChatHandle(bytes_in::varint_u32(input)?),
    })
}

fn put_cursor_report(out: &mut Vec<u8>, report: &CursorReport) {
    varint::put(out, u64::from(report.chat.0));
    varint::put(out, report.cell.0);
    varint::put(out, u64::from(report.epoch));
    varint::put(out, report.offset);
}

fn read_cursor_report(input: &mut &[u8]) -> Result<CursorReport, WireError> {
    Ok(CursorReport {
        chat: ChatHandle(bytes_in::varint_u32(input)?),
        cell: Cell(varint::get(input)?),
        epoch: bytes_in::varint_u32(input)?,
        offset: varint::get(input)?,
    })
}
