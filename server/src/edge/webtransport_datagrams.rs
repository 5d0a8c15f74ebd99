//! Datagrams of HTTP/3: the number of their session, then our frame.
//!
//! ```text
//! quarter of the session's id varint | frame
//! ```
//! The shared bytes of a batch have no room in front, so a copy with the number is made, once for
//! all viewers that are offered the same bytes in a pass: nearly every session is the first
//! request of its connection, and has the number 0.

use bytes::Bytes;
use quinn_proto::StreamId;
use skein_wire::varint;

use crate::edge::webtransport_fault::{DATAGRAM_ERROR, Fault};

/// As many batches as the viewers of a chat share in a pass, and a head.
const KEPT: usize = 9;

/// The copies of this pass.
#[derive(Debug, Default)]
pub struct WebTransportDatagrams {
    kept: Vec<Copied>,
    next: usize,
}

#[derive(Debug)]
struct Copied {
    session: StreamId,
    /// Held, so that no other frames can lie where these do.
    frames: Bytes,
    datagram: Bytes,
}

impl WebTransportDatagrams {
    /// The datagram of `session` that carries `frames`.
    pub fn of(&mut self, session: StreamId, frames: &Bytes) -> Bytes {
        let is_it = |copied: &&Copied| {
            copied.session == session
                && copied.frames.as_ptr() == frames.as_ptr()
                && copied.frames.len() == frames.len()
        };
        if let Some(copied) = self.kept.iter().find(is_it) {
            return copied.datagram.clone();
        }
        let datagram = datagram(session, frames);
        self.keep(Copied {
            session,
            frames: frames.clone(),
            datagram: datagram.clone(),
        });
        datagram
    }

    /// The pass is over: what was kept is given back.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.next = 0;
    }

    fn keep(&mut self, copied: Copied) {
        match self.kept.get_mut(self.next) {
            Some(place) => *place = copied,
            None => self.kept.push(copied),
        }
        self.next = (self.next + 1) % KEPT;
    }
}

/// A datagram of `session`.
pub fn datagram(session: StreamId, frame: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(head_bytes(session) + frame.len());
    varint::put(&mut bytes, session.index());
    bytes.extend_from_slice(frame);
    bytes.into()
}

/// Bytes in front of the frame.
pub fn head_bytes(session: StreamId) -> usize {
    varint::len(session.index())
}

/// The frame of a datagram, unless it is another session's.
///
/// # Errors
/// The number is cut off.
pub fn frame_of(session: StreamId, datagram: &[u8]) -> Result<Option<&[u8]>, Fault> {
    let mut rest = datagram;
    let number = varint::get(&mut rest).map_err(|_| {
        Fault::new(
            DATAGRAM_ERROR,
            "a datagram ends within its session's number",
        )
    })?;
    Ok((number == session.index()).then_some(rest))
}

#[cfg(test)]
mod tests {
    use quinn_proto::{Dir, Side};

    use super::*;

    fn session(index: u64) -> StreamId {
        StreamId::new(Side::Client, Dir::Bi, index)
    }

    #[test]
    fn viewers_of_the_same_bytes_share_one_copy() {
        let mut datagrams = WebTransportDatagrams::default();
        let frames = Bytes::from(vec![2, 0xff, 0]);
        let first = datagrams.of(session(0), &frames);
        assert_eq!(&first[..], [0, 2, 0xff, 0]);
        assert_eq!(
            datagrams.of(session(0), &frames.clone()).as_ptr(),
            first.as_ptr()
        );
        let other = datagrams.of(session(70), &frames);
        assert_eq!(&other[..], [0x40, 70, 2, 0xff, 0]);
        let equal = Bytes::from(frames.to_vec());
        assert_ne!(datagrams.of(session(0), &equal).as_ptr(), first.as_ptr());
        assert_eq!(
            datagrams.of(session(0), &frames.slice(..2))[..],
            [0, 2, 0xff]
        );
    }

    #[test]
    fn no_more_than_a_few_are_kept() {
        let mut datagrams = WebTransportDatagrams::default();
        let many: Vec<_> = (0..50u8).map(|byte| Bytes::from(vec![byte; 2])).collect();
        for frames in &many {
            assert_eq!(datagrams.of(session(0), frames)[1..], frames[..]);
        }
        assert_eq!(datagrams.kept.len(), KEPT);
        datagrams.clear();
        assert!(datagrams.kept.is_empty());
    }

    #[test]
    fn a_foreign_datagram_is_not_ours() {
        assert_eq!(frame_of(session(0), &[0, 5, 6]), Ok(Some(&[5, 6][..])));
        assert_eq!(frame_of(session(0), &[1, 5, 6]), Ok(None));
        for cut in [&[][..], &[0x40]] {
            assert_eq!(frame_of(session(0), cut).unwrap_err().code, DATAGRAM_ERROR);
        }
    }
}
