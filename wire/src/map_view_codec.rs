//! Bytes of a view: what a client asks for, and the area that the server answers with.

use bytes::BufMut;

use crate::bytes_in;
use crate::error::WireError;
use crate::map_view::MapView;
use crate::varint;

/// Appends a view.
pub(crate) fn put(out: &mut Vec<u8>, view: &MapView) {
    for edge in [view.south_e6, view.west_e6, view.north_e6, view.east_e6] {
        out.put_i32_le(edge);
    }
    varint::put(out, u64::from(view.rows));
}

/// Reads a view. Its values are not judged here, see [`MapView::in_range`].
///
/// # Errors
/// `malformed`.
pub(crate) fn read(input: &mut &[u8]) -> Result<MapView, WireError> {
    Ok(MapView {
        south_e6: bytes_in::i32_le(input)?,
        west_e6: bytes_in::i32_le(input)?,
        north_e6: bytes_in::i32_le(input)?,
        east_e6: bytes_in::i32_le(input)?,
        rows: bytes_in::varint_u32(input)?,
    })
}
