//! Where a viewer that presents a cursor goes on.
//!
//! A cursor is a promise of the viewer: "I have everything up to here". It holds only if the log
//! still has the same records up to there, and if the table still knows every end after it.
//! Everything else (another log, the future, a tail that a crash took, too long ago) begins anew
//! with a full batch, never with silence.

use skein_wire::ids::Cursor;

/// What is known of a chat's partition when a cursor is judged.
#[derive(Clone, Copy, Debug)]
pub struct CursorContext<'a> {
    /// Identity of the log.
    pub log: u64,
    /// Writers of the partition so far: (epoch, first offset), ascending.
    pub epochs: &'a [(u32, u64)],
    /// Greatest offset that is known to exist.
    pub offset_max: u64,
    /// Oldest offset for which the chat's tombstones are complete.
    pub horizon: u64,
}

/// The offset at which a viewer with `cursor` goes on; 0 = it gets a full batch.
///
/// ```
/// use skein_engine::cursor::{CursorContext, resume_offset};
/// use skein_wire::ids::Cursor;
/// let context = CursorContext { log: 7, epochs: &[(1, 1), (2, 50)], offset_max: 90, horizon: 10 };
/// let cursor = |epoch, offset| Some(Cursor { log: 7, epoch, offset });
/// assert_eq!(resume_offset(cursor(2, 80), &context), 80);
/// assert_eq!(resume_offset(cursor(1, 49), &context), 49);
/// assert_eq!(resume_offset(cursor(1, 50), &context), 0, "written by a writer that is gone");
/// assert_eq!(resume_offset(None, &context), 0);
/// ```
pub fn resume_offset(cursor: Option<Cursor>, context: &CursorContext<'_>) -> u64 {
    let Some(Cursor { log, epoch, offset }) = cursor else {
        return 0;
    };
    let current = context.epochs.last().map_or(0, |(epoch, _)| *epoch);
    let survives = context
        .epochs
        .iter()
        .all(|(later, first)| *later <= epoch || offset < *first);
    let known = (context.horizon..=context.offset_max).contains(&offset);
    if log == context.log && epoch <= current && survives && known {
        offset
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_future_lost_and_forgotten_cursors_begin_anew() {
        let context = CursorContext {
            log: 7,
            epochs: &[(1, 1), (3, 50), (4, 70)],
            offset_max: 90,
            horizon: 10,
        };
        let check = |log, epoch, offset, expected| {
            let cursor = Cursor { log, epoch, offset };
            assert_eq!(resume_offset(Some(cursor), &context), expected, "{cursor}");
        };
        check(7, 4, 90, 90);
        check(7, 4, 10, 10);
        check(7, 3, 69, 69);
        check(7, 2, 49, 49);
        check(8, 4, 80, 0); // another log
        check(7, 5, 80, 0); // an epoch to come
        check(7, 4, 91, 0); // an offset to come
        check(7, 4, u64::MAX, 0);
        check(7, 3, 70, 0); // a tail that is gone
        check(7, 1, 60, 0);
        check(7, 4, 9, 0); // before the horizon
        check(7, 4, 0, 0);
    }
}
