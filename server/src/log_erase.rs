//! Takes what tells of a chat, of one of its members, or of a user everywhere out of the log and out of
//! the history, the record of views, the control log and the dead letters of webhooks.
//!
//! The owner shard first forgets ended sessions and writes a new checkpoint, behind which a restart
//! begins; when all shards have followed past it, what lies before it is then no more than history. Out of
//! that history go the points first, and what names somebody after them: rows of older checkpoints, starts,
//! memberships, crossings. An erase that was cut short finds by the names what is left of the points, so
//! it can be repeated. What else happened stays without a name: a number that ended then. Alerts are ended.
//!
//! What remains, and is reported: the names and newest points of sessions that are still live, and what
//! cannot be rewritten. Freed blocks are not overwritten.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;
use skein_engine::journal::kind;
use skein_engine::shard::forgetting::Forgotten;
use skein_log::{PartitionId, Reader, RecordRef, Rewriter};
use skein_wire::ids::{ChatName, UserName};

use crate::chat_names::ChatNames;
use crate::control::erased::ControlErased;
use crate::erase_scope::EraseScope;
use crate::history::erase::{EraseReport, EraseWhat};
use crate::log_traces::{Whose, each_named};
use crate::views::erase::ViewsErased;
use crate::webhook::erase::LettersErased;

/// Time between two looks whether the new checkpoint is durable.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Longest wait for the new checkpoint: slices of a large one are written one per pass.
const CHECKPOINT_MAX: Duration = Duration::from_secs(60);

/// Longest wait for the shards to have followed up to it.
const FOLLOW_MAX: Duration = Duration::from_secs(10);

/// Longest wait for the segment that is written to be closed and durable.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Whose traces, as far as one chat is concerned.
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
    /// Sessions that are still live: the server holds their names and newest points, and its
    /// checkpoints do.
    pub sessions_live: u64,
    /// Alerts that are ended.
    pub alerts: u64,
    /// Damaged files that were put aside and are not looked into.
    pub quarantined: Vec<String>,
    /// Damaged files of the log: what is in them is still there. A restart puts them aside.
    pub damaged: Vec<String>,
    /// Chats in which was looked.
    pub chats: u64,
    /// What was removed from the history; `None`: no history was ever kept.
    pub history: Option<EraseReport>,
    /// What was removed from the record of views; `None`: none was ever kept.
    pub views: Option<ViewsErased>,
    /// What was taken out of the dead letters of webhooks; `None`: there never was a webhook.
    pub dead_letters: Option<LettersErased>,
    /// What was taken out of the control log, and what of it still names them.
    pub control: Option<ControlErased>,
}

impl Erased {
    /// Whether something is left that should go.
    pub fn leaves_something(&self) -> bool {
        let control = self.control.unwrap_or_default();
        let damaged = !(self.quarantined.is_empty() && self.damaged.is_empty());
        self.records_left > 0 || control.records_left > 0 || damaged
    }

    /// Adds what was done in another chat.
    fn add(&mut self, other: Self) {
        self.records_removed += other.records_removed;
        self.segments_rewritten += other.segments_rewritten;
        self.records_left += other.records_left;
        self.sessions_live += other.sessions_live;
        self.alerts += other.alerts;
        self.chats += other.chats;
        add_names(&mut self.quarantined, other.quarantined);
        add_names(&mut self.damaged, other.damaged);
    }
}

fn add_names(all: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for name in more {
        if !all.contains(&name) {
            all.push(name);
        }
    }
}

/// Erases from one more place; `None`: there is no such place.
pub type OtherEraser<What, Report> = dyn Fn(&What) -> anyhow::Result<Option<Report>> + Send + Sync;

