//! Restart: partitions are opened, chats restored from the control log, the log replayed, and what
//! the two say is made one.
//!
//! The control log is the truth about promises, the partition about what was seen. An active session
//! without a row gets one; a live row without an active session gets its end; where the partition says
//! ended and the control log does not, ended wins and is promised again. Of members the control log is
//! right: a grant that was acknowledged must not get lost with a tail that was not synced.

use skein_wire::ids::{ChatHandle, ChatName, SessionId, UserName};
use skein_wire::update::SessionState;

use crate::control_state::ControlChat;
use crate::counter_window::CounterWindow;
use crate::ids::{GuestId, PartitionId};
use crate::journal::{Entry, Started, kind};
use crate::owner::{Key, Owner};
use crate::record::RawRecord;
use crate::recovering::Recovering;
use crate::rights::Rights;
use crate::session::Session;
use crate::shard::Shard;
use crate::time::Timestamp;

/// What the partition says about an active session that it does not say has ended.
enum RowState {
    Missing,
    Live {
        state: SessionState,
        expires_at_ms: u64,
    },
}

impl Shard {
    /// A partition that this shard owns: its writers so far as (epoch, first offset), this life's
    /// included, and the offset that its next record will have.
    pub fn open_partition(
        &mut self,
        partition: PartitionId,
        epochs: &[(u32, u64)],
        next_offset: u64,
    ) {
        if let Some(state) = self.partition(partition) {
            state.is_owned = true;
            state.is_followed = true;
            state.epochs = epochs.to_vec();
            state.followed = next_offset.saturating_sub(1);
        }
    }

    /// A chat as the control log says it is. Chats of other shards are ignored.
    pub fn restore_chat(&mut self, name: &str, control: &ControlChat) {
        let Ok(name) = ChatName::new(name) else {
            return;
        };
        if self.owner_of_name(&name) != self.config.shard {
            return;
        }
        let handle = control.handle;
        self.ensure_chat(self.now, &name, handle);
        if let Some(chat) = self.chats.get_mut(handle) {
            chat.table.begin_restore();
        }
        self.restore_sessions(handle, control);
        self.restore_keys(handle, control);
        if let Some(owner) = self.chats.owner_mut(handle) {
            owner.members_version = control.members_version;
            owner.sealed_only = control.sealed;
            owner.geofences.restore(&control.geofences);
            let guests = control.guests.iter();
            owner.guests = guests
                .map(|(guest, record)| (GuestId(*guest), record.clone()))
                .collect();
        }
        self.recovering
            .insert(handle, Recovering::new(control.clone()));
    }

    fn restore_sessions(&mut self, chat: ChatHandle, control: &ControlChat) {
        let now = self.now;
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        for (id, session) in &control.sessions {
            let Ok(user) = UserName::new(&session.user) else {
                continue;
            };
            let times_ms = (session.started_at_ms, session.expires_at_ms);
            let session = Session::new(now, user, times_ms, session.sealed);
            owner.sessions.insert(SessionId(*id), session);
        }
    }

    fn restore_keys(&mut self, chat: ChatHandle, control: &ControlChat) {
        let now = self.now;
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        for (user, text, key) in control.keys() {
            let Ok(user) = UserName::new(user) else {
                continue;
            };
            let key = Key {
                text: text.to_owned(),
                session: SessionId(key.session),
                duration_s: key.duration_s,
                sealed: key.sealed,
                kept_until_ms: key.kept_until_ms,
            };
            owner.remember_key(now, &user, key);
        }
        if !owner.has_no_keys() {
            self.sweep_keys_later(now, chat);
        }
    }

