//! What a partition's records say: typed entries to bytes and back.
//!
//! Every change of a chat is one of these, and tables change only by following them. The layouts
//! are fixed and little-endian (`docs/RECORDS.md`), pinned by golden bytes, and decoding is total:
//! any bytes give an entry or a [`BadRecord`]. `key` is the chat's handle and `extension` the
//! session, so that a reader that follows few chats skips the rest with one look.

use bytes::Bytes;
use skein_wire::ids::{ChatHandle, Counter, GeofenceName, SessionId, Slot, UserName};
use skein_wire::limits::SEALED_BYTES_MAX;
use skein_wire::point::{Accuracy, Fix, Heading, Payload, Point, Position, Speed};
use skein_wire::update::{CrossingKind, SessionState};

use crate::record::{OwnedRecord, RawRecord, RecordPayload};

/// Numbers of the kinds. A number is never given a second meaning.
pub mod kind {
    /// [`super::Entry::Point`]
    pub const POINT: u8 = 1;
    /// [`super::Entry::HistoricalPoint`]
    pub const HISTORICAL_POINT: u8 = 2;
    /// [`super::Entry::Heartbeat`]
    pub const HEARTBEAT: u8 = 3;
    /// [`super::Entry::State`]
    pub const STATE: u8 = 4;
    /// [`super::Entry::Started`]
    pub const STARTED: u8 = 5;
    /// [`super::Entry::Extended`]
    pub const EXTENDED: u8 = 6;
    /// [`super::Entry::Ended`]
    pub const ENDED: u8 = 7;
    /// [`super::Entry::MemberPut`]
    pub const MEMBER_PUT: u8 = 8;
    /// [`super::Entry::MemberRemoved`]
    pub const MEMBER_REMOVED: u8 = 9;
    /// [`super::Entry::Crossed`]
    pub const CROSSED: u8 = 10;
    /// [`super::Entry::CheckpointBegin`]
    pub const CHECKPOINT_BEGIN: u8 = 16;
    /// [`super::Entry::CheckpointChat`]
    pub const CHECKPOINT_CHAT: u8 = 17;
    /// [`super::Entry::CheckpointRow`]
    pub const CHECKPOINT_ROW: u8 = 18;
    /// [`super::Entry::CheckpointMember`]
    pub const CHECKPOINT_MEMBER: u8 = 19;
    /// [`super::Entry::CheckpointEnd`]
    pub const CHECKPOINT_END: u8 = 20;
}

/// Flag of points, `STARTED` and checkpoint rows: points are sealed blobs.
pub const FLAG_SEALED: u8 = 0b0000_0001;
/// Flag of a checkpoint row: it has a newest point.
pub const FLAG_HAS_POINT: u8 = 0b0000_0010;

/// Bytes of a plain point's payload.
pub const POINT_BYTES: usize = 32;

/// Bytes of what the owner adds to a checkpoint row about admission (last counter, window, limits).
/// Its window bitmap has 128 bytes; the rest is room for a few numbers.
pub const ADMISSION_BYTES_MAX: usize = 1024;

/// Points in a checkpoint row's trail: the count is one byte.
pub const TRAIL_POINTS_PER_RECORD_MAX: usize = 255;

const _: () = assert!(SEALED_BYTES_MAX <= u8::MAX as usize - 16);
const _: () = assert!(POINT_BYTES <= crate::record::PAYLOAD_INLINE_BYTES_MAX);
// A checkpoint row with the longest name, trail and admission state fits a record (64 KiB).
const _: () = assert!(
    128 + 129
        + (TRAIL_POINTS_PER_RECORD_MAX + 1) * (9 + 16 + SEALED_BYTES_MAX)
        + 2
        + ADMISSION_BYTES_MAX
        < u16::MAX as usize
);

/// A session's beginning, and the slot that its owner gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its place in the chat's table, the same for every follower and after a restart.
    pub slot: Slot,
    /// Its member.
    pub user: UserName,
    /// Server time of its start, milliseconds since 1970.
    pub started_at_ms: u64,
    /// Server time of its end, milliseconds since 1970.
    pub expires_at_ms: u64,
    /// Points are sealed blobs.
    pub sealed: bool,
}

/// A point of a trail with the offset of its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailPoint {
    /// Offset of its record.
    pub offset: u64,
    /// The point.
    pub point: Point,
}

