#![doc = include_str!("../README.md")]
//!
//! # How it works
//!
//! ```text
//!   writer (one per partition, on its pinned thread)
//!     | append: copy into the mapping, store `len`, then the watermark; wake who waits
//!     v
//!   +--------------------------- partition -----------------------------+
//!   | segment [1..900]   segment [901..4000]   segment [4001..          |   mapped files
//!   | closed, footer     closed, footer        active | touched ahead   |
//!   +-------------------------------------------------------------------+
//!        ^ reader A            ^ reader B            ^ durable  ^ appended
//!        follow by offset, zero copy, no lock inside a segment
//!
//!   janitor (three threads, or one step of a simulation)
//!     syncer:   names and syncs files, moves `durable`, tells the listeners
//!     preparer: makes the next files, touches pages ahead
//!     keeper:   writes back behind, drops what is old, unmaps
//! ```
//!
//! # What an acknowledgement means
//!
//! - *Appended*: the record is in the page cache. It survives the end of the process, not a power
//!   failure.
//! - *Durable*: a checked `fdatasync` of its file, or of the part before its end (`msync`), and a
//!   checked sync of the directory came after it. It survives a power failure.
//! - *Lost*: the disk failed or was full. The record can be read until the process ends;
//!   [`Log::on_lost`] has said so before the durable mark passes it.
//!
//! The format of the files is described byte by byte in `docs/LOG_FORMAT.md`.

#![deny(missing_docs)]

// The ground floor: bounds, words, errors.
mod limits;
mod position;

mod error;
mod options;
mod random;

// Bytes: what lies where in a file.
mod layout;
mod little_endian;
mod record;

mod ballast;
mod batch;
mod header;
mod index;
mod meta;
mod names;
mod scan;

// How far things have come, between threads.
mod sync;
mod watermark;

// Where the bytes live.
mod mapping;
mod storage;

mod backend;

mod storage_disk;
mod storage_memory;

// An open log: what its parts share, and how it came to be.
mod partition;
mod segment;
mod shared;

mod directory;
mod directory_names;
mod draft;
mod parallel;
mod recovery;
mod report;

// Its parts, and the whole.
mod flush;

mod begin;
mod reader;
mod writer;

mod consumer;

mod marks;

mod work_report;

mod janitor;
mod janitor_thread;
mod retention;
mod rewrite;

mod look;
mod tail;

mod inspect;
mod log;

#[cfg(all(loom, test))]
mod loom_tests;

pub use crate::batch::Batch;
pub use crate::consumer::Consumer;
pub use crate::error::{
    AppendError, CloseError, ConsumerError, InspectError, MetaError, OpenError, OptionsError,
    ReadError, RewriteError, StorageError, SyncError, TruncateError,
};
pub use crate::inspect::{ConsumerStat, DirectoryStat, Inspector, PartitionStat};
pub use crate::janitor::Janitor;
pub use crate::janitor_thread::JanitorThread;
pub use crate::limits::{
    BATCH_HEADER_BYTES, BATCH_RECORDS_MAX, FORMAT_VERSION, PAYLOAD_BYTES_MAX, RECORD_PREFIX_BYTES,
};
pub use crate::log::{Log, LogStats};
pub use crate::look::{FileBatch, SegmentStat, VerifyReport};
pub use crate::options::{Options, WriterBackend};
pub use crate::partition::Durability;
pub use crate::position::{EpochStart, LogId, OFFSET_FIRST, Offset, PartitionId};
pub use crate::reader::Reader;
pub use crate::record::{Record, RecordRef, Records, Run, Runs};
pub use crate::report::{Corruption, PartitionReport, RecoveryReport};
pub use crate::rewrite::{DamagedSegment, RewriteReport, Rewriter, Thinning};
pub use crate::storage::{CachePieces, DirectoryEntry, FileHandle, LockError, Storage, StoredFile};
pub use crate::storage_disk::DiskStorage;
pub use crate::storage_memory::{MemoryStorage, Operation, SyncMode};
pub use crate::tail::Tail;
pub use crate::work_report::WorkReport;
pub use crate::writer::Writer;
