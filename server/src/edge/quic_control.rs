//! Our half of the control stream: whole frames in line behind what the client has not taken.

use std::collections::VecDeque;

use bytes::Bytes;
use quinn_proto::{Connection, StreamId};

use crate::edge::quic_write::{Wrote, write};
use crate::limits::{CONTROL_QUEUE_BYTES_MAX, CONTROL_QUEUE_FRAMES_MAX};

/// The control stream out. It holds no memory while nothing is in line.
#[derive(Debug, Default)]
pub struct QuicControl {
    stream: Option<StreamId>,
    queue: VecDeque<Bytes>,
    queue_bytes: usize,
}

impl QuicControl {
    /// The client has opened the stream.
    pub fn open(&mut self, stream: StreamId) {
        self.stream = Some(stream);
    }

    /// Whether there is a stream to say something on.
    pub fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether this is the stream.
    pub fn is(&self, stream: StreamId) -> bool {
        self.stream == Some(stream)
    }

    /// Whether nothing is in line.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Puts a frame in line. False when too many wait.
    pub fn queue(&mut self, frame: Bytes) -> bool {
        if self.queue.len() >= CONTROL_QUEUE_FRAMES_MAX
            || self.queue_bytes + frame.len() > CONTROL_QUEUE_BYTES_MAX
        {
            return false;
        }
        self.queue_last(frame);
        true
    }

    /// Puts a frame in line however long it is; nothing comes after it.
    pub fn queue_last(&mut self, frame: Bytes) {
        self.queue_bytes += frame.len();
        self.queue.push_back(frame);
    }

    /// Forgets what is in line.
    pub fn clear(&mut self) {
        self.queue = VecDeque::new();
        self.queue_bytes = 0;
    }

    /// Writes what is in line, as far as the client takes it. Returns how many bytes left it.
    pub fn write(&mut self, link: &mut Connection) -> usize {
        let Some(stream) = self.stream else {
            return 0;
        };
        let mut written = 0;
        while let Some(frame) = self.queue.front_mut() {
            let (count, wrote) = write(link, stream, frame);
            written += count;
            match wrote {
                Wrote::All => drop(self.queue.pop_front()),
                Wrote::Blocked => {
                    self.queue_bytes -= written;
                    return written;
                }
                Wrote::Closed => break,
            }
        }
        self.clear();
        written
    }

    /// Says that nothing comes after what was written. False when there is nobody to hear it.
    pub fn finish(&mut self, link: &mut Connection) -> bool {
        let stream = self.stream;
        stream.is_some_and(|stream| link.send_stream(stream).finish().is_ok())
    }
}
