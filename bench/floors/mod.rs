//! The floors: the least that any implementation has to do, as straight-line code.
//!
//! Each is a small file that uses no crate of ours and says which absolute range it is expected
//! in, on which machine. A floor far off that range measured something else (another machine, a
//! neighbour, a mistake), and its ratio is flagged.
//!
//! Loops that only compute are never inlined: what stands around them must not change their code.

pub mod expected;
pub mod mapped_file;
pub mod memcpy_crc;
pub mod memcpy_mapped;

pub mod clock_gaps;
pub mod crc_read;
pub mod fdatasync;
pub mod flush;
pub mod open_files;

pub mod pack_rows;
pub mod unpack_rows;

pub mod scan_changes;
pub mod store_rows;
pub mod walk_cursors;

pub mod epoll_server;
pub mod quinn_server;
pub mod sealed_datagrams;
pub mod tls_server;
