//! Bodies of the frames from the server: bytes of each [`Update`].

use bytes::{BufMut, Bytes};

use crate::bytes_in;
use crate::bytes_out;
use crate::error::{Code, WireError, malformed};
use crate::ids::{
    Cell, ChatHandle, Counter, GeofenceName, RequestNumber, SessionId, ShareNumber, UserName,
};
use crate::kind::Kind;
use crate::limits::{
    GEOFENCE_NAME_BYTES_MAX, MEMBERS_PER_FRAME_MAX, REASON_BYTES_MAX, RELAYS_MAX,
    USER_NAME_BYTES_MAX, VERDICTS_MAX,
};
use crate::update::{
    Accepted, Coarse, Crossing, CrossingKind, Demand, Done, Goodbye, Head, Members, Pong, Refused,
    SessionState, ShareEnded, Shared, Update, Upstream, Verdict, WatchEnded, Watching, Welcome,
};
use crate::varint;
use crate::view_codec;

/// The kind byte of an update.
pub(crate) fn kind(update: &Update) -> Kind {
    match update {
        Update::Welcome(_) => Kind::Welcome,
        Update::Refused(_) => Kind::Refused,
        Update::Shared(_) => Kind::Shared,
        Update::Accepted(_) => Kind::Accepted,
        Update::Watching(_) => Kind::Watching,
        Update::Batch(_) => Kind::Batch,
        Update::Head(_) => Kind::Head,
        Update::Demand(_) => Kind::Demand,
        Update::Pong(_) => Kind::Pong,
        Update::Goodbye(_) => Kind::Goodbye,
        Update::Done(_) => Kind::Done,
        Update::WatchEnded(_) => Kind::WatchEnded,
        Update::ShareEnded(_) => Kind::ShareEnded,
        Update::Members(_) => Kind::Members,
        Update::Upstream(_) => Kind::Upstream,
        Update::Crossing(_) => Kind::Crossing,
        Update::Viewing(_) => Kind::Viewing,
        Update::Clusters(_) => Kind::Clusters,
        Update::Coarse(_) => Kind::Coarse,
    }
}

/// Appends the body.
pub(crate) fn put(out: &mut Vec<u8>, update: &Update) {
    match update {
        Update::Welcome(welcome) => put_welcome(out, welcome),
        Update::Refused(refused) => put_refused(out, refused),
        Update::Shared(shared) => put_shared(out, shared),
        Update::Accepted(accepted) => put_accepted(out, accepted),
        Update::Watching(watching) => put_watching(out, watching),
        Update::Batch(body) => out.put_slice(body),
        Update::Head(head) => put_head(out, head),
        Update::Demand(demand) => {
            varint::put(out, u64::from(demand.share.0));
            varint::put(out, u64::from(demand.interval_ms));
        }
        Update::Pong(pong) => {
            out.put_u64_le(pong.number);
            varint::put(out, pong.server_time_ms);
        }
        Update::Goodbye(goodbye) => put_goodbye(out, goodbye),
        Update::Done(done) => {
            varint::put(out, u64::from(done.request.0));
            out.put_u8(u8::from(done.durable));
        }
        Update::WatchEnded(ended) => {
            varint::put(out, u64::from(ended.chat.0));
            put_code(out, ended.code);
        }
        Update::ShareEnded(ended) => {
            varint::put(out, u64::from(ended.share.0));
            out.put_u8(ended.state as u8);
        }
        Update::Members(members) => put_members(out, members),
        Update::Upstream(upstream) => put_upstream(out, upstream),
        Update::Crossing(crossing) => put_crossing(out, crossing),
        Update::Viewing(viewing) => view_codec::put_viewing(out, viewing),
        Update::Clusters(clusters) => view_codec::put_clusters(out, clusters),
        Update::Coarse(coarse) => {
            varint::put(out, u64::from(coarse.request.0));
            varint::put(out, u64::from(coarse.grid_m));
        }
    }
}

