//! Batches, parsed once for all viewers of a process that get the same bytes.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use skein_wire::batch::{Batch, BatchHeader, Entry, WireCounter};
use skein_wire::ids::{Counter, SessionId, UserName};

use crate::fault::Fault;

/// Batches that are kept: those that a pass hands out, of a few chats.
const BATCHES_KEPT: usize = 32;

/// What a load generator needs of a batch.
#[derive(Debug)]
pub struct Parsed {
    /// What stands before the entries.
    pub header: BatchHeader,
    /// The rows.
    pub rows: Vec<ParsedRow>,
}

/// What it needs of a row.
#[derive(Debug)]
pub struct ParsedRow {
    /// The session's place.
    pub slot: u32,
    /// Who shares, if the row says so, and the exact counter of the newest point.
    pub descriptor: Option<ParsedDescriptor>,
    /// The newest point's counter.
    pub newest: Option<WireCounter>,
    /// How far the earlier points lie behind it, oldest first.
    pub behind: Vec<u64>,
    /// Points so far that the row does not list.
    pub skipped: u64,
    /// Nothing follows.
    pub ended: bool,
}

/// Who shares.
#[derive(Debug)]
pub struct ParsedDescriptor {
    /// The session.
    pub session: SessionId,
    /// Whose it is.
    pub user: UserName,
    /// Exact counter of its newest point.
    pub counter: Counter,
}

/// The batches seen last.
#[derive(Debug, Default)]
pub struct BatchCache {
    kept: VecDeque<(Bytes, Rc<Parsed>)>,
}

impl BatchCache {
    /// Parses the body of a `Batch`, or remembers it.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(&mut self, body: &[u8]) -> Result<Rc<Parsed>, Fault> {
        // Different batches differ in their first bytes: this costs nothing but for the equal one.
        let known = self.kept.iter().find(|(bytes, _)| bytes == body);
        if let Some((_, parsed)) = known {
            return Ok(Rc::clone(parsed));
        }
        let bytes = Bytes::copy_from_slice(body);
        let batch = Batch::decode(&bytes)?;
        let parsed = Rc::new(Parsed {
            header: batch.header,
            rows: batch.entries.iter().map(row).collect(),
        });
        if self.kept.len() >= BATCHES_KEPT {
            self.kept.pop_back();
        }
        self.kept.push_front((bytes, Rc::clone(&parsed)));
        Ok(parsed)
    }
}

fn row(entry: &Entry) -> ParsedRow {
    let descriptor = entry
        .descriptor
        .as_ref()
        .map(|descriptor| ParsedDescriptor {
            session: descriptor.session,
            user: descriptor.user.clone(),
            counter: descriptor.counter,
        });
    ParsedRow {
        slot: entry.slot.0,
        descriptor,
        newest: entry.point.as_ref().map(|point| point.counter),
        behind: entry.earlier.iter().map(|point| point.behind).collect(),
        skipped: entry.skipped,
        ended: entry.state.is_some_and(|mark| mark.state.is_ended()),
    }
}
