//! Encodes what changed in a chat since an offset, once, for all viewers that can take it.
//!
//! A batch from `from` serves every viewer whose cursor is at or beyond `from`: entries carry what
//! changed since `from`, and a viewer skips what it has. So nothing here depends on a viewer.
//!
//! - A full batch (`from` 0) has exactly one entry per live session, with its descriptor.
//! - Any other has the rows that changed, ended ones too.
//! - `every` adds the points since `from` that the trail still holds and, where it does not hold
//!   all, the count that lets a viewer know its loss exactly.
//! - A batch larger than a frame becomes pages under one snapshot number.
//! - That of a view has the rows of its cells. Who came in is told whole, who left is told to have, and
//!   in front of it stand those elsewhere, counted, if there are news of them.

use std::collections::vec_deque;

use skein_wire::batch::{
    BatchHeader, BatchWriter, EntryRef, Flags, Page, StateMark, set_page_total,
};
use skein_wire::ids::{Cell, ChatHandle, SessionId};
use skein_wire::limits::{PAGES_MAX, SERVER_FRAME_BYTES_MAX};
use skein_wire::point::Point;
use skein_wire::request::Delivery;
use skein_wire::update::SessionState;

use crate::grid::Grid;
use crate::journal::TrailPoint;
use crate::map::{MapArea, Presence, ServedView};
use crate::row::Row;
use crate::shared_batch::{SharedBatch, WEBSOCKET_HEADER_BYTES_MAX};
use crate::table::Table;
use crate::time::Timestamp;

/// Rows looked at to guess the flags that most entries have.
const FLAG_SAMPLES: usize = 8;

/// Bytes set aside per row at first: a typical row with heading, speed and accuracy.
const ROW_BYTES_GUESS: usize = 16;

/// Which rows and parts of a chat a batch is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Newest points only, or those in between too.
    pub delivery: Delivery,
    /// Only this session.
    pub session: Option<SessionId>,
    /// Places on this grid, and nothing finer.
    pub grid: Option<Grid>,
    /// Only rows in cells of this part of the map, see [`crate::map`].
    pub area: Option<MapArea>,
}

impl Scope {
    /// All rows of a chat, as they are.
    pub fn whole(delivery: Delivery) -> Self {
        Self {
            delivery,
            session: None,
            grid: None,
            area: None,
        }
    }

    /// Whether a viewer with this scope sees a session.
    pub fn shows(&self, session: SessionId) -> bool {
        self.session.is_none_or(|only| only == session)
    }

    /// Offset of the newest change that a viewer with this scope has to see; 0 = none yet.
    pub fn head(&self, table: &Table) -> u64 {
        match self.session {
            None => table.head(self.delivery),
            // A row that is gone last changed at or before the horizon.
            Some(session) => table
                .row(session)
                .map_or(table.horizon(), |row| row.changed(self.delivery)),
        }
    }
}

/// What to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSpec<'v> {
    /// The chat's number on the wire.
    pub chat: ChatHandle,
    /// Which rows and parts.
    pub scope: Scope,
    /// Everything after this offset; 0 = a full batch.
    pub from: u64,
    /// Points of each trail to put into a full batch.
    pub trail: u8,
    /// Server time.
    pub now: Timestamp,
    /// What is served of the scope's area: its rows, and the others counted as of the table.
    pub view: Option<&'v ServedView>,
}

/// Encodes batches; numbers the snapshots of those that take several pages.
#[derive(Debug)]
pub struct BatchBuilder {
    snapshot: u32,
    /// What the last batch has cost, see [`Self::looks`].
    looks: usize,
}

impl BatchBuilder {
    /// Snapshot numbers begin after `seed`.
    pub fn new(seed: u32) -> Self {
        Self {
            snapshot: seed,
            looks: 0,
        }
    }

    /// What the last batch has cost: rows that were looked at, whether they are in it or not, and for a view
    /// the points of their trails that were.
    pub(crate) fn looks(&self) -> usize {
        self.looks
    }

    /// Encodes the changes of `table` up to [`Table::as_of`].
    pub fn build(&mut self, table: &Table, spec: &BatchSpec<'_>) -> SharedBatch {
        let (rows, looks) = select(table, spec);
        self.looks = looks;
        let header = BatchHeader {
            chat: spec.chat,
            cell: spec.view.map_or(Cell(0), ServedView::cell),
            epoch: table.epoch(),
            from: spec.from,
            to: table.as_of(),
            server_time_ms: spec.now.0,
            anchor: match spec.scope.grid {
                Some(grid) => grid.snap(table.anchor()),
                None => table.anchor(),
            },
            delivery: spec.scope.delivery,
            page: None,
        };
        let flags = usual_flags(&header, &rows, spec);
        let mut out =
            Vec::with_capacity(WEBSOCKET_HEADER_BYTES_MAX + 64 + rows.len() * ROW_BYTES_GUESS);
        out.resize(WEBSOCKET_HEADER_BYTES_MAX, 0);
        let clusters = spec
            .view
            .is_some_and(|view| view.put_clusters(spec.chat, spec.from, &mut out));
        let pages = if write_whole(&mut out, &header, flags, &rows, spec) {
            1
        } else {
            self.snapshot = self.snapshot.wrapping_add(1);
            write_pages(&mut out, header, self.snapshot, flags, &rows, spec)
        };
        let frames = pages + u32::from(clusters);
        SharedBatch::finish(spec.chat, header.from, header.to, frames, out)
    }
}

