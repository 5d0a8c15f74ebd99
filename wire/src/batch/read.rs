//! Reads a batch: all of it, or a documented error and nothing.

use bytes::Bytes;

use crate::batch::entry::{Descriptor, EarlierPoint, Entry, NewestPoint, StateMark, WireCounter};
use crate::batch::flags::Flags;
use crate::batch::header::BatchHeader;
use crate::batch::position;
use crate::bytes_in;
use crate::error::{Code, WireError, malformed};
use crate::ids::{Counter, SessionId, Slot, UserName};
use crate::limits::{EARLIER_POINTS_MAX, USER_NAME_BYTES_MAX};
use crate::payload;
use crate::point::{Fix, Payload, Position};
use crate::update::SessionState;
use crate::varint;

/// Rows that there is room for before they are read: what a header promises costs nobody more than this.
const ROWS_AHEAD_MAX: usize = 1_024;

/// A batch as read: checked whole before anything of it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What stands before the entries.
    pub header: BatchHeader,
    /// In order of their slots, each slot once.
    pub entries: Vec<Entry>,
}

impl Batch {
    /// Reads the body of a `Batch` frame. Blobs share its memory.
    ///
    /// # Errors
    /// `malformed`, always and only.
    pub fn decode(body: &Bytes) -> Result<Self, WireError> {
        let mut input: &[u8] = body;
        let (header, flags_default) = BatchHeader::read(&mut input)?;
        let reader = Reader {
            body,
            header: &header,
            flags_default,
        };
        let entries = reader.entries(&mut input)?;
        Ok(Self { header, entries })
    }
}

/// What every part of an entry is relative to.
struct Reader<'a> {
    body: &'a Bytes,
    header: &'a BatchHeader,
    flags_default: Flags,
}

impl<'a> Reader<'a> {
    fn entries(&self, input: &mut &'a [u8]) -> Result<Vec<Entry>, WireError> {
        // All of them at once, where they are as the header says: growing moves each of them about once.
        let rows = input.len() / self.flags_default.entry_bytes_least();
        let mut entries = Vec::with_capacity(rows.min(ROWS_AHEAD_MAX));
        let mut slot_next = 0u64;
        while !input.is_empty() {
            let entry = self.entry(input, slot_next)?;
            slot_next = u64::from(entry.slot.0) + 1;
            entries.push(entry);
        }
        Ok(entries)
    }

    fn entry(&self, input: &mut &'a [u8], slot_next: u64) -> Result<Entry, WireError> {
        let head = varint::get(input)?;
        let slot = u32::try_from(slot_next + (head >> 1))
            .map_err(|_| malformed("a slot is above 32 bits"))?;
        let flags = match head & 1 {
            0 => self.flags_default,
            _ => Flags::read(input)?,
        };
        let part = |flag: Flags| flags.contains(flag);
        let descriptor = part(Flags::DESCRIPTOR).then(|| self.descriptor(input));
        let descriptor = descriptor.transpose()?;
        let counter = descriptor.as_ref().map(|descriptor| descriptor.counter);
        let point = part(Flags::POINT).then(|| self.newest(input, flags, counter));
        let point = point.transpose()?;
        let (skipped, earlier) = match part(Flags::EARLIER) {
            true => self.earlier(input)?,
            false => (0, Vec::new()),
        };
        let state = part(Flags::STATE).then(|| self.state(input));
        Ok(Entry {
            slot: Slot(slot),
            descriptor,
            point,
            earlier,
            skipped,
            state: state.transpose()?,
        })
    }

    fn descriptor(&self, input: &mut &'a [u8]) -> Result<Descriptor, WireError> {
        let sealed = bytes_in::bool(input)?;
        let session = SessionId(bytes_in::u64_le(input)?);
        let user = bytes_in::text(input, USER_NAME_BYTES_MAX, Code::Malformed)?;
        Ok(Descriptor {
            session,
            user: UserName::new(user).map_err(|_| malformed("a user name is not well-formed"))?,
            started_at_ms: position::read_server_time(input, self.header)?,
            expires_at_ms: position::read_server_time(input, self.header)?,
            counter: Counter(varint::get(input)?),
            sealed,
        })
    }

    fn newest(
        &self,
        input: &mut &'a [u8],
        flags: Flags,
        counter: Option<Counter>,
    ) -> Result<NewestPoint, WireError> {
        let captured_at_ms = position::read_time(input, self.header)?;
        let payload = match flags.contains(Flags::SEALED) {
            true => self.sealed(input)?,
            false => self.fix(input, flags.contains(Flags::WIDE), flags.motion())?,
        };
        let counter = match counter {
            Some(counter) => WireCounter::Whole(counter),
            None if flags.contains(Flags::COUNTER_WHOLE) => {
                WireCounter::Whole(Counter(varint::get(input)?))
            }
            None => WireCounter::Low(bytes_in::u8(input)?),
        };
        if counter == WireCounter::Whole(Counter(0)) {
            return Err(malformed("a point has the counter 0"));
        }
        Ok(NewestPoint {
            counter,
            captured_at_ms,
            payload,
        })
    }

    fn earlier(&self, input: &mut &'a [u8]) -> Result<(u64, Vec<EarlierPoint>), WireError> {
        let skipped = varint::get(input)?;
        let count = varint::get(input)?;
        if count > EARLIER_POINTS_MAX as u64 || count > input.len() as u64 {
            return Err(malformed("a list of earlier points is cut off or too long"));
        }
        let mut earlier = Vec::with_capacity(count as usize);
        for _ in 0..count {
            earlier.push(self.one_earlier(input)?);
        }
        Ok((skipped, earlier))
    }

    fn one_earlier(&self, input: &mut &'a [u8]) -> Result<EarlierPoint, WireError> {
        let form = bytes_in::u8(input)?;
        payload::check_form(form, payload::MOTION | payload::WIDE | payload::SEALED)?;
        let behind = varint::get(input)?;
        if behind == 0 {
            return Err(malformed("an earlier point is the newest one"));
        }
        Ok(EarlierPoint {
            behind,
            captured_at_ms: position::read_time(input, self.header)?,
            payload: match form & payload::SEALED {
                0 => self.fix(input, form & payload::WIDE != 0, form & payload::MOTION)?,
                _ => self.sealed(input)?,
            },
        })
    }

    fn fix(&self, input: &mut &'a [u8], wide: bool, motion: u8) -> Result<Payload, WireError> {
        let position: Position = position::read(input, self.header.anchor, wide)?;
        let fix: Fix = payload::read_motion(input, motion, position)?;
        if fix.battery.is_some_and(|percent| percent > 100) {
            return Err(malformed("a battery level is above 100 percent"));
        }
        Ok(Payload::Fix(fix))
    }

    fn sealed(&self, input: &mut &'a [u8]) -> Result<Payload, WireError> {
        let blob = payload::read_sealed(input)?;
        if blob.is_empty() {
            return Err(malformed("a sealed point is empty"));
        }
        Ok(Payload::Sealed(self.body.slice_ref(blob)))
    }

    fn state(&self, input: &mut &'a [u8]) -> Result<StateMark, WireError> {
        let state =
            SessionState::from_u8(bytes_in::u8(input)?).ok_or(malformed("a state is not known"))?;
        Ok(StateMark {
            state,
            at_ms: position::read_server_time(input, self.header)?,
        })
    }
}