/// Reads the body of a server's `kind`; a batch keeps its bytes.
///
/// # Errors
/// `malformed`; `out_of_order` for a client's kind.
pub(crate) fn read(kind: Kind, body: &Bytes, input: &mut &[u8]) -> Result<Update, WireError> {
    Ok(match kind {
        Kind::Welcome => Update::Welcome(read_welcome(input)?),
        Kind::Refused => Update::Refused(read_refused(input)?),
        Kind::Shared => Update::Shared(read_shared(input)?),
        Kind::Accepted => Update::Accepted(read_accepted(input)?),
        Kind::Watching => Update::Watching(read_watching(input)?),
        Kind::Batch => {
            *input = &[];
            Update::Batch(body.clone())
        }
        Kind::Head => Update::Head(read_head(input)?),
        Kind::Demand => Update::Demand(Demand {
            share: read_share(input)?,
            interval_ms: bytes_in::varint_u32(input)?,
        }),
        Kind::Pong => Update::Pong(Pong {
            number: bytes_in::u64_le(input)?,
            server_time_ms: varint::get(input)?,
        }),
        Kind::Goodbye => Update::Goodbye(read_goodbye(input)?),
        Kind::Done => Update::Done(Done {
            request: read_request_number(input)?,
            durable: bytes_in::bool(input)?,
        }),
        Kind::WatchEnded => Update::WatchEnded(WatchEnded {
            chat: read_chat(input)?,
            code: read_code(input)?,
        }),
        Kind::ShareEnded => Update::ShareEnded(ShareEnded {
            share: read_share(input)?,
            state: read_ended_state(input)?,
        }),
        Kind::Members => Update::Members(read_members(input)?),
        Kind::Upstream => Update::Upstream(read_upstream(input)?),
        Kind::Crossing => Update::Crossing(read_crossing(input)?),
        Kind::Viewing => Update::Viewing(view_codec::read_viewing(input)?),
        Kind::Clusters => Update::Clusters(view_codec::read_clusters(input)?),
        Kind::Coarse => Update::Coarse(Coarse {
            request: read_request_number(input)?,
            grid_m: bytes_in::varint_u32(input)?,
        }),
        _ => {
            return Err(WireError::new(
                Code::OutOfOrder,
                "a frame of a client came from the server",
            ));
        }
    })
}

fn read_request_number(input: &mut &[u8]) -> Result<RequestNumber, WireError> {
    bytes_in::varint_u32(input).map(RequestNumber)
}

fn read_share(input: &mut &[u8]) -> Result<ShareNumber, WireError> {
    bytes_in::varint_u32(input).map(ShareNumber)
}

fn read_chat(input: &mut &[u8]) -> Result<ChatHandle, WireError> {
    bytes_in::varint_u32(input).map(ChatHandle)
}

fn put_code(out: &mut Vec<u8>, code: Code) {
    varint::put(out, u64::from(code as u16));
}

/// A code. One that this version does not know means `internal`, so that a newer server can add
/// codes; the text beside it still says what to do.
fn read_code(input: &mut &[u8]) -> Result<Code, WireError> {
    let number =
        u16::try_from(varint::get(input)?).map_err(|_| malformed("a code is above 16 bits"))?;
    Ok(Code::from_u16(number).unwrap_or(Code::Internal))
}

fn read_ended_state(input: &mut &[u8]) -> Result<SessionState, WireError> {
    SessionState::from_u8(bytes_in::u8(input)?)
        .filter(|state| state.is_ended())
        .ok_or(malformed("a session ended in a state that is not an end"))
}

fn read_reason(input: &mut &[u8]) -> Result<String, WireError> {
    bytes_in::text(input, REASON_BYTES_MAX, Code::Malformed).map(str::to_owned)
}

fn put_welcome(out: &mut Vec<u8>, welcome: &Welcome) {
    varint::put(out, u64::from(welcome.version));
    out.put_u64_le(welcome.log);
    varint::put(out, welcome.server_time_ms);
    varint::put(out, u64::from(welcome.frame_bytes_max));
    varint::put(out, u64::from(welcome.duration_s_max));
    varint::put(out, u64::from(welcome.keep_alive_ms));
    varint::put(out, u64::from(welcome.stale_after_ms));
    out.put_u8(u8::from(welcome.views_recorded));
}

fn read_welcome(input: &mut &[u8]) -> Result<Welcome, WireError> {
    let version =
        u16::try_from(varint::get(input)?).map_err(|_| malformed("a version is above 16 bits"))?;
    Ok(Welcome {
        version,
        log: bytes_in::u64_le(input)?,
        server_time_ms: varint::get(input)?,
        frame_bytes_max: bytes_in::varint_u32(input)?,
        duration_s_max: bytes_in::varint_u32(input)?,
        keep_alive_ms: bytes_in::varint_u32(input)?,
        stale_after_ms: bytes_in::varint_u32(input)?,
        views_recorded: bytes_in::bool(input)?,
    })
}