/// One row of a chat's table as a checkpoint writes it. An ended row is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowRecord {
    /// The row holds every record of its chat up to this offset.
    pub as_of: u64,
    /// Slot, member, times.
    pub started: Started,
    /// Offset of the last change of slot, member or times.
    pub descriptor_offset: u64,
    /// Offset of the newest point; 0 = none yet.
    pub point_offset: u64,
    /// Offset of the last change of state; 0 = live since its start.
    pub state_offset: u64,
    /// Greatest offset of a historical point; 0 = none.
    pub historical_offset: u64,
    /// State.
    pub state: SessionState,
    /// Server time of the state, milliseconds since 1970.
    pub state_at_ms: u64,
    /// How many points the session has had.
    pub points_total: u64,
    /// Greatest offset of a point that the trail no longer holds; 0 = it holds all.
    pub lost_offset_max: u64,
    /// The newest point.
    pub newest: Option<Point>,
    /// Points before the newest one, by counter.
    pub trail: Vec<TrailPoint>,
    /// The owner's admission state, opaque to the table.
    pub admission: Vec<u8>,
}

/// What happened at a geofence, as viewers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// What happened.
    pub kind: CrossingKind,
    /// Server time, milliseconds since 1970.
    pub at_ms: u64,
    /// The geofence or the alert.
    pub name: GeofenceName,
    /// Its member.
    pub user: UserName,
    /// The other session, of two, and its member.
    pub other: Option<(SessionId, UserName)>,
    /// The member whose alert it is; `None` = told to all who see the session.
    pub owner: Option<UserName>,
}

/// One record of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A live point: moves the row if its counter is the greatest.
    Point {
        /// Whose.
        session: SessionId,
        /// The point.
        point: Point,
    },
    /// A point from a sender's backlog: trail and history only.
    HistoricalPoint {
        /// Whose.
        session: SessionId,
        /// The point.
        point: Point,
    },
    /// "Still here, not moving." Its time is that of the record.
    Heartbeat {
        /// Whose.
        session: SessionId,
    },
    /// The server's judgement of a silent (or again living) session.
    State {
        /// Whose.
        session: SessionId,
        /// Live, stationary or stale.
        state: SessionState,
        /// Server time, milliseconds since 1970.
        at_ms: u64,
    },
    /// A session begins.
    Started {
        /// Which.
        session: SessionId,
        /// Who, where, until when.
        started: Started,
    },
    /// A session has a new end.
    Extended {
        /// Which.
        session: SessionId,
        /// Server time, milliseconds since 1970.
        expires_at_ms: u64,
    },
    /// A session is over; no point of it counts after this.
    Ended {
        /// Which.
        session: SessionId,
        /// Stopped, expired or revoked.
        state: SessionState,
        /// Server time, milliseconds since 1970.
        at_ms: u64,
    },
    /// A member has these rights from here on.
    MemberPut {
        /// Who.
        user: UserName,
        /// Bit 0 share, bit 1 watch.
        rights: u8,
    },
    /// A member has no rights from here on.
    MemberRemoved {
        /// Who.
        user: UserName,
    },
    /// A session came into a geofence or left it, or two came near each other or parted.
    Crossed {
        /// Whose session.
        session: SessionId,
        /// What happened.
        crossed: Box<Crossed>,
    },
    /// Records of a checkpoint follow, mixed with live ones.
    CheckpointBegin {
        /// Ties the parts of one checkpoint together.
        number: u64,
    },
    /// A chat's part of the checkpoint begins.
    CheckpointChat {
        /// Offset below which tombstones are no longer complete.
        horizon: u64,
        /// What follows holds every record of the chat up to this offset.
        as_of: u64,
    },
    /// One row of a chat.
    CheckpointRow {
        /// Whose.
        session: SessionId,
        /// Its state.
        row: Box<RowRecord>,
    },
    /// One member of a chat.
    CheckpointMember {
        /// Who.
        user: UserName,
        /// Bit 0 share, bit 1 watch.
        rights: u8,
    },
    /// The checkpoint is whole.
    CheckpointEnd {
        /// The number of its begin.
        number: u64,
    },
}

/// A record that does not parse. A bug or a log of a later version; never a peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// A kind that this version does not know.
    #[error(
        "record kind {0} is not known to this version; run a version at least as new as the one that wrote the log"
    )]
    UnknownKind(u8),
    /// The payload is shorter or longer than its kind says, or holds a value out of range.
    #[error("record of kind {0} has a payload that its kind does not allow; verify the log")]
    BadPayload(u8),
}

