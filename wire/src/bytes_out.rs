//! Putting values behind sent bytes; the mirror of `bytes_in`.

use bytes::BufMut;

use crate::varint;

/// `length varint · bytes`.
pub(crate) fn blob(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.put_slice(bytes);
}

/// `length varint · UTF-8`.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    blob(out, text.as_bytes());
}

/// Like [`text`], cut at a character's border so that at most `len_max` bytes go out.
pub(crate) fn text_cut(out: &mut Vec<u8>, text: &str, len_max: usize) {
    blob(out, &text.as_bytes()[..text.floor_char_boundary(len_max)]);
}