/// The rows of a batch in order of their slots, and what was looked at to find them.
fn select<'t>(table: &'t Table, spec: &BatchSpec<'_>) -> (Vec<&'t Row>, usize) {
    let cells = spec.view.map(ServedView::cells);
    let mut looks = 0;
    let wanted = |row: &&Row| {
        looks += 1;
        let is_changed = match spec.from {
            0 => !row.is_ended(),
            from => row.changed(spec.scope.delivery) > from,
        };
        is_changed
            && match (cells, spec.from) {
                (None, _) => true,
                (Some(cells), 0) => cells.shows(row),
                (Some(cells), from) => {
                    cells.presence_counted(row, from, &mut looks) != Presence::Outside
                }
            }
    };
    let mut rows: Vec<&Row> = match (spec.scope.session, spec.from) {
        (Some(session), _) => table.row(session).into_iter().filter(wanted).collect(),
        (None, 0) => table.rows_live().filter(wanted).collect(),
        (None, from) => table.changed_since(from).filter(wanted).collect(),
    };
    if spec.from > 0 {
        rows.sort_unstable_by_key(|row| row.slot());
    }
    (rows, looks)
}

/// Writes all rows into one frame; false (and nothing written) if they do not fit.
fn write_whole(
    out: &mut Vec<u8>,
    header: &BatchHeader,
    flags: Flags,
    rows: &[&Row],
    spec: &BatchSpec<'_>,
) -> bool {
    let start = out.len();
    let mut writer = BatchWriter::begin(out, header, flags);
    let fits = rows.iter().all(|row| put(&mut writer, row, spec));
    if fits {
        writer.finish();
    } else {
        out.truncate(start);
    }
    fits
}

/// Writes rows into as many frames as they take; returns how many.
fn write_pages(
    out: &mut Vec<u8>,
    mut header: BatchHeader,
    snapshot: u32,
    flags: Flags,
    rows: &[&Row],
    spec: &BatchSpec<'_>,
) -> u32 {
    let mut starts = Vec::new();
    let mut rows = rows.iter().peekable();
    while rows.peek().is_some() {
        let index = starts.len() as u32;
        header.page = Some(Page {
            snapshot,
            index,
            total: index + 1,
        });
        starts.push(out.len());
        let mut writer = BatchWriter::begin(out, &header, flags);
        while rows.next_if(|row| put(&mut writer, row, spec)).is_some() {}
        writer.finish();
    }
    let total = starts.len() as u32;
    assert!(total <= PAGES_MAX, "a batch of {total} pages");
    for start in starts {
        set_page_total(&mut out[start..], total);
    }
    total
}

/// Writes one row unless the frame is full.
fn put(writer: &mut BatchWriter<'_>, row: &Row, spec: &BatchSpec<'_>) -> bool {
    let (entry, earlier) = entry_of(row, spec);
    with_grid(&entry, earlier, spec, |entry, earlier| {
        writer.try_entry(entry, earlier, SERVER_FRAME_BYTES_MAX)
    })
}

/// An entry as the scope's grid shows it. What no grid can show is left out.
fn with_grid<'r, T>(
    entry: &EntryRef<'r>,
    earlier: Earlier<'r>,
    spec: &BatchSpec<'_>,
    write: impl FnOnce(&EntryRef<'_>, Earlier<'r>) -> T,
) -> T {
    let Some(grid) = spec.scope.grid else {
        return write(entry, earlier);
    };
    let point = entry.point.and_then(|point| grid.coarse(point));
    let has_point = point.is_some();
    let coarse = EntryRef {
        slot: entry.slot,
        descriptor: entry.descriptor,
        point: point.as_ref(),
        counter_whole: entry.counter_whole && has_point,
        skipped: 0,
        state: entry.state,
    };
    write(&coarse, earlier.without())
}

/// The flags that most of the rows have, judged by a few of them.
fn usual_flags(header: &BatchHeader, rows: &[&Row], spec: &BatchSpec<'_>) -> Flags {
    let step = (rows.len() / FLAG_SAMPLES).max(1);
    let mut seen: Vec<(Flags, usize)> = Vec::with_capacity(FLAG_SAMPLES + 1);
    for row in rows.iter().step_by(step) {
        let (entry, earlier) = entry_of(row, spec);
        let flags = with_grid(&entry, earlier, spec, |entry, earlier| {
            BatchWriter::flags_of(header, entry, earlier.len())
        });
        match seen.iter_mut().find(|(other, _)| *other == flags) {
            Some((_, count)) => *count += 1,
            None => seen.push((flags, 1)),
        }
    }
    seen.iter()
        .max_by_key(|(_, count)| *count)
        .map_or(Flags::POINT, |(flags, _)| *flags)
}

