//! Where a viewer's protocol hands over what it has read.

use anyhow::{Result, bail};

use crate::position::{POSITION_BYTES, Position};

/// Takes the positions that one viewer gets.
pub trait Sink {
    /// A position came.
    fn position(&mut self, position: Position);

    /// A position came of whose counter only the low byte is known: the smallest value at or above
    /// the last one with this byte.
    fn position_low(&mut self, session: u32, low: u8);
}

/// Hands over one position after the other.
///
/// # Errors
/// If these are not whole positions: the peer has changed the payload.
pub fn positions(payload: &[u8], sink: &mut impl Sink) -> Result<()> {
    let mut rest = payload.chunks_exact(POSITION_BYTES);
    for bytes in &mut rest {
        if let Some(position) = Position::read(bytes) {
            sink.position(position);
        }
    }
    if payload.is_empty() || !rest.remainder().is_empty() {
        bail!("a payload of {} bytes is no positions", payload.len());
    }
    Ok(())
}