    /// A record of an owned partition, from the newest checkpoint's beginning (or the first one that
    /// is there) to the last, in order.
    pub fn replay(
        &mut self,
        partition: PartitionId,
        offset: u64,
        time_ms: u64,
        record: RawRecord<'_>,
    ) {
        self.note_replay(partition, offset, &record);
        let chat = ChatHandle(record.key);
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        if known.partition != partition {
            return;
        }
        let Ok(entry) = Entry::decode(&record) else {
            self.stats.records_strange += 1;
            return;
        };
        known.table.apply(offset, time_ms, &entry);
        if let Some(recovering) = self.recovering.get_mut(&chat) {
            recovering.note(&entry);
        }
        match &entry {
            Entry::MemberPut { user, rights } | Entry::CheckpointMember { user, rights } => {
                let rights = Rights::from_bits(*rights);
                known.members.put(user, rights);
            }
            Entry::MemberRemoved { user } => {
                known.members.put(user, Rights::NONE);
            }
            _ => {
                if let Some(owner) = known.owner_mut() {
                    replay_admission(owner, &entry);
                }
            }
        }
    }

    /// A log whose beginning was dropped knows nothing of earlier ends, unless a whole checkpoint
    /// tells of them.
    fn note_replay(&mut self, partition: PartitionId, offset: u64, record: &RawRecord<'_>) {
        let Some(state) = self.partition(partition) else {
            return;
        };
        state.replay_horizon.get_or_insert(offset - 1);
        match record.kind {
            kind::CHECKPOINT_BEGIN => state.checkpoint_begun = Some((offset, record.extension)),
            kind::CHECKPOINT_END => {
                let begun = state.checkpoint_begun.take();
                if begun.is_some_and(|(_, number)| number == record.extension) {
                    state.replay_horizon = Some(0);
                }
            }
            _ => {}
        }
    }

    /// The log is replayed. Makes partitions and control log one, through outputs; sessions whose
    /// time ran out meanwhile end at once. From here on the shard serves.
    pub fn finish_recovery(&mut self, now: Timestamp) {
        self.tick(now);
        self.is_serving = true;
        for state in &mut self.partitions {
            // A checkpoint that the stop cut off stays unfinished.
            state.checkpoint_begun = None;
        }
        for chat in self.chats.handles(|chat| chat.owner().is_some()) {
            self.finish_table(chat);
            if let Some(recovering) = self.recovering.remove(&chat) {
                self.reconcile_members(chat, &recovering.control);
                self.reconcile_sessions(now, chat, &recovering);
                self.reconcile_rows(now, chat, &recovering.control);
                // One that was promised after the chat was sealed, by a server that died of it.
                if recovering.control.sealed {
                    self.close_to_plain(now, chat);
                }
            }
            self.take_up_geofences(chat);
            self.take_up_links(now, chat);
            self.forget_later(chat);
        }
        self.sum();
        self.settle(now);
    }

