//! Which records of a partition tell of somebody: by a session that is theirs, or by their name.

use std::collections::HashSet;

use skein_engine::journal::{Entry, kind};
use skein_log::{Reader, RecordRef};
use skein_wire::ids::UserName;

use crate::raw_record::raw;

/// Whose records of a chat: a member's, or everybody's.
pub struct Whose<'a> {
    chat: u32,
    user: Option<Member<'a>>,
}

struct Member<'a> {
    name: &'a UserName,
    /// What the partition calls theirs.
    sessions: HashSet<u64>,
}

impl<'a> Whose<'a> {
    /// Of the chat with this key; reads the partition for the sessions of a member.
    pub fn new(reader: &Reader, chat: u32, user: Option<&'a UserName>) -> Self {
        let user = user.map(|name| {
            let mut sessions = HashSet::new();
            each_named(reader, name, |record| {
                if record.key == chat && tells_of_session(record.kind) {
                    sessions.insert(record.extension);
                }
            });
            Member { name, sessions }
        });
        Self { chat, user }
    }

    /// Whether it is a point of theirs and nothing else.
    pub fn has_point(&self, record: &RecordRef<'_>) -> bool {
        let is_point = matches!(record.kind, kind::POINT | kind::HISTORICAL_POINT);
        is_point && record.key == self.chat && self.has_session(record.extension)
    }

    /// Whether it names them, or the session of theirs that was in a crossing.
    pub fn is_named(&self, record: &RecordRef<'_>) -> bool {
        if record.key != self.chat || !has_name(record.kind) {
            return false;
        }
        self.user
            .as_ref()
            .is_none_or(|member| names(record, member.name))
    }

    fn has_session(&self, session: u64) -> bool {
        let user = self.user.as_ref();
        user.is_none_or(|member| member.sessions.contains(&session))
    }
}

/// Hands every record of a partition that names a user to `take`.
pub fn each_named(reader: &Reader, user: &UserName, mut take: impl FnMut(&RecordRef<'_>)) {
    let mut reader = reader.clone();
    reader.seek(reader.first_offset());
    let end = reader.appended();
    while reader.position() <= end {
        let batch = match reader.next_batch() {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            // What is not there need not be erased; damage stops the rewriter.
            Err(_) => continue,
        };
        for (_, record) in batch.records() {
            if has_name(record.kind) && names(&record, user) {
                take(&record);
            }
        }
    }
}

/// Kinds that say who a session's member is.
fn tells_of_session(kind: u8) -> bool {
    matches!(kind, kind::STARTED | kind::CHECKPOINT_ROW)
}

/// Kinds that have a name in them.
fn has_name(kind: u8) -> bool {
    let of_member = matches!(
        kind,
        kind::MEMBER_PUT | kind::MEMBER_REMOVED | kind::CHECKPOINT_MEMBER | kind::CROSSED
    );
    of_member || tells_of_session(kind)
}

/// Whether a record of such a kind names a user.
fn names(record: &RecordRef<'_>, user: &UserName) -> bool {
    match Entry::decode(&raw(record)) {
        Ok(Entry::Started { started, .. }) => started.user == *user,
        Ok(Entry::CheckpointRow { row, .. }) => row.started.user == *user,
        Ok(
            Entry::MemberPut { user: member, .. }
            | Entry::MemberRemoved { user: member }
            | Entry::CheckpointMember { user: member, .. },
        ) => member == *user,
        Ok(Entry::Crossed { crossed, .. }) => {
            let other = crossed.other.as_ref().map(|(_, other)| other);
            let named = [Some(&crossed.user), other, crossed.owner.as_ref()];
            named.into_iter().flatten().any(|member| member == user)
        }
        _ => false,
    }
}
