//! Writing shared bytes to a stream without a copy.

use bytes::Bytes;
use quinn_proto::{Connection, StreamId, WriteError};

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// Everything is handed over.
    All,
    /// The client or the path takes no more now; the stream says when it does.
    Blocked,
    /// The client has stopped the stream, or it is no more.
    Closed,
}

/// Writes the front of `bytes`; what is left stays in it. Returns how much was written.
pub fn write(link: &mut Connection, stream: StreamId, bytes: &mut Bytes) -> (usize, Wrote) {
    let mut written = 0;
    while !bytes.is_empty() {
        let mut chunks = [std::mem::take(bytes)];
        let result = link.send_stream(stream).write_chunks(&mut chunks);
        [*bytes] = chunks;
        match result {
            Ok(count) => written += count.bytes,
            Err(WriteError::Blocked) => return (written, Wrote::Blocked),
            Err(_) => return (written, Wrote::Closed),
        }
    }
    (written, Wrote::All)
}