fn put_refused(out: &mut Vec<u8>, refused: &Refused) {
    varint::put(out, u64::from(refused.request.0));
    put_code(out, refused.code);
    bytes_out::text_cut(out, &refused.text, REASON_BYTES_MAX);
}

fn read_refused(input: &mut &[u8]) -> Result<Refused, WireError> {
    Ok(Refused {
        request: read_request_number(input)?,
        code: read_code(input)?,
        text: read_reason(input)?,
    })
}

fn put_shared(out: &mut Vec<u8>, shared: &Shared) {
    varint::put(out, u64::from(shared.request.0));
    out.put_u64_le(shared.session.0);
    varint::put(out, u64::from(shared.share.0));
    varint::put(out, shared.counter_last.0);
    varint::put(out, shared.expires_at_ms);
}

fn read_shared(input: &mut &[u8]) -> Result<Shared, WireError> {
    Ok(Shared {
        request: read_request_number(input)?,
        session: SessionId(bytes_in::u64_le(input)?),
        share: read_share(input)?,
        counter_last: Counter(varint::get(input)?),
        expires_at_ms: varint::get(input)?,
    })
}

fn put_accepted(out: &mut Vec<u8>, accepted: &Accepted) {
    let verdicts = accepted.verdicts.len();
    assert!(verdicts <= VERDICTS_MAX, "{verdicts} verdicts in one frame");
    varint::put(out, u64::from(accepted.share.0));
    varint::put(out, accepted.counter.0);
    varint::put(out, accepted.durable.0);
    varint::put(out, accepted.verdicts.len() as u64);
    for verdict in &accepted.verdicts {
        varint::put(out, verdict.counter.0);
        put_code(out, verdict.code);
    }
}

fn read_accepted(input: &mut &[u8]) -> Result<Accepted, WireError> {
    Ok(Accepted {
        share: read_share(input)?,
        counter: Counter(varint::get(input)?),
        durable: Counter(varint::get(input)?),
        verdicts: read_verdicts(input)?,
    })
}

fn read_verdicts(input: &mut &[u8]) -> Result<Vec<Verdict>, WireError> {
    let count = varint::get(input)?;
    if count > VERDICTS_MAX as u64 || count > input.len() as u64 {
        return Err(malformed("a list of verdicts is cut off or too long"));
    }
    let mut verdicts = Vec::with_capacity(count as usize);
    for _ in 0..count {
        verdicts.push(Verdict {
            counter: Counter(varint::get(input)?),
            code: read_code(input)?,
        });
    }
    Ok(verdicts)
}

fn put_watching(out: &mut Vec<u8>, watching: &Watching) {
    varint::put(out, u64::from(watching.request.0));
    varint::put(out, u64::from(watching.chat.0));
    varint::put(out, u64::from(watching.epoch));
    varint::put(out, watching.horizon);
    varint::put(out, watching.from);
}

fn read_watching(input: &mut &[u8]) -> Result<Watching, WireError> {
    Ok(Watching {
        request: read_request_number(input)?,
        chat: read_chat(input)?,
        epoch: bytes_in::varint_u32(input)?,
        horizon: varint::get(input)?,
        from: varint::get(input)?,
    })
}

fn put_head(out: &mut Vec<u8>, head: &Head) {
    varint::put(out, u64::from(head.chat.0));
    varint::put(out, head.cell.0);
    varint::put(out, u64::from(head.epoch));
    varint::put(out, head.to);
}

fn read_head(input: &mut &[u8]) -> Result<Head, WireError> {
    Ok(Head {
        chat: read_chat(input)?,
        cell: Cell(varint::get(input)?),
        epoch: bytes_in::varint_u32(input)?,
        to: varint::get(input)?,
    })
}

fn put_goodbye(out: &mut Vec<u8>, goodbye: &Goodbye) {
    put_code(out, goodbye.code);
    varint::put(out, u64::from(goodbye.retry_after_ms));
    bytes_out::text_cut(out, &goodbye.text, REASON_BYTES_MAX);
}

fn read_goodbye(input: &mut &[u8]) -> Result<Goodbye, WireError> {
    Ok(Goodbye {
        code: read_code(input)?,
        retry_after_ms: bytes_in::varint_u32(input)?,
        text: read_reason(input)?,
    })
}

