//! Writes a batch frame, entry by entry, into the caller's buffer.
//!
//! ```text
//! length 4 bytes · kind u8 · header · entries
//! entry = head varint (gap << 1 | own flags) · [flags u8 [presence u8]]
//!       · [descriptor] · [newest point] · [earlier points] · [state]
//! ```
//!
//! `gap` counts the slots left out since the entry before. Entries go on to the end of the frame.

use bytes::BufMut;

use crate::batch::entry::{Descriptor, EntryRef, StateMark};
use crate::batch::flags::Flags;
use crate::batch::header::{BatchHeader, PAGE_TOTAL_AT};
use crate::batch::position;
use crate::bytes_out;
use crate::kind::Kind;
use crate::limits::{EARLIER_POINTS_MAX, SERVER_FRAME_BYTES_MAX};
use crate::payload;
use crate::point::{Payload, Point};
use crate::varint;

/// Bytes of a batch's length: always 4, so that it can be filled in at the end.
const LENGTH_BYTES: usize = 4;

/// The two high bits that say "4 bytes".
const LENGTH_MARK: u32 = 0x8000_0000;

/// One batch frame being written. Dropped without [`Self::finish`] it leaves a broken frame.
#[must_use = "finish it, or the frame has no length"]
#[derive(Debug)]
pub struct BatchWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    header: BatchHeader,
    flags_default: Flags,
    slot_next: u64,
    entries: usize,
}

impl<'a> BatchWriter<'a> {
    /// Appends the frame's length (to be filled in), kind and header. `flags_default` are the
    /// [`Flags`] that most entries will have, see [`flags_of`](Self::flags_of); a bad guess costs
    /// a byte or two an entry and nothing else.
    ///
    /// # Panics
    /// If `from > to`, or an offset, cell or time is above [`varint::MAX`]: a fault of the caller.
    pub fn begin(out: &'a mut Vec<u8>, header: &BatchHeader, flags_default: Flags) -> Self {
        let start = out.len();
        out.put_u32(LENGTH_MARK);
        out.put_u8(Kind::Batch as u8);
        header.put(out, flags_default);
        Self {
            out,
            start,
            header: *header,
            flags_default,
            slot_next: 0,
            entries: 0,
        }
    }

    /// Appends a row and its earlier points, oldest first.
    ///
    /// # Panics
    /// If slots do not ascend, if there are earlier or skipped points without a newest one, if an
    /// earlier counter is not below the newest, or if there are more than
    /// [`EARLIER_POINTS_MAX`]: faults of the caller.
    pub fn entry<'p>(
        &mut self,
        entry: &EntryRef<'_>,
        earlier: impl ExactSizeIterator<Item = &'p Point>,
    ) {
        let flags = Self::flags_of(&self.header, entry, earlier.len());
        self.put_head(entry, flags);
        if let Some(descriptor) = entry.descriptor {
            put_descriptor(self.out, &self.header, descriptor, entry.point);
        }
        if let Some(point) = entry.point {
            put_newest(self.out, &self.header, point, flags);
        }
        if flags.contains(Flags::EARLIER) {
            let newest = entry.point.expect("earlier points lie behind a newest one");
            put_earlier(self.out, &self.header, newest, entry.skipped, earlier);
        }
        if let Some(state) = entry.state {
            put_state(self.out, &self.header, state);
        }
        self.entries += 1;
    }

    /// Like [`Self::entry`], unless the frame would grow beyond `frame_bytes_max`: then nothing is
    /// written and the answer is `false`. The first entry is always written; with the ceilings of
    /// [`crate::limits`] it fits.
    ///
    /// # Panics
    /// As [`Self::entry`].
    #[must_use = "false: the entry belongs into the next page"]
    pub fn try_entry<'p>(
        &mut self,
        entry: &EntryRef<'_>,
        earlier: impl ExactSizeIterator<Item = &'p Point>,
        frame_bytes_max: usize,
    ) -> bool {
        let (len, slot_next, entries) = (self.out.len(), self.slot_next, self.entries);
        self.entry(entry, earlier);
        if entries == 0 || self.len() <= frame_bytes_max {
            return true;
        }
        self.out.truncate(len);
        (self.slot_next, self.entries) = (slot_next, entries);
        false
    }

    /// The flags that `entry` gets in a batch with this header.
    pub fn flags_of(header: &BatchHeader, entry: &EntryRef<'_>, earlier: usize) -> Flags {
        let bit = |present: bool, flag: Flags| if present { flag } else { Flags::NONE };
        let point = entry.point.map(|point| flags_of_point(header, point));
        bit(entry.descriptor.is_some(), Flags::DESCRIPTOR)
            | point.unwrap_or(Flags::NONE)
            | bit(
                entry.counter_whole && entry.point.is_some() && entry.descriptor.is_none(),
                Flags::COUNTER_WHOLE,
            )
            | bit(earlier > 0 || entry.skipped > 0, Flags::EARLIER)
            | bit(entry.state.is_some(), Flags::STATE)
    }

    /// Bytes of the frame so far, kind and body.
    #[expect(clippy::len_without_is_empty, reason = "a frame always has its header")]
    pub fn len(&self) -> usize {
        self.out.len() - self.start - LENGTH_BYTES
    }

    /// Entries so far.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Fills in the length; gives the bytes of the whole frame with its length.
    ///
    /// # Panics
    /// If the frame is above [`SERVER_FRAME_BYTES_MAX`]: a fault of the caller, who cuts pages.
    pub fn finish(self) -> usize {
        let len = self.len();
        assert!(len <= SERVER_FRAME_BYTES_MAX, "batch frame of {len} bytes");
        let length = LENGTH_MARK | len as u32;
        self.out[self.start..self.start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        LENGTH_BYTES + len
    }

    fn put_head(&mut self, entry: &EntryRef<'_>, flags: Flags) {
        let slot = u64::from(entry.slot.0);
        assert!(slot >= self.slot_next, "slot {slot} is not ascending");
        let gap = slot - self.slot_next;
        self.slot_next = slot + 1;
        let own = flags != self.flags_default;
        varint::put(self.out, gap << 1 | u64::from(own));
        if own {
            flags.put(self.out);
        }
    }
}

