//! What stands before a batch's entries: which chat, which stretch of offsets, which anchor.
//!
//! ```text
//! options u8 · [snapshot u32 · index u32 · total u32] · chat varint · cell varint · epoch varint
//! · from varint · to - from varint · server time ms varint · anchor lat i32 · anchor lon i32
//! · flags of most entries u8 [presence u8]
//! ```
//!
//! The page stands first and at a fixed width, so that its `total` can be filled in when the last
//! page is written.

use bytes::BufMut;

use crate::batch::flags::Flags;
use crate::bytes_in;
use crate::error::{WireError, malformed};
use crate::ids::{Cell, ChatHandle};
use crate::limits::{CAPTURED_AT_MS_MAX, PAGES_MAX};
use crate::payload;
use crate::point::Position;
use crate::request::Delivery;
use crate::varint;

/// The batch was built for delivery `every`.
const EVERY: u8 = 1 << 0;
/// A page follows.
const PAGED: u8 = 1 << 1;

/// Which part of a batch that is larger than a frame this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Same for all pages of one batch.
    pub snapshot: u32,
    /// 0-based.
    pub index: u32,
    /// How many.
    pub total: u32,
}

/// What stands before the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Which chat.
    pub chat: ChatHandle,
    /// Which part of it: 0 = all of it, else the number of a view.
    pub cell: Cell,
    /// The partition's epoch.
    pub epoch: u32,
    /// The viewer must have everything up to here; 0 = a full batch.
    pub from: u64,
    /// After applying, the viewer has everything up to here.
    pub to: u64,
    /// Server time, milliseconds since 1970.
    pub server_time_ms: u64,
    /// Centre that positions are relative to.
    pub anchor: Position,
    /// Which delivery it was built for.
    pub delivery: Delivery,
    /// Set when the batch is cut into pages.
    pub page: Option<Page>,
}

/// Position of a page's `total` within a frame's kind and body.
pub(crate) const PAGE_TOTAL_AT: usize = 1 + 1 + 4 + 4;

impl BatchHeader {
    pub(crate) fn put(&self, out: &mut Vec<u8>, flags_default: Flags) {
        assert!(self.from <= self.to, "batch of {}..{}", self.from, self.to);
        out.put_u8(self.options());
        if let Some(page) = self.page {
            out.put_u32_le(page.snapshot);
            out.put_u32_le(page.index);
            out.put_u32_le(page.total);
        }
        varint::put(out, u64::from(self.chat.0));
        varint::put(out, self.cell.0);
        varint::put(out, u64::from(self.epoch));
        varint::put(out, self.from);
        varint::put(out, self.to - self.from);
        varint::put(out, self.server_time_ms);
        payload::put_position_wide(out, self.anchor);
        flags_default.put(out);
    }

    fn options(&self) -> u8 {
        let every = match self.delivery {
            Delivery::Every => EVERY,
            Delivery::Latest => 0,
        };
        let paged = if self.page.is_some() { PAGED } else { 0 };
        every | paged
    }

    /// Reads the header and the flags that most entries have.
    pub(crate) fn read(input: &mut &[u8]) -> Result<(Self, Flags), WireError> {
        let options = bytes_in::u8(input)?;
        if options & !(EVERY | PAGED) != 0 {
            return Err(malformed("a batch has unknown options"));
        }
        let page = (options & PAGED != 0).then(|| read_page(input));
        let page = page.transpose()?;
        let chat = ChatHandle(bytes_in::varint_u32(input)?);
        let cell = Cell(varint::get(input)?);
        let epoch = bytes_in::varint_u32(input)?;
        let from = varint::get(input)?;
        let to = from + varint::get(input)?;
        if to > varint::MAX {
            return Err(malformed("a batch ends beyond the greatest offset"));
        }
        let header = Self {
            chat,
            cell,
            epoch,
            from,
            to,
            server_time_ms: read_server_time(input)?,
            anchor: read_anchor(input)?,
            delivery: match options & EVERY {
                0 => Delivery::Latest,
                _ => Delivery::Every,
            },
            page,
        };
        Ok((header, Flags::read(input)?))
    }
}

fn read_page(input: &mut &[u8]) -> Result<Page, WireError> {
    let page = Page {
        snapshot: bytes_in::u32_le(input)?,
        index: bytes_in::u32_le(input)?,
        total: bytes_in::u32_le(input)?,
    };
    if page.total > PAGES_MAX || page.index >= page.total {
        return Err(malformed("a page lies outside its batch"));
    }
    Ok(page)
}

fn read_server_time(input: &mut &[u8]) -> Result<u64, WireError> {
    let time = varint::get(input)?;
    if time > CAPTURED_AT_MS_MAX as u64 {
        return Err(malformed("a server time is out of range"));
    }
    Ok(time)
}

fn read_anchor(input: &mut &[u8]) -> Result<Position, WireError> {
    let anchor = payload::read_position_wide(input)?;
    if !anchor.in_range() {
        return Err(malformed("an anchor is out of range"));
    }
    Ok(anchor)
}