impl Entry {
    /// The record of this entry in the chat `chat`.
    ///
    /// # Panics
    /// If a point does not pass `Point::check`, a trail has more than
    /// [`TRAIL_POINTS_PER_RECORD_MAX`] points or admission state is longer than
    /// [`ADMISSION_BYTES_MAX`]: such values are refused where they come in.
    pub fn encode(&self, chat: ChatHandle) -> OwnedRecord {
        let mut out = Out::new(chat);
        match self {
            Self::Point { session, point } => out.point(kind::POINT, *session, point),
            Self::HistoricalPoint { session, point } => {
                out.point(kind::HISTORICAL_POINT, *session, point);
            }
            Self::Heartbeat { session } => out.head(kind::HEARTBEAT, session.0),
            Self::State {
                session,
                state,
                at_ms,
            } => out.state(kind::STATE, *session, *state, *at_ms),
            Self::Started { session, started } => {
                out.head(kind::STARTED, session.0);
                out.started(started);
            }
            Self::Extended {
                session,
                expires_at_ms,
            } => {
                out.head(kind::EXTENDED, session.0);
                out.u64(*expires_at_ms);
            }
            Self::Ended {
                session,
                state,
                at_ms,
            } => out.state(kind::ENDED, *session, *state, *at_ms),
            Self::MemberPut { user, rights } => out.member(kind::MEMBER_PUT, user, Some(*rights)),
            Self::MemberRemoved { user } => out.member(kind::MEMBER_REMOVED, user, None),
            Self::Crossed { session, crossed } => {
                out.head(kind::CROSSED, session.0);
                out.crossed(crossed);
            }
            Self::CheckpointBegin { number } => out.head(kind::CHECKPOINT_BEGIN, *number),
            Self::CheckpointChat { horizon, as_of } => {
                out.head(kind::CHECKPOINT_CHAT, 0);
                out.u64(*horizon);
                out.u64(*as_of);
            }
            Self::CheckpointRow { session, row } => {
                out.head(kind::CHECKPOINT_ROW, session.0);
                out.row(row);
            }
            Self::CheckpointMember { user, rights } => {
                out.member(kind::CHECKPOINT_MEMBER, user, Some(*rights));
            }
            Self::CheckpointEnd { number } => out.head(kind::CHECKPOINT_END, *number),
        }
        out.record
    }

    /// The entry of a record.
    ///
    /// # Errors
    /// [`BadRecord`] when the kind is unknown or the payload is not one of that kind.
    pub fn decode(record: &RawRecord<'_>) -> Result<Self, BadRecord> {
        let mut fields = Fields {
            kind: record.kind,
            rest: record.payload,
        };
        let entry = fields.entry(record)?;
        fields.end()?;
        Ok(entry)
    }

    /// The session that the entry is about, if it is about one.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Point { session, .. }
            | Self::HistoricalPoint { session, .. }
            | Self::Heartbeat { session }
            | Self::State { session, .. }
            | Self::Started { session, .. }
            | Self::Extended { session, .. }
            | Self::Ended { session, .. }
            | Self::CheckpointRow { session, .. } => Some(*session),
            _ => None,
        }
    }
}

/// Presence bits of a fix.
const HAS_HEADING: u8 = 1;
const HAS_SPEED: u8 = 2;
const HAS_ACCURACY: u8 = 4;
const HAS_BATTERY: u8 = 8;

/// A record being written.
struct Out {
    record: OwnedRecord,
}

impl Out {
    fn new(chat: ChatHandle) -> Self {
        Self {
            record: OwnedRecord {
                kind: 0,
                flags: 0,
                key: chat.0,
                extension: 0,
                payload: RecordPayload::new(),
            },
        }
    }

    fn head(&mut self, kind: u8, extension: u64) {
        self.record.kind = kind;
        self.record.extension = extension;
    }

    fn u8(&mut self, value: u8) {
        self.record.payload.push(&[value]);
    }

