//! The batch: the rows of a chat that changed in (from, to], each once.
//!
//! Stateless: positions are offsets from an anchor in the header, so that one encoding serves
//! every viewer at the same cursor, whatever it missed before.
//!
//! ```
//! use bytes::Bytes;
//! use skein_wire::batch::{Batch, BatchHeader, BatchWriter, EntryRef, Flags};
//! use skein_wire::frame::decode_update;
//! use skein_wire::ids::{Cell, ChatHandle, Counter, Slot};
//! use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
//! use skein_wire::point::{Fix, Payload, Point, Position};
//! use skein_wire::request::Delivery;
//! use skein_wire::splitter::split_first_shared;
//! use skein_wire::update::Update;
//!
//! let position = Position::from_degrees(45.27, 13.72)?;
//! let point = Point {
//!     counter: Counter(9),
//!     captured_at_ms: 1_700_000_000_000,
//!     payload: Payload::Fix(Fix { position, ..Fix::default() }),
//! };
//! let header = BatchHeader {
//!     chat: ChatHandle(1), cell: Cell(0), epoch: 1, from: 70, to: 77,
//!     server_time_ms: 1_700_000_000_250, anchor: position, delivery: Delivery::Latest, page: None,
//! };
//! let row = EntryRef {
//!     slot: Slot(4), descriptor: None, point: Some(&point),
//!     counter_whole: false, skipped: 0, state: None,
//! };
//!
//! let mut bytes = Vec::new();
//! let mut writer = BatchWriter::begin(&mut bytes, &header, Flags::POINT);
//! writer.entry(&row, [].into_iter());
//! writer.finish();
//!
//! let frame = split_first_shared(&mut Bytes::from(bytes), SERVER_FRAME_BYTES_MAX)?.unwrap();
//! let Some(Update::Batch(body)) = decode_update(frame)? else { panic!("not a batch") };
//! let batch = Batch::decode(&body)?;
//! assert_eq!(batch.header, header);
//! let newest = batch.entries[0].point.as_ref().unwrap();
//! assert_eq!(newest.counter.widen(Counter(8)), Counter(9));
//! assert_eq!(newest.payload, point.payload);
//! # Ok::<(), skein_wire::error::WireError>(())
//! ```

mod entry;
mod flags;
mod header;
mod position;
mod read;
mod write;

pub use entry::{Descriptor, EarlierPoint, Entry, EntryRef, NewestPoint, StateMark, WireCounter};
pub use flags::Flags;
pub use header::{BatchHeader, Page};
pub use read::Batch;
pub use write::{BatchWriter, set_page_total};
