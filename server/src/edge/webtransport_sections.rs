//! Runs of (kind, length, value), which frames of HTTP/3 and capsules both are, cut into whole ones.

use skein_wire::varint;

use crate::edge::webtransport_fault::{EXCESSIVE_LOAD, Fault};
use crate::limits::WEBTRANSPORT_FRAME_BYTES_MAX;

/// A whole frame or capsule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it is.
    pub kind: u64,
    /// What is in it.
    pub value: Vec<u8>,
}

/// Bytes that are not whole yet. It holds no memory while it is empty.
#[derive(Debug, Default)]
pub struct Sections {
    bytes: Vec<u8>,
}

impl Sections {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether something waits for its rest.
    pub fn is_partial(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Gives the next whole one.
    ///
    /// # Errors
    /// When one announces more than it may hold, whatever has come of it.
    pub fn next_whole(&mut self) -> Result<Option<Section>, Fault> {
        let mut rest = self.bytes.as_slice();
        let (Ok(kind), Ok(len)) = (varint::get(&mut rest), varint::get(&mut rest)) else {
            return Ok(None);
        };
        if len > WEBTRANSPORT_FRAME_BYTES_MAX as u64 {
            return Err(Fault::new(
                EXCESSIVE_LOAD,
                "a frame of HTTP/3 or a capsule is longer than its ceiling",
            ));
        }
        let Some(value) = rest.get(..len as usize) else {
            return Ok(None);
        };
        let value = value.to_vec();
        let left = rest.len() - value.len();
        self.bytes.drain(..self.bytes.len() - left);
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
        Ok(Some(Section { kind, value }))
    }
}

/// Appends a whole one.
pub fn put(out: &mut Vec<u8>, kind: u64, value: &[u8]) {
    varint::put(out, kind);
    varint::put(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_the_bytes_are_cut_the_same_comes_out() {
        let mut bytes = Vec::new();
        let wanted: Vec<_> = [(0u64, 0usize), (1, 3), (0x2843, 70), (0x1f * 9 + 0x21, 1)]
            .map(|(kind, len)| Section {
                kind,
                value: vec![7; len],
            })
            .into();
        for section in &wanted {
            put(&mut bytes, section.kind, &section.value);
        }
        for step in 1..=bytes.len() {
            let mut sections = Sections::default();
            let mut found = Vec::new();
            for chunk in bytes.chunks(step) {
                sections.push(chunk);
                while let Some(section) = sections.next_whole().unwrap() {
                    found.push(section);
                }
            }
            assert_eq!(found, wanted, "{step} bytes at a time");
            assert!(!sections.is_partial());
        }
    }

    #[test]
    fn what_announces_too_much_is_refused_before_it_comes() {
        let announce = |len| {
            let mut bytes = Vec::new();
            varint::put(&mut bytes, 1);
            varint::put(&mut bytes, len);
            let mut sections = Sections::default();
            sections.push(&bytes);
            sections.next_whole()
        };
        assert_eq!(announce(WEBTRANSPORT_FRAME_BYTES_MAX as u64), Ok(None));
        let fault = announce(WEBTRANSPORT_FRAME_BYTES_MAX as u64 + 1).unwrap_err();
        assert_eq!(fault.code, EXCESSIVE_LOAD);
    }
}