    fn u32(&mut self, value: u32) {
        self.record.payload.push(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.record.payload.push(&value.to_le_bytes());
    }

    fn name(&mut self, user: &UserName) {
        self.text(Some(user.as_str()));
    }

    /// A name behind its length; none is a length of 0.
    fn text(&mut self, name: Option<&str>) {
        let text = name.unwrap_or_default().as_bytes();
        self.u8(u8::try_from(text.len()).expect("a name has at most 128 bytes"));
        self.record.payload.push(text);
    }

    fn point(&mut self, kind: u8, session: SessionId, point: &Point) {
        self.head(kind, session.0);
        if matches!(point.payload, Payload::Sealed(_)) {
            self.record.flags |= FLAG_SEALED;
        }
        self.point_fields(point);
    }

    fn point_fields(&mut self, point: &Point) {
        self.u64(point.counter.0);
        self.u64(point.captured_at_ms as u64);
        match &point.payload {
            Payload::Fix(fix) => self.fix(fix),
            Payload::Sealed(blob) => {
                assert!(
                    !blob.is_empty() && blob.len() <= SEALED_BYTES_MAX,
                    "a blob has 1 to {SEALED_BYTES_MAX} bytes, not {}",
                    blob.len()
                );
                self.record.payload.push(blob);
            }
        }
    }

    fn fix(&mut self, fix: &Fix) {
        let bit = |present: bool, bit: u8| if present { bit } else { 0 };
        self.u32(fix.position.lat_e6 as u32);
        self.u32(fix.position.lon_e6 as u32);
        self.record.payload.push(&[
            bit(fix.heading.is_some(), HAS_HEADING)
                | bit(fix.speed.is_some(), HAS_SPEED)
                | bit(fix.accuracy.is_some(), HAS_ACCURACY)
                | bit(fix.battery.is_some(), HAS_BATTERY),
            fix.heading.map_or(0, |heading| heading.0),
            fix.speed.map_or(0, |speed| speed.0),
            fix.accuracy.map_or(0, |accuracy| accuracy.0),
            fix.battery.unwrap_or(0),
            0,
            0,
            0,
        ]);
    }

    fn state(&mut self, kind: u8, session: SessionId, state: SessionState, at_ms: u64) {
        self.head(kind, session.0);
        self.u8(state as u8);
        self.u64(at_ms);
    }

    fn started(&mut self, started: &Started) {
        if started.sealed {
            self.record.flags |= FLAG_SEALED;
        }
        self.u32(started.slot.0);
        self.u64(started.started_at_ms);
        self.u64(started.expires_at_ms);
        self.name(&started.user);
    }

    fn crossed(&mut self, crossed: &Crossed) {
        self.u8(crossed.kind as u8);
        self.u64(crossed.at_ms);
        self.text(Some(crossed.name.as_str()));
        self.name(&crossed.user);
        self.u64(crossed.other.as_ref().map_or(0, |(session, _)| session.0));
        self.text(crossed.other.as_ref().map(|(_, user)| user.as_str()));
        self.text(crossed.owner.as_ref().map(UserName::as_str));
    }

    fn member(&mut self, kind: u8, user: &UserName, rights: Option<u8>) {
        self.head(kind, 0);
        if let Some(rights) = rights {
            self.u8(rights);
        }
        self.name(user);
    }

    fn row(&mut self, row: &RowRecord) {
        self.started(&row.started);
        for number in [
            row.as_of,
            row.descriptor_offset,
            row.point_offset,
            row.state_offset,
            row.historical_offset,
            row.points_total,
            row.lost_offset_max,
            row.state_at_ms,
        ] {
            self.u64(number);
        }
        self.u8(row.state as u8);
        if let Some(point) = &row.newest {
            self.record.flags |= FLAG_HAS_POINT;
            self.framed_point(point);
        }
        self.u8(u8::try_from(row.trail.len()).expect("a trail fits its count"));
        for TrailPoint { offset, point } in &row.trail {
            self.u64(*offset);
            self.framed_point(point);
        }
        assert!(
            row.admission.len() <= ADMISSION_BYTES_MAX,
            "admission state has at most {ADMISSION_BYTES_MAX} bytes, not {}",
            row.admission.len()
        );
        self.record
            .payload
            .push(&(row.admission.len() as u16).to_le_bytes());
        self.record.payload.push(&row.admission);
    }

    /// A point behind its length: a row holds several. A length of 0 says that a blob follows
    /// with a length of its own.
    fn framed_point(&mut self, point: &Point) {
        match &point.payload {
            Payload::Fix(_) => self.u8(POINT_BYTES as u8),
            Payload::Sealed(blob) => {
                self.u8(0);
                self.u8((16 + blob.len()) as u8);
            }
        }
        self.point_fields(point);
    }
}

/// A payload being read.
struct Fields<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn entry(&mut self, record: &RawRecord<'_>) -> Result<Entry, BadRecord> {
        let session = SessionId(record.extension);
        let number = record.extension;
        let sealed = record.flags & FLAG_SEALED != 0;
        Ok(match record.kind {
            kind::POINT => Entry::Point {
                session,
                point: self.last_point(sealed)?,
            },
            kind::HISTORICAL_POINT => Entry::HistoricalPoint {
                session,
                point: self.last_point(sealed)?,
            },
            kind::HEARTBEAT => Entry::Heartbeat { session },
            kind::STATE => Entry::State {
                session,
                state: self.state(|state| !state.is_ended() && state != SessionState::Moved)?,
                at_ms: self.u64()?,
            },
            kind::STARTED => Entry::Started {
                session,
                started: self.started(sealed)?,
            },
            kind::EXTENDED => Entry::Extended {
                session,
                expires_at_ms: self.u64()?,
            },
            kind::ENDED => Entry::Ended {
                session,
                state: self.state(SessionState::is_ended)?,
                at_ms: self.u64()?,
            },
            kind::MEMBER_PUT => Entry::MemberPut {
                rights: self.u8()?,
                user: self.name()?,
            },
            kind::MEMBER_REMOVED => Entry::MemberRemoved { user: self.name()? },
            kind::CROSSED => Entry::Crossed {
                session,
                crossed: Box::new(self.crossed()?),
            },
            kind::CHECKPOINT_BEGIN => Entry::CheckpointBegin { number },
            kind::CHECKPOINT_CHAT => Entry::CheckpointChat {
                horizon: self.u64()?,
                as_of: self.u64()?,
            },
            kind::CHECKPOINT_ROW => Entry::CheckpointRow {
                session,
                row: Box::new(self.row(sealed, record.flags & FLAG_HAS_POINT != 0)?),
            },
            kind::CHECKPOINT_MEMBER => Entry::CheckpointMember {
                rights: self.u8()?,
                user: self.name()?,
            },
            kind::CHECKPOINT_END => Entry::CheckpointEnd { number },
            unknown => return Err(BadRecord::UnknownKind(unknown)),
        })
    }

