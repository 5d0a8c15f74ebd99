//! Takes the points of a chat, or of one of its members, out of the log and out of the history.
//!
//! The owner shard first forgets the points of ended sessions and writes a new checkpoint, behind which
//! a restart begins; what lies before it is then no more than history. Out of that history go the points
//! and the rows of older checkpoints, which hold points too. What happened (who shared when) stays.
//!
//! What remains, and is reported: the newest points of sessions that are still live, and what
//! cannot be rewritten. Freed blocks are not overwritten.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;
use skein_engine::journal::{Entry, kind};
use skein_engine::shard::forgetting::Forgotten;
use skein_log::{PartitionId, Reader, RecordRef, Rewriter};
use skein_wire::ids::{ChatName, UserName};

use crate::history::erase::{EraseReport, EraseWhat};
use crate::raw_record::raw;

/// Time between two looks whether the new checkpoint is durable.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Longest wait for the new checkpoint: slices of a large one are written one per pass.
const CHECKPOINT_MAX: Duration = Duration::from_secs(60);

/// Longest wait for the segment that is written to be closed and durable.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Whose points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erase {
    /// Of this chat.
    pub chat: ChatName,
    /// Only those of this member.
    pub user: Option<UserName>,
}

/// What was done, and what is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Records taken out.
    pub records_removed: u64,
    /// Segments that are new files now.
    pub segments_rewritten: u64,
    /// Records that should go and are still there; erase again.
    pub records_left: u64,
    /// Sessions that are still live: the server holds their newest points, and its checkpoints do.
    pub sessions_live: u64,
    /// Damaged files that were put aside and are not looked into.
    pub quarantined: Vec<String>,
    /// What was removed from the history; `None`: no history was ever kept.
    pub history: Option<EraseReport>,
}

impl Erased {
    /// Whether something is left that should go.
    pub fn leaves_something(&self) -> bool {
        self.records_left > 0 || !self.quarantined.is_empty()
    }
}

/// The same for the history, when the log is done: nothing is there then that could become a row.
pub type HistoryEraser = dyn Fn(EraseWhat) -> anyhow::Result<Option<EraseReport>> + Send + Sync;

/// The owner of a chat, as an erase needs it. Calls may wait.
pub trait Owner {
    /// Forgets the points of ended sessions. `None`: there is no such chat.
    ///
    /// # Errors
    /// When the owner does not answer.
    fn forget(&mut self, erase: &Erase) -> anyhow::Result<Option<Forgotten>>;

    /// Begins a checkpoint of a partition, unless one is being written.
    fn begin_checkpoint(&mut self, partition: PartitionId);

    /// Closes the segment that is written and has it synced.
    fn close_segment(&mut self, partition: PartitionId);
}

/// Does it. `None`: there is no such chat, so nothing of it is in the log.
///
/// # Errors
/// When the owner does not answer, no checkpoint becomes durable, the disk or the history's database
/// refuses.
pub fn erase(
    erase: &Erase,
    owner: &mut impl Owner,
    readers: &[Reader],
    rewriter: &Rewriter,
    history: &HistoryEraser,
) -> anyhow::Result<Option<Erased>> {
    let Some(forgotten) = owner.forget(erase)? else {
        return Ok(None);
    };
    let partition = PartitionId(forgotten.partition.0);
    let reader = &readers[usize::from(partition.0)];
    let needed_from = new_checkpoint(owner, reader)?;
    let chat = forgotten.chat.0;
    let sessions = match &erase.user {
        Some(user) => Some(sessions_of(reader, chat, user)?),
        None => None,
    };
    let goes = |offset: u64, record: &RecordRef<'_>| {
        let holds_points = matches!(
            record.kind,
            kind::POINT | kind::HISTORICAL_POINT | kind::CHECKPOINT_ROW
        );
        let concerned = |session| sessions.as_ref().is_none_or(|all| all.contains(&session));
        offset < needed_from && holds_points && record.key == chat && concerned(record.extension)
    };
    let mut erased = Erased {
        sessions_live: forgotten.sessions_live,
        ..Erased::default()
    };
    let began = Instant::now();
    loop {
        let report = rewriter.erase(partition, goes)?;
        erased.records_removed += report.records_removed;
        erased.segments_rewritten += report.segments_rewritten;
        erased.records_left = report.records_left;
        erased.quarantined = report.quarantined;
        if erased.records_left == 0 || began.elapsed() > CLOSE_MAX {
            break;
        }
        // They lie in the segment that is written, or that is not durable yet.
        owner.close_segment(partition);
        thread::sleep(LOOK_INTERVAL);
    }
    let what = match &erase.user {
        Some(user) => EraseWhat::Member(chat, user.clone()),
        None => EraseWhat::Chat(chat),
    };
    erased.history = history(what).context("the log is erased, the history is not")?;
    Ok(Some(erased))
}

/// Has a checkpoint written that begins behind all that is there now; where it begins.
fn new_checkpoint(owner: &mut impl Owner, reader: &Reader) -> anyhow::Result<u64> {
    let before = reader.appended();
    let is_new = |begin: &u64| *begin > before;
    let began = Instant::now();
    loop {
        if let Some(begin) = reader.checkpoint().filter(is_new) {
            return Ok(begin);
        }
        if began.elapsed() > CHECKPOINT_MAX {
            bail!(
                "no checkpoint became durable, nothing is erased; look at the disk, then erase again"
            );
        }
        owner.begin_checkpoint(reader.partition());
        thread::sleep(LOOK_INTERVAL);
    }
}

/// The sessions of a member in a chat that the log tells of.
fn sessions_of(reader: &Reader, chat: u32, user: &UserName) -> anyhow::Result<HashSet<u64>> {
    let mut reader = reader.clone();
    reader.seek(reader.first_offset());
    let end = reader.appended();
    let mut sessions = HashSet::new();
    while reader.position() <= end {
        let batch = match reader.next_batch() {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            // What is not there need not be erased; damage stops the rewriter.
            Err(_) => continue,
        };
        for (_, record) in batch.records() {
            let tells = matches!(record.kind, kind::STARTED | kind::CHECKPOINT_ROW);
            if !tells || record.key != chat {
                continue;
            }
            let member = match Entry::decode(&raw(&record)) {
                Ok(Entry::Started { started, .. }) => started.user,
                Ok(Entry::CheckpointRow { row, .. }) => row.started.user,
                _ => continue,
            };
            if member == *user {
                sessions.insert(record.extension);
            }
        }
    }
    Ok(sessions)
}