/// What a batch says of a row: the parts that changed since its `from`.
fn entry_of<'r>(row: &'r Row, spec: &BatchSpec<'_>) -> (EntryRef<'r>, Earlier<'r>) {
    if spec.from == 0 {
        return full_entry(row, spec);
    }
    match spec.view.map(|view| view.cells().presence(row, spec.from)) {
        // An end is an end, wherever it was.
        _ if row.is_ended() => changed_entry(row, spec),
        // Whoever does not know it needs all of it.
        Some(Presence::Entered) => entered(row, spec),
        Some(Presence::Left) => moved_entry(row),
        _ => changed_entry(row, spec),
    }
}

/// A row that somebody may have had before, in another state.
fn entered<'r>(row: &'r Row, spec: &BatchSpec<'_>) -> (EntryRef<'r>, Earlier<'r>) {
    let (entry, earlier) = full_entry(row, spec);
    let state = Some(row.state());
    (EntryRef { state, ..entry }, earlier)
}

/// "It is elsewhere now."
fn moved_entry(row: &Row) -> (EntryRef<'_>, Earlier<'_>) {
    let entry = EntryRef {
        slot: row.slot(),
        descriptor: None,
        point: None,
        counter_whole: false,
        skipped: 0,
        state: Some(StateMark {
            state: SessionState::Moved,
            at_ms: row.state().at_ms,
        }),
    };
    (entry, Earlier::none(row))
}

fn full_entry<'r>(row: &'r Row, spec: &BatchSpec<'_>) -> (EntryRef<'r>, Earlier<'r>) {
    let earlier = Earlier::newest(row, usize::from(spec.trail));
    let listed = earlier.len() as u64 + u64::from(row.newest().is_some());
    let skipped = match spec.scope.delivery {
        Delivery::Every => row.points_total() - listed,
        Delivery::Latest => 0,
    };
    let entry = EntryRef {
        slot: row.slot(),
        descriptor: Some(row.descriptor()),
        point: row.newest(),
        counter_whole: false,
        skipped,
        state: Some(row.state()).filter(|mark| mark.state != SessionState::Live),
    };
    (entry, earlier)
}

fn changed_entry<'r>(row: &'r Row, spec: &BatchSpec<'_>) -> (EntryRef<'r>, Earlier<'r>) {
    let every = spec.scope.delivery == Delivery::Every;
    let from = spec.from;
    // Earlier points are written relative to the newest one.
    let has_point = row.point_offset() > from || (every && row.historical_offset() > from);
    let earlier = if every && has_point {
        Earlier::since(row, from)
    } else {
        Earlier::none(row)
    };
    let lost = every && has_point && !row.trail().is_complete_since(from);
    let listed = earlier.len() as u64 + 1;
    // A point makes a session live to its viewers unless a state stands beside it.
    let not_live = row.state().state != SessionState::Live;
    let entry = EntryRef {
        slot: row.slot(),
        descriptor: (row.descriptor_offset() > from).then_some(row.descriptor()),
        point: row.newest().filter(|_| has_point),
        counter_whole: !row.counter_low_suffices(from),
        skipped: if lost { row.points_total() - listed } else { 0 },
        state: Some(row.state()).filter(|_| row.state_offset() > from || (has_point && not_live)),
    };
    (entry, earlier)
}

/// Some points of a trail, counted before they are written.
#[derive(Clone)]
struct Earlier<'r> {
    points: vec_deque::Iter<'r, TrailPoint>,
    from: u64,
    left: usize,
}

impl<'r> Earlier<'r> {
    fn none(row: &'r Row) -> Self {
        Self::newest(row, 0)
    }

    /// None of them.
    fn without(self) -> Self {
        Self {
            points: vec_deque::Iter::default(),
            left: 0,
            ..self
        }
    }

    fn newest(row: &'r Row, count: usize) -> Self {
        let points = row.trail().newest(count);
        Self {
            left: points.len(),
            points,
            from: 0,
        }
    }

    fn since(row: &'r Row, from: u64) -> Self {
        Self {
            left: row.trail().since(from).count(),
            points: row.trail().iter(),
            from,
        }
    }
}

impl<'r> Iterator for Earlier<'r> {
    type Item = &'r Point;

    fn next(&mut self) -> Option<&'r Point> {
        let from = self.from;
        let next = self.points.find(|point| point.offset > from)?;
        self.left -= 1;
        Some(&next.point)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Earlier<'_> {}