    fn bad(&self) -> BadRecord {
        BadRecord::BadPayload(self.kind)
    }

    fn end(&self) -> Result<(), BadRecord> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.bad())
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], BadRecord> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(self.bad())?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadRecord> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(self.bad())?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, BadRecord> {
        self.array().map(|[byte]: [u8; 1]| byte)
    }

    fn u32(&mut self) -> Result<u32, BadRecord> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, BadRecord> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str, BadRecord> {
        let len = usize::from(self.u8()?);
        str::from_utf8(self.take(len)?).map_err(|_| self.bad())
    }

    fn name(&mut self) -> Result<UserName, BadRecord> {
        let text = self.text()?;
        UserName::new(text).map_err(|_| self.bad())
    }

    fn name_or_none(&mut self) -> Result<Option<UserName>, BadRecord> {
        let text = self.text()?;
        let name = (!text.is_empty()).then(|| UserName::new(text));
        name.transpose().map_err(|_| self.bad())
    }

    fn crossed(&mut self) -> Result<Crossed, BadRecord> {
        let kind = CrossingKind::from_u8(self.u8()?).ok_or(self.bad())?;
        let at_ms = self.u64()?;
        let name = GeofenceName::new(self.text()?).map_err(|_| self.bad())?;
        let user = self.name()?;
        let other = SessionId(self.u64()?);
        let other = self.name_or_none()?.map(|user| (other, user));
        if kind.is_of_two() != other.is_some() {
            return Err(self.bad());
        }
        Ok(Crossed {
            kind,
            at_ms,
            name,
            user,
            other,
            owner: self.name_or_none()?,
        })
    }

    fn state(&mut self, allowed: impl Fn(SessionState) -> bool) -> Result<SessionState, BadRecord> {
        SessionState::from_u8(self.u8()?)
            .filter(|state| allowed(*state))
            .ok_or(self.bad())
    }

    /// A point that fills the rest of the payload.
    fn last_point(&mut self, sealed: bool) -> Result<Point, BadRecord> {
        let point = Point {
            counter: Counter(self.u64()?),
            captured_at_ms: self.u64()? as i64,
            payload: if sealed {
                // A copy: a blob must not keep a whole segment mapped.
                Payload::Sealed(Bytes::copy_from_slice(self.take(self.rest.len())?))
            } else {
                Payload::Fix(self.fix()?)
            },
        };
        point.check().map_err(|_| self.bad())?;
        self.end()?;
        Ok(point)
    }

    fn fix(&mut self) -> Result<Fix, BadRecord> {
        let position = Position {
            lat_e6: self.u32()? as i32,
            lon_e6: self.u32()? as i32,
        };
        let [present, heading, speed, accuracy, battery, reserved @ ..]: [u8; 8] = self.array()?;
        let absent = (present & HAS_HEADING == 0 && heading != 0)
            || (present & HAS_SPEED == 0 && speed != 0)
            || (present & HAS_ACCURACY == 0 && accuracy != 0)
            || (present & HAS_BATTERY == 0 && battery != 0);
        if absent || present > 0b1111 || reserved != [0; 3] {
            return Err(self.bad());
        }
        Ok(Fix {
            position,
            heading: (present & HAS_HEADING != 0).then_some(Heading(heading)),
            speed: (present & HAS_SPEED != 0).then_some(Speed(speed)),
            accuracy: (present & HAS_ACCURACY != 0).then_some(Accuracy(accuracy)),
            battery: (present & HAS_BATTERY != 0).then_some(battery),
        })
    }

    fn started(&mut self, sealed: bool) -> Result<Started, BadRecord> {
        Ok(Started {
            slot: Slot(self.u32()?),
            started_at_ms: self.u64()?,
            expires_at_ms: self.u64()?,
            user: self.name()?,
            sealed,
        })
    }

    fn row(&mut self, sealed: bool, has_point: bool) -> Result<RowRecord, BadRecord> {
        Ok(RowRecord {
            started: self.started(sealed)?,
            as_of: self.u64()?,
            descriptor_offset: self.u64()?,
            point_offset: self.u64()?,
            state_offset: self.u64()?,
            historical_offset: self.u64()?,
            points_total: self.u64()?,
            lost_offset_max: self.u64()?,
            state_at_ms: self.u64()?,
            state: self.state(|state| state != SessionState::Moved)?,
            newest: has_point.then(|| self.framed_point()).transpose()?,
            trail: self.trail()?,
            admission: self.admission()?,
        })
    }

    fn trail(&mut self) -> Result<Vec<TrailPoint>, BadRecord> {
        let count = self.u8()?;
        (0..count)
            .map(|_| {
                Ok(TrailPoint {
                    offset: self.u64()?,
                    point: self.framed_point()?,
                })
            })
            .collect()
    }

    fn framed_point(&mut self) -> Result<Point, BadRecord> {
        let (sealed, len) = match self.u8()? {
            0 => (true, self.u8()?),
            len => (false, len),
        };
        let mut inner = Fields {
            kind: self.kind,
            rest: self.take(usize::from(len))?,
        };
        inner.last_point(sealed)
    }

    fn admission(&mut self) -> Result<Vec<u8>, BadRecord> {
        let len = usize::from(self.array().map(u16::from_le_bytes)?);
        if len > ADMISSION_BYTES_MAX {
            return Err(self.bad());
        }
        self.take(len).map(<[u8]>::to_vec)
    }
}

/// The kind's number as a name, for tools that print records.
pub fn kind_name(kind: u8) -> &'static str {
    match kind {
        kind::POINT => "point",
        kind::HISTORICAL_POINT => "historical_point",
        kind::HEARTBEAT => "heartbeat",
        kind::STATE => "state",
        kind::STARTED => "started",
        kind::EXTENDED => "extended",
        kind::ENDED => "ended",
        kind::MEMBER_PUT => "member_put",
        kind::MEMBER_REMOVED => "member_removed",
        kind::CROSSED => "crossed",
        kind::CHECKPOINT_BEGIN => "checkpoint_begin",
        kind::CHECKPOINT_CHAT => "checkpoint_chat",
        kind::CHECKPOINT_ROW => "checkpoint_row",
        kind::CHECKPOINT_MEMBER => "checkpoint_member",
        kind::CHECKPOINT_END => "checkpoint_end",
        _ => "unknown",
    }
}