fn put_members(out: &mut Vec<u8>, members: &Members) {
    let count = members.members.len();
    assert!(count <= MEMBERS_PER_FRAME_MAX, "{count} members in a frame");
    varint::put(out, u64::from(members.request.0));
    varint::put(out, u64::from(members.chat.0));
    varint::put(out, members.offset);
    out.put_u8(u8::from(members.more));
    varint::put(out, count as u64);
    for (user, rights) in &members.members {
        bytes_out::text(out, user.as_str());
        out.put_u8(*rights);
    }
}

fn read_members(input: &mut &[u8]) -> Result<Members, WireError> {
    let request = read_request_number(input)?;
    let chat = read_chat(input)?;
    let offset = varint::get(input)?;
    let more = bytes_in::bool(input)?;
    let count = varint::get(input)?;
    if count > MEMBERS_PER_FRAME_MAX as u64 || count > input.len() as u64 {
        return Err(malformed("a list of members is cut off or too long"));
    }
    let mut members = Vec::with_capacity(count as usize);
    for _ in 0..count {
        members.push((read_user(input)?, bytes_in::u8(input)?));
    }
    Ok(Members {
        request,
        chat,
        offset,
        more,
        members,
    })
}

fn put_upstream(out: &mut Vec<u8>, upstream: &Upstream) {
    let count = upstream.relays.len();
    assert!(count <= RELAYS_MAX, "{count} relays in a row");
    varint::put(out, upstream.lost_since_ms);
    varint::put(out, count as u64);
    for relay in &upstream.relays {
        out.put_u64_le(*relay);
    }
}

fn read_upstream(input: &mut &[u8]) -> Result<Upstream, WireError> {
    let lost_since_ms = varint::get(input)?;
    let count = varint::get(input)?;
    if count > RELAYS_MAX as u64 {
        return Err(malformed("more relays in a row than allowed"));
    }
    let relays = (0..count)
        .map(|_| bytes_in::u64_le(input))
        .collect::<Result<_, _>>()?;
    Ok(Upstream {
        lost_since_ms,
        relays,
    })
}

/// Options of a crossing: an alert of the viewer; two sessions.
const CROSSING_ALERT: u8 = 1;
const CROSSING_OTHER: u8 = 2;

fn put_crossing(out: &mut Vec<u8>, crossing: &Crossing) {
    varint::put(out, u64::from(crossing.chat.0));
    varint::put(out, crossing.offset);
    out.put_u8(crossing.kind as u8);
    let alert = if crossing.is_alert { CROSSING_ALERT } else { 0 };
    let other = crossing.other.as_ref().map_or(0, |_| CROSSING_OTHER);
    out.put_u8(alert | other);
    varint::put(out, crossing.at_ms);
    bytes_out::text(out, crossing.name.as_str());
    for (session, user) in std::iter::once(&crossing.subject).chain(&crossing.other) {
        out.put_u64_le(session.0);
        bytes_out::text(out, user.as_str());
    }
}

fn read_crossing(input: &mut &[u8]) -> Result<Crossing, WireError> {
    let chat = read_chat(input)?;
    let offset = varint::get(input)?;
    let kind =
        CrossingKind::from_u8(bytes_in::u8(input)?).ok_or(malformed("a crossing is not known"))?;
    let options = bytes_in::u8(input)?;
    if options & !(CROSSING_ALERT | CROSSING_OTHER) != 0 {
        return Err(malformed("an options byte has unknown bits"));
    }
    let at_ms = varint::get(input)?;
    let name = bytes_in::text(input, GEOFENCE_NAME_BYTES_MAX, Code::Malformed)?;
    let name =
        GeofenceName::new(name).map_err(|_| malformed("a geofence's name is not well-formed"))?;
    let subject = read_subject(input)?;
    let has_other = options & CROSSING_OTHER != 0;
    Ok(Crossing {
        chat,
        offset,
        kind,
        is_alert: options & CROSSING_ALERT != 0,
        at_ms,
        name,
        subject,
        other: has_other.then(|| read_subject(input)).transpose()?,
    })
}

fn read_subject(input: &mut &[u8]) -> Result<(SessionId, UserName), WireError> {
    let session = SessionId(bytes_in::u64_le(input)?);
    Ok((session, read_user(input)?))
}

fn read_user(input: &mut &[u8]) -> Result<UserName, WireError> {
    let user = bytes_in::text(input, USER_NAME_BYTES_MAX, Code::Malformed)?;
    UserName::new(user).map_err(|_| malformed("a user name is not well-formed"))
}
