//! Reading a stream in the order of its bytes.

use bytes::Bytes;
use quinn_proto::{Connection, ReadError, StreamId};

/// What a stream has.
#[derive(Debug)]
pub enum Chunk {
    /// The next bytes.
    Bytes(Bytes),
    /// Nothing now; the stream says when there is more.
    None,
    /// Nothing any more.
    End,
    /// Nothing any more, and what was on its way is given up.
    Reset,
}

/// Takes the next bytes of a stream, at most `max`.
pub fn read(link: &mut Connection, stream: StreamId, max: usize) -> Chunk {
    let mut stream = link.recv_stream(stream);
    // The stream is no more: whoever looked before has seen its end.
    let Ok(mut chunks) = stream.read(true) else {
        return Chunk::None;
    };
    let chunk = match chunks.next(max) {
        Ok(Some(chunk)) => Chunk::Bytes(chunk.bytes),
        Ok(None) => Chunk::End,
        Err(ReadError::Blocked) => Chunk::None,
        Err(ReadError::Reset(_)) => Chunk::Reset,
    };
    // What it changes for the client leaves with the next packet.
    let _ = chunks.finalize();
    chunk
}