/// Writes `total` into a finished frame whose header has a page: the number of pages is known
/// only when the last one is written. `frame` begins with its length.
///
/// # Panics
/// If `frame` is not a finished frame of a [`BatchWriter`] with a page.
pub fn set_page_total(frame: &mut [u8], total: u32) {
    let at = LENGTH_BYTES + PAGE_TOTAL_AT;
    frame[at..at + 4].copy_from_slice(&total.to_le_bytes());
}

fn flags_of_point(header: &BatchHeader, point: &Point) -> Flags {
    match &point.payload {
        Payload::Sealed(_) => Flags::POINT | Flags::SEALED,
        Payload::Fix(fix) => {
            let flags = Flags::POINT.with_motion(payload::form(&point.payload));
            match position::is_wide(header.anchor, fix.position) {
                true => flags | Flags::WIDE,
                false => flags,
            }
        }
    }
}

fn put_descriptor(
    out: &mut Vec<u8>,
    header: &BatchHeader,
    descriptor: &Descriptor,
    point: Option<&Point>,
) {
    // One counter on the wire serves both.
    let counter = point.map_or(descriptor.counter, |point| point.counter);
    debug_assert_eq!(counter, descriptor.counter, "descriptor and point disagree");
    out.put_u8(u8::from(descriptor.sealed));
    out.put_u64_le(descriptor.session.0);
    bytes_out::text(out, descriptor.user.as_str());
    position::put_time(out, header, descriptor.started_at_ms as i64);
    position::put_time(out, header, descriptor.expires_at_ms as i64);
    varint::put(out, counter.0);
}

fn put_newest(out: &mut Vec<u8>, header: &BatchHeader, point: &Point, flags: Flags) {
    put_payload(
        out,
        header,
        &point.payload,
        flags.contains(Flags::WIDE),
        point.captured_at_ms,
    );
    if flags.contains(Flags::COUNTER_WHOLE) {
        varint::put(out, point.counter.0);
    } else if !flags.contains(Flags::DESCRIPTOR) {
        out.put_u8(point.counter.0 as u8);
    }
}

fn put_payload(
    out: &mut Vec<u8>,
    header: &BatchHeader,
    payload: &Payload,
    wide: bool,
    captured_at_ms: i64,
) {
    position::put_time(out, header, captured_at_ms);
    match payload {
        Payload::Sealed(blob) => payload::put_sealed(out, blob),
        Payload::Fix(fix) => {
            position::put(out, header.anchor, fix.position, wide);
            payload::put_motion(out, fix);
        }
    }
}

fn put_earlier<'p>(
    out: &mut Vec<u8>,
    header: &BatchHeader,
    newest: &Point,
    skipped: u64,
    earlier: impl ExactSizeIterator<Item = &'p Point>,
) {
    let count = earlier.len();
    assert!(count <= EARLIER_POINTS_MAX, "{count} earlier points");
    varint::put(out, skipped);
    varint::put(out, count as u64);
    for point in earlier {
        let behind = newest.counter.0.checked_sub(point.counter.0);
        let behind = behind.filter(|behind| *behind > 0);
        put_one_earlier(
            out,
            header,
            point,
            behind.expect("an earlier point has a lower counter"),
        );
    }
}

fn put_one_earlier(out: &mut Vec<u8>, header: &BatchHeader, point: &Point, behind: u64) {
    let wide = match &point.payload {
        Payload::Fix(fix) => position::is_wide(header.anchor, fix.position),
        Payload::Sealed(_) => false,
    };
    let wide_bit = if wide { payload::WIDE } else { 0 };
    out.put_u8(payload::form(&point.payload) | wide_bit);
    varint::put(out, behind);
    put_payload(out, header, &point.payload, wide, point.captured_at_ms);
}

fn put_state(out: &mut Vec<u8>, header: &BatchHeader, state: StateMark) {
    out.put_u8(state.state as u8);
    position::put_time(out, header, state.at_ms as i64);
}