/// What else holds something of a chat or a user. Erased when the log is done: nothing is there then
/// that could become a row.
pub struct Others {
    /// The history.
    pub history: Box<OtherEraser<EraseWhat, EraseReport>>,
    /// The record of views.
    pub views: Box<OtherEraser<EraseScope, ViewsErased>>,
    /// The control log. When the log is done: the ends of alerts are in it by then.
    pub control: Box<OtherEraser<EraseScope, ControlErased>>,
    /// The dead letters of webhooks. Last: what is sent comes from the control log.
    pub dead_letters: Box<OtherEraser<EraseScope, LettersErased>>,
}

/// What an erase works with.
pub struct Means {
    /// One of each partition, in order.
    pub readers: Vec<Reader>,
    /// Rewrites segments.
    pub rewriter: Rewriter,
    /// The names of all chats.
    pub names: Arc<ChatNames>,
    /// What else there is.
    pub others: Others,
}

/// The owner of a chat, as an erase needs it. Calls may wait.
pub trait Owner {
    /// Chats that name a user as a member or in an alert.
    ///
    /// # Errors
    /// When an owner does not answer.
    fn chats_naming(&mut self, user: &UserName) -> anyhow::Result<Vec<ChatName>>;

    /// Forgets ended sessions. `None`: there is no such chat.
    ///
    /// # Errors
    /// When the owner does not answer.
    fn forget(&mut self, erase: &Erase) -> anyhow::Result<Option<Forgotten>>;

    /// Whether no shard needs a record of a chat up to this offset any more.
    ///
    /// # Errors
    /// When a shard does not answer.
    fn is_past(&mut self, chat: &ChatName, offset: u64) -> anyhow::Result<bool>;

    /// Begins a checkpoint of a partition, unless one is being written.
    ///
    /// # Errors
    /// When what it waits for cannot be had.
    fn begin_checkpoint(&mut self, partition: PartitionId) -> anyhow::Result<()>;

    /// Closes the segment that is written and has it synced.
    fn close_segment(&mut self, partition: PartitionId);
}

/// Does it. `None`: there is no such chat, so nothing of it is in the log.
///
/// # Errors
/// When an owner does not answer, no checkpoint becomes durable, the disk or a database refuses.
pub fn erase(
    scope: &EraseScope,
    owner: &mut impl Owner,
    means: &Means,
) -> anyhow::Result<Option<Erased>> {
    let chats = match (&scope.chat, &scope.user) {
        (Some(chat), _) => vec![chat.clone()],
        (None, Some(user)) => chats_of(user, owner, means)?,
        (None, None) => bail!("an erase is about a chat or a user"),
    };
    let mut erased = Erased::default();
    for chat in chats {
        let user = scope.user.clone();
        match erase_chat(&Erase { chat, user }, owner, means)? {
            Some(of_chat) => erased.add(of_chat),
            None if scope.chat.is_some() => return Ok(None),
            None => {}
        }
    }
    let left = "the log is erased, the rest is not";
    let others = &means.others;
    if let Some(what) = history_scope(scope, means) {
        erased.history = (others.history)(&what).context(left)?;
    }
    erased.views = (others.views)(scope).context(left)?;
    erased.control = (others.control)(scope).context(left)?;
    erased.dead_letters = (others.dead_letters)(scope).context(left)?;
    Ok(Some(erased))
}

/// The same in the history's words, which are handles.
fn history_scope(scope: &EraseScope, means: &Means) -> Option<EraseWhat> {
    let handle = |chat: &ChatName| means.names.handle(chat.as_str());
    Some(match (&scope.chat, scope.user.clone()) {
        (Some(chat), Some(user)) => EraseWhat::Member(handle(chat)?, user),
        (Some(chat), None) => EraseWhat::Chat(handle(chat)?),
        (None, Some(user)) => EraseWhat::User(user),
        (None, None) => return None,
    })
}