    fn finish_table(&mut self, chat: ChatHandle) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        let partition = &self.partitions[usize::from(known.partition.0)];
        let horizon = partition.replay_horizon.unwrap_or(0);
        known.table.restore_horizon(horizon);
        known.table.finish_restore();
        known.table.forget_behind_horizon();
        known.table.set_epoch(partition.epoch());
    }

    fn reconcile_members(&mut self, chat: ChatHandle, control: &ControlChat) {
        let Some(known) = self.chats.get(chat) else {
            return;
        };
        let mut wanted: Vec<(UserName, Rights)> = Vec::new();
        for (user, rights) in &control.members {
            if let Ok(user) = UserName::new(user) {
                wanted.push((user, Rights::from_bits(*rights)));
            }
        }
        for (user, _) in known.members.iter() {
            if !control.members.contains_key(user.as_str()) {
                wanted.push((user.clone(), Rights::NONE));
            }
        }
        wanted.retain(|(user, rights)| known.rights_followed(user) != *rights);
        for (user, rights) in wanted {
            self.append_rights(chat, &user, rights);
        }
    }

    fn reconcile_sessions(&mut self, now: Timestamp, chat: ChatHandle, recovering: &Recovering) {
        for (id, session) in &recovering.control.sessions {
            let Ok(user) = UserName::new(&session.user) else {
                continue;
            };
            let id = SessionId(*id);
            if let Some(state) = recovering.ended(id) {
                if let Some(session) = self.chats.session_mut(chat, id) {
                    session.ended = Some(state);
                }
                self.promise_end(now, chat, id, user, None);
                if let Some(owner) = self.chats.owner_mut(chat) {
                    owner.sessions.remove(&id);
                }
                continue;
            }
            match self.row_state(chat, id) {
                RowState::Missing => self.append_missing_row(chat, id),
                RowState::Live {
                    state,
                    expires_at_ms,
                } => {
                    self.take_up(now, chat, id, state);
                    if expires_at_ms != session.expires_at_ms {
                        let entry = Entry::Extended {
                            session: id,
                            expires_at_ms: session.expires_at_ms,
                        };
                        self.append(chat, &entry);
                    }
                }
            }
            self.stats.sessions_live += 1;
            if session.expires_at_ms <= now.0 {
                self.end(now, chat, id, SessionState::Expired);
                self.promise_end(now, chat, id, user, None);
            } else {
                self.arm(chat, id);
            }
        }
    }

    fn row_state(&self, chat: ChatHandle, id: SessionId) -> RowState {
        let row = self.chats.get(chat).and_then(|chat| chat.table.row(id));
        match row {
            None => RowState::Missing,
            Some(row) => RowState::Live {
                state: row.state().state,
                expires_at_ms: row.descriptor().expires_at_ms,
            },
        }
    }

    fn append_missing_row(&mut self, chat: ChatHandle, id: SessionId) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        let Some(slot) = known.table.reserve_slot() else {
            return;
        };
        let live = known.owner().and_then(|owner| owner.sessions.get(&id));
        let Some(live) = live else {
            return;
        };
        let started = Started {
            slot,
            user: live.user.clone(),
            started_at_ms: live.started_at_ms,
            expires_at_ms: live.expires_at_ms,
            sealed: live.sealed,
        };
        let session = id;
        self.append(chat, &Entry::Started { session, started });
    }

    /// The sender has the usual time to say a word before it counts as silent.
    fn take_up(&mut self, now: Timestamp, chat: ChatHandle, id: SessionId, state: SessionState) {
        let Some(known) = self.chats.get_mut(chat) else {
            return;
        };
        let counter = known.table.row(id).map(|row| row.descriptor().counter);
        let Some(owner) = known.owner_mut() else {
            return;
        };
        if let Some(live) = owner.sessions.get_mut(&id) {
            if let Some(counter) = counter {
                live.window.accept_live(counter);
            }
            live.followed = live.window.last();
            live.state = state;
            live.hear(now);
        }
    }

    /// Live rows whose session is over.
    fn reconcile_rows(&mut self, now: Timestamp, chat: ChatHandle, control: &ControlChat) {
        let Some(known) = self.chats.get(chat) else {
            return;
        };
        let mut ends = Vec::new();
        for row in known.table.rows_live() {
            let descriptor = row.descriptor();
            if control.sessions.contains_key(&descriptor.session.0) {
                continue;
            }
            let rights = control.members.get(descriptor.user.as_str());
            let rights = Rights::from_bits(*rights.unwrap_or(&0));
            // Where tokens bring rights, those who are not in the table are not revoked.
            let by_token = self.config.limits.rights_from_tokens && !rights.is_revoked();
            let state = if !rights.has(Rights::SHARE) && !by_token {
                SessionState::Revoked
            } else if descriptor.expires_at_ms <= now.0 {
                SessionState::Expired
            } else {
                SessionState::Stopped
            };
            ends.push(Entry::Ended {
                session: descriptor.session,
                state,
                at_ms: now.0,
            });
        }
        for end in ends {
            self.append(chat, &end);
        }
    }
}

/// What a record says about which counters its session has used.
fn replay_admission(owner: &mut Owner, entry: &Entry) {
    let session = entry.session();
    let Some(live) = session.and_then(|session| owner.sessions.get_mut(&session)) else {
        return;
    };
    match entry {
        Entry::Point { point, .. } => {
            live.window.accept_live(point.counter);
        }
        Entry::HistoricalPoint { point, .. } => {
            live.window.accept_historical(point.counter);
        }
        Entry::CheckpointRow { row, .. } => {
            if let Some(window) = CounterWindow::decode(&row.admission) {
                live.window.merge(&window);
            }
        }
        _ => {}
    }
}