/// Points and names of one chat.
fn erase_chat(
    erase: &Erase,
    owner: &mut impl Owner,
    means: &Means,
) -> anyhow::Result<Option<Erased>> {
    let Some(forgotten) = owner.forget(erase)? else {
        return Ok(None);
    };
    let partition = PartitionId(forgotten.partition.0);
    let reader = &means.readers[usize::from(partition.0)];
    let needed_from = new_checkpoint(owner, reader)?;
    wait_for_followers(owner, &erase.chat, needed_from)?;
    let whose = Whose::new(reader, forgotten.chat.0, erase.user.as_ref());
    let mut erased = Erased {
        sessions_live: forgotten.live.len() as u64,
        alerts: forgotten.alerts,
        chats: 1,
        ..Erased::default()
    };
    let mut take = |goes: &dyn Fn(&RecordRef<'_>) -> bool| {
        let goes = |offset, record: &RecordRef<'_>| offset < needed_from && goes(record);
        take_out((partition, owner), &means.rewriter, goes, &mut erased)
    };
    // The names last: without them nobody would know whose the points are.
    if take(&|record| whose.has_point(record))? {
        let live: HashSet<u64> = forgotten.live.iter().map(|session| session.0).collect();
        take(&|record| whose.is_named(record) && !is_start_of(record, &live))?;
    }
    Ok(Some(erased))
}

/// Takes records out, those of the segment that is written included; false: something is left, or nobody
/// knows because it cannot be read.
fn take_out(
    (partition, owner): (PartitionId, &mut impl Owner),
    rewriter: &Rewriter,
    goes: impl Fn(u64, &RecordRef<'_>) -> bool,
    erased: &mut Erased,
) -> anyhow::Result<bool> {
    let began = Instant::now();
    loop {
        let report = rewriter.erase(partition, &goes)?;
        erased.records_removed += report.records_removed;
        erased.segments_rewritten += report.segments_rewritten;
        erased.records_left = report.records_left;
        erased.quarantined = report.quarantined;
        let damaged = report.damaged.into_iter().map(|segment| segment.file);
        add_names(&mut erased.damaged, damaged);
        if erased.records_left == 0 || began.elapsed() > CLOSE_MAX {
            return Ok(erased.records_left == 0 && erased.damaged.is_empty());
        }
        // They lie in the segment that is written, or that is not durable yet.
        owner.close_segment(partition);
        thread::sleep(LOOK_INTERVAL);
    }
}

/// Whether it is the start of a session that goes on: who follows late learns of it by that.
fn is_start_of(record: &RecordRef<'_>, live: &HashSet<u64>) -> bool {
    record.kind == kind::STARTED && live.contains(&record.extension)
}

/// Waits until no shard needs anything of a chat before an offset.
fn wait_for_followers(
    owner: &mut impl Owner,
    chat: &ChatName,
    needed_from: u64,
) -> anyhow::Result<()> {
    let began = Instant::now();
    while !owner.is_past(chat, needed_from)? {
        if began.elapsed() > FOLLOW_MAX {
            bail!("a shard is far behind, nothing is erased; erase again");
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
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
        owner.begin_checkpoint(reader.partition())?;
        thread::sleep(LOOK_INTERVAL);
    }
}

/// The chats in which the log or their owners name a user.
fn chats_of(
    user: &UserName,
    owner: &mut impl Owner,
    means: &Means,
) -> anyhow::Result<Vec<ChatName>> {
    let mut handles = BTreeSet::new();
    for reader in &means.readers {
        each_named(reader, user, |record| {
            handles.insert(record.key);
        });
    }
    let mut chats: BTreeSet<ChatName> = owner.chats_naming(user)?.into_iter().collect();
    for handle in handles {
        let name = means.names.name(handle);
        let name = name.and_then(|name| ChatName::new(&name).ok());
        let unknown = || format!("the control log does not know chat {handle} of the log");
        chats.insert(name.with_context(unknown)?);
    }
    Ok(chats.into_iter().collect())
}

#[cfg(test)]
#[path = "log_erase_tests.rs"]
mod tests;
