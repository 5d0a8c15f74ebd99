//! What the control log adds up to: chats with their handles, members, active sessions and
//! idempotency keys.
//!
//! A pure fold over [`Command`]s: no clock, no randomness, the same commands always give the same
//! state, and maps are ordered so that a checkpoint of it has one form. It is total (a command
//! about something that is not there changes nothing) and idempotent (an index is applied once).

pub mod erasing;
pub mod v1;
pub mod v3;
pub mod v4;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skein_wire::ids::ChatHandle;

use crate::command::{Command, RIGHT_SHARE, RIGHT_WATCH};
use crate::geofence::ledger::{CrossingRecord, GeofenceLedger};
use crate::guest::{GuestRecord, guest_user};
use crate::ids::GuestId;

/// Milliseconds for which an idempotency key is known after its session's end: a client that was
/// offline for a day still gets the session it asked for, not a second one.
pub const KEY_KEPT_MS: u64 = 24 * 3600 * 1000;

/// Idempotency keys of one user in one chat. Beyond it the one that ends first is forgotten.
pub const KEYS_PER_USER_MAX: usize = 64;

/// Idempotency keys of one chat. Beyond it those that would be forgotten first are.
pub const KEYS_PER_CHAT_MAX: usize = 65_536;

/// The state after the command with index [`ControlState::applied_index`].
///
/// ```
/// use skein_engine::command::{Command, RIGHT_WATCH};
/// use skein_engine::control_state::ControlState;
/// let mut state = ControlState::default();
/// let put = Command::PutMember { chat: "hike".into(), user: "ana".into(), rights: RIGHT_WATCH };
/// let applied = state.apply(1, &put);
/// assert!(applied.changed);
/// assert_eq!(state.chat("hike").unwrap().handle, applied.handle);
/// assert!(!state.apply(1, &put).changed, "an index is applied once");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlState {
    applied_index: u64,
    /// Handles given so far; they are never reused.
    handles: u32,
    chats: BTreeMap<String, ControlChat>,
}

/// One chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlChat {
    /// Its number, from 1, for ever.
    #[serde(with = "handle_as_number")]
    pub handle: ChatHandle,
    /// User to rights.
    pub members: BTreeMap<String, u8>,
    /// Active sessions by id.
    pub sessions: BTreeMap<u64, ControlSession>,
    /// Requests by user and idempotency key.
    keys: BTreeMap<String, BTreeMap<String, ControlKey>>,
    /// Number of `keys`.
    keys_total: usize,
    /// Index of the last command that changed members; 0 = none.
    pub members_version: u64,
    /// Links for guests by id. Each is also a member.
    pub guests: BTreeMap<u64, GuestRecord>,
    /// It takes sealed sessions only.
    pub sealed: bool,
    /// Geofences and alerts, and who is inside.
    pub geofences: GeofenceLedger,
}

/// An active session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlSession {
    /// Whose.
    pub user: String,
    /// Server time, milliseconds since 1970.
    pub started_at_ms: u64,
    /// Server time of its end, milliseconds since 1970.
    pub expires_at_ms: u64,
    /// Points are sealed blobs.
    pub sealed: bool,
}

/// What an idempotency key stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlKey {
    /// The session it started.
    pub session: u64,
    /// What was asked for, seconds.
    pub duration_s: u32,
    /// Whether sealed points were asked for.
    pub sealed: bool,
    /// Server time until which the key is known, milliseconds since 1970.
    pub kept_until_ms: u64,
}

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The chat's number.
    pub handle: ChatHandle,
    /// Whether anything is different now.
    pub changed: bool,
}

impl ControlState {
    /// Index of the newest command in it; 0 = none.
    pub fn applied_index(&self) -> u64 {
        self.applied_index
    }

    /// A chat by name.
    pub fn chat(&self, name: &str) -> Option<&ControlChat> {
        self.chats.get(name)
    }

    /// Every chat, by name.
    pub fn chats(&self) -> impl ExactSizeIterator<Item = (&str, &ControlChat)> {
        self.chats.iter().map(|(name, chat)| (name.as_str(), chat))
    }

    /// Applies the command with this index, unless it or a later one was applied before.
    pub fn apply(&mut self, index: u64, command: &Command) -> Applied {
        if index <= self.applied_index {
            let handle = self
                .chats
                .get(command.chat())
                .map_or(ChatHandle(0), |chat| chat.handle);
            return Applied {
                handle,
                changed: false,
            };
        }
        self.applied_index = index;
        let (chat, is_new) = self.named(command.chat());
        let changed = chat.apply(index, command);
        Applied {
            handle: chat.handle,
            changed: changed || is_new,
        }
    }

    fn named(&mut self, name: &str) -> (&mut ControlChat, bool) {
        let is_new = !self.chats.contains_key(name);
        if is_new {
            self.handles += 1;
            self.chats
                .insert(name.to_owned(), ControlChat::new(ChatHandle(self.handles)));
        }
        let chat = self.chats.get_mut(name).expect("it was just put there");
        (chat, is_new)
    }
}

impl ControlChat {
    fn new(handle: ChatHandle) -> Self {
        Self {
            handle,
            members: BTreeMap::new(),
            sessions: BTreeMap::new(),
            keys: BTreeMap::new(),
            keys_total: 0,
            members_version: 0,
            guests: BTreeMap::new(),
            sealed: false,
            geofences: GeofenceLedger::default(),
        }
    }

    /// What this user's idempotency key stands for.
    pub fn key(&self, user: &str, key: &str) -> Option<&ControlKey> {
        self.keys.get(user)?.get(key)
    }

    /// Every idempotency key: user, key, meaning.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &str, &ControlKey)> {
        self.keys.iter().flat_map(|(user, keys)| {
            keys.iter()
                .map(move |(key, meaning)| (user.as_str(), key.as_str(), meaning))
        })
    }

    fn apply(&mut self, index: u64, command: &Command) -> bool {
        match command {
            Command::PutMember { user, rights, .. } => {
                self.members_version = index;
                self.put_member(user, *rights)
            }
            Command::PutMembers { members, .. } => {
                self.members_version = index;
                let mut changed = false;
                for (user, rights) in members {
                    changed |= self.put_member(user, *rights);
                }
                changed
            }
            Command::PutGuest { guest, record, .. } => self.put_guest(*guest, record),
            Command::RemoveGuest { guest, .. } => self.remove_guest(*guest),
            Command::RemoveMember { user, .. } => {
                self.members_version = index;
                let was_member = self.members.remove(user).is_some();
                self.geofences.end_alerts(user, 0);
                self.end_sessions_of(user) || was_member
            }
            Command::StartSession {
                session,
                user,
                started_at_ms,
                expires_at_ms,
                duration_s,
                idempotency_key,
                sealed,
                ..
            } => {
                let row = ControlSession {
                    user: user.clone(),
                    started_at_ms: *started_at_ms,
                    expires_at_ms: *expires_at_ms,
                    sealed: *sealed,
                };
                let key = ControlKey {
                    session: *session,
                    duration_s: *duration_s,
                    sealed: *sealed,
                    kept_until_ms: expires_at_ms.saturating_add(KEY_KEPT_MS),
                };
                self.remember_key(user, idempotency_key, key, *started_at_ms);
                self.sessions.insert(*session, row.clone()) != Some(row)
            }
            Command::ExtendSession {
                session,
                expires_at_ms,
                ..
            } => self.extend_session(*session, *expires_at_ms),
            Command::EndSession { session, .. } => {
                self.geofences.end_session(*session);
                self.sessions.remove(session).is_some()
            }
            Command::NameChat { .. } => false,
            Command::SealChat { sealed, .. } => self.seal(*sealed),
            Command::PutGeofence {
                geofence, record, ..
            } => !self.sealed && self.geofences.put(*geofence, record),
            Command::RemoveGeofence { geofence, .. } => self.geofences.remove(*geofence),
            Command::Cross { crossing, .. } => self.cross(crossing),
        }
    }

    /// What is told of sessions that are over by then changes nothing.
    fn cross(&mut self, crossing: &CrossingRecord) -> bool {
        let is_there = |session: u64| self.sessions.contains_key(&session);
        let is_live =
            is_there(crossing.session) && (crossing.other == 0 || is_there(crossing.other));
        is_live && self.geofences.cross(crossing)
    }

    fn put_guest(&mut self, guest: u64, record: &GuestRecord) -> bool {
        for over in self.guests_over(record.created_at_ms) {
            self.remove_guest(over);
        }
        self.put_member(guest_user(GuestId(guest)).as_str(), RIGHT_WATCH);
        self.guests.insert(guest, record.clone()).as_ref() != Some(record)
    }

    fn remove_guest(&mut self, guest: u64) -> bool {
        self.members.remove(guest_user(GuestId(guest)).as_str());
        self.guests.remove(&guest).is_some()
    }

    /// Links whose time is over.
    pub fn guests_over(&self, now_ms: u64) -> Vec<u64> {
        let over = self.guests.iter();
        over.filter(|(_, record)| record.expires_at_ms <= now_ms)
            .map(|(guest, _)| *guest)
            .collect()
    }

    /// Without the right to share no session goes on: a revocation always wins.
    fn put_member(&mut self, user: &str, rights: u8) -> bool {
        let before = self.members.insert(user.to_owned(), rights);
        self.geofences.end_alerts(user, rights);
        let ended = rights & RIGHT_SHARE == 0 && self.end_sessions_of(user);
        ended || before != Some(rights)
    }

    /// In a sealed chat no plain session goes on, and nothing is left that a geofence could judge.
    fn seal(&mut self, sealed: bool) -> bool {
        let before = self.sessions.len();
        if sealed {
            self.sessions.retain(|_, session| session.sealed);
            self.geofences.clear();
        }
        let ended = self.sessions.len() != before;
        std::mem::replace(&mut self.sealed, sealed) != sealed || ended
    }

    fn end_sessions_of(&mut self, user: &str) -> bool {
        let of_user = self.sessions.iter().filter(|(_, it)| it.user == user);
        let ended: Vec<u64> = of_user.map(|(session, _)| *session).collect();
        for session in &ended {
            self.sessions.remove(session);
            self.geofences.end_session(*session);
        }
        !ended.is_empty()
    }

    fn extend_session(&mut self, session: u64, expires_at_ms: u64) -> bool {
        let Some(row) = self.sessions.get_mut(&session) else {
            return false;
        };
        let before = std::mem::replace(&mut row.expires_at_ms, expires_at_ms);
        let kept_until_ms = expires_at_ms.saturating_add(KEY_KEPT_MS);
        let of_user = self
            .keys
            .get_mut(&row.user)
            .into_iter()
            .flat_map(BTreeMap::values_mut);
        for key in of_user.filter(|key| key.session == session) {
            key.kept_until_ms = kept_until_ms;
        }
        before != expires_at_ms
    }

    fn remember_key(&mut self, user: &str, key: &str, meaning: ControlKey, now_ms: u64) {
        if key.is_empty() {
            return;
        }
        if self.keys_total >= KEYS_PER_CHAT_MAX {
            self.forget_keys(now_ms);
        }
        let of_user = self.keys.entry(user.to_owned()).or_default();
        let before = of_user.len();
        make_room(of_user, now_ms);
        self.keys_total -= before - of_user.len();
        self.keys_total += usize::from(of_user.insert(key.to_owned(), meaning).is_none());
    }

    /// Drops what is over, and if that is not an eighth, the eighth that ends first.
    fn forget_keys(&mut self, now_ms: u64) {
        let mut ends: Vec<u64> = self.keys().map(|(_, _, key)| key.kept_until_ms).collect();
        ends.sort_unstable();
        let eighth = ends.get(ends.len() / 8).copied().unwrap_or(0);
        let until_ms = eighth.max(now_ms);
        for of_user in self.keys.values_mut() {
            of_user.retain(|_, key| key.kept_until_ms > until_ms);
        }
        self.keys.retain(|_, of_user| !of_user.is_empty());
        self.keys_total = self.keys.values().map(BTreeMap::len).sum();
    }
}

/// Drops what is over and, if need be, what ends first, until one more key fits.
fn make_room(keys: &mut BTreeMap<String, ControlKey>, now_ms: u64) {
    keys.retain(|_, key| key.kept_until_ms > now_ms);
    while keys.len() >= KEYS_PER_USER_MAX {
        let first = keys.iter().min_by_key(|(_, key)| key.kept_until_ms);
        let Some(first) = first.map(|(name, _)| name.clone()) else {
            return;
        };
        keys.remove(&first);
    }
}

/// A handle is a plain number in a checkpoint.
mod handle_as_number {
    use serde::{Deserialize, Deserializer, Serializer};
    use skein_wire::ids::ChatHandle;

    pub fn serialize<S: Serializer>(handle: &ChatHandle, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(handle.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ChatHandle, D::Error> {
        u32::deserialize(deserializer).map(ChatHandle)
    }
}

#[cfg(test)]
mod tests {
    use crate::command::{Command, RIGHT_SHARE, RIGHT_WATCH};
    use crate::control_state::{ControlState, KEY_KEPT_MS, KEYS_PER_CHAT_MAX, KEYS_PER_USER_MAX};
    use crate::geofence::ledger::CrossingRecord;
    use crate::geofence::record::{GeofenceRecord, Shape};
    use crate::guest::GuestRecord;

    fn put(chat: &str, user: &str, rights: u8) -> Command {
        Command::PutMember {
            chat: chat.into(),
            user: user.into(),
            rights,
        }
    }

    fn start(session: u64, key: &str, started_at_ms: u64) -> Command {
        Command::StartSession {
            chat: "c".into(),
            session,
            user: "u".into(),
            started_at_ms,
            expires_at_ms: started_at_ms + 1000,
            duration_s: 1,
            idempotency_key: key.into(),
            sealed: false,
        }
    }

    fn fold(commands: &[Command]) -> ControlState {
        let mut state = ControlState::default();
        for (index, command) in commands.iter().enumerate() {
            state.apply(index as u64 + 1, command);
        }
        state
    }

    #[test]
    fn handles_are_given_once_and_never_again() {
        let mut state = fold(&[put("a", "u", 3), put("b", "u", 3), put("a", "v", 3)]);
        let handle = |state: &ControlState, name| state.chat(name).unwrap().handle.0;
        assert_eq!((handle(&state, "a"), handle(&state, "b")), (1, 2));
        let remove = Command::RemoveMember {
            chat: "b".into(),
            user: "u".into(),
        };
        assert_eq!(state.apply(4, &remove).handle.0, 2);
        assert_eq!(state.apply(5, &put("d", "u", 3)).handle.0, 3);
    }

    #[test]
    fn members_have_the_version_of_their_last_change() {
        let state = fold(&[put("c", "u", 3), start(7, "k", 0)]);
        assert_eq!(state.chat("c").unwrap().members_version, 1);
        let many = Command::PutMembers {
            chat: "c".into(),
            members: vec![("v".into(), 1), ("u".into(), RIGHT_WATCH)],
        };
        let state = fold(&[put("c", "u", 3), start(7, "k", 0), many]);
        let chat = state.chat("c").unwrap();
        assert_eq!(chat.members_version, 3);
        assert_eq!((chat.members["u"], chat.members["v"]), (RIGHT_WATCH, 1));
        assert!(chat.sessions.is_empty(), "without the right to share");
    }

    #[test]
    fn a_link_is_a_member_until_it_is_removed_or_over() {
        let link = |guest, created_at_ms| Command::PutGuest {
            chat: "c".into(),
            guest,
            record: GuestRecord {
                session: 0,
                last_only: true,
                grid_m: 0,
                viewers_max: 0,
                created_at_ms,
                expires_at_ms: created_at_ms + 100,
                label: String::new(),
            },
        };
        let mut state = fold(&[link(1, 0), link(2, 50)]);
        let members = |state: &ControlState| state.chat("c").unwrap().members.len();
        assert_eq!(members(&state), 2);
        state.apply(3, &link(3, 100));
        let chat = state.chat("c").unwrap();
        assert_eq!(chat.guests.keys().collect::<Vec<_>>(), [&2, &3]);
        assert_eq!(members(&state), 2);
        assert_eq!(state.chat("c").unwrap().members_version, 0);
        let remove = Command::RemoveGuest {
            chat: "c".into(),
            guest: 3,
        };
        assert!(state.apply(4, &remove).changed);
        assert_eq!(members(&state), 1);
    }

    #[test]
    fn geofences_go_with_what_they_stand_on() {
        let gate = |geofence, owner: &str, session| Command::PutGeofence {
            chat: "c".into(),
            geofence,
            record: GeofenceRecord {
                name: geofence.to_string(),
                owner: owner.into(),
                claim: 0,
                shape: Shape::Circle {
                    lat_e6: 1,
                    lon_e6: 1,
                    radius_m: 100,
                },
                user: String::new(),
                session,
                dwell_s: 0,
                once: false,
                created_at_ms: 1,
                expires_at_ms: 0,
            },
        };
        let cross = Command::Cross {
            chat: "c".into(),
            crossing: CrossingRecord {
                geofence: 1,
                name: "1".into(),
                owner: String::new(),
                kind: 1,
                session: 7,
                user: "u".into(),
                other: 0,
                other_user: String::new(),
                at_ms: 1,
            },
        };
        let begin = [
            put("c", "u", 3),
            put("c", "v", 3),
            start(7, "k", 0),
            gate(1, "", 0),
            gate(2, "v", 0),
            gate(3, "u", 7),
            cross.clone(),
        ];
        let after = |more: &[Command]| {
            let state = fold(&[&begin[..], more].concat());
            let geofences = &state.chat("c").unwrap().geofences;
            let left: Vec<u64> = geofences.iter().map(|(id, _)| id).collect();
            let inside = geofences.iter().map(|(_, entry)| entry.inside.len());
            (left, inside.sum::<usize>())
        };
        let remove = |user: &str| Command::RemoveMember {
            chat: "c".into(),
            user: user.into(),
        };
        let seal = Command::SealChat {
            chat: "c".into(),
            sealed: true,
        };
        let end = Command::EndSession {
            chat: "c".into(),
            session: 7,
            state: 3,
            at_ms: 5,
            user: "u".into(),
        };
        assert_eq!(after(&[]), (vec![1, 2, 3], 1));
        assert_eq!(after(&[put("c", "v", RIGHT_SHARE)]), (vec![1, 3], 1));
        assert_eq!(after(&[remove("v")]), (vec![1, 3], 1));
        assert_eq!(
            after(&[put("c", "u", RIGHT_WATCH)]),
            (vec![1, 2], 0),
            "the session is over"
        );
        assert_eq!(after(&[remove("u")]), (vec![1, 2], 0));
        assert_eq!(after(std::slice::from_ref(&end)), (vec![1, 2], 0));
        assert_eq!(after(&[end, cross]), (vec![1, 2], 0), "too late");
        assert_eq!(after(&[seal, gate(4, "", 0)]), (vec![], 0));
    }

    #[test]
    fn an_index_is_applied_once() {
        let mut state = fold(&[put("a", "u", 3)]);
        let before = state.clone();
        assert!(!state.apply(1, &put("z", "u", 3)).changed);
        assert_eq!(state, before);
    }

    #[test]
    fn an_ended_session_does_not_come_back_by_extension() {
        let end = Command::EndSession {
            chat: "c".into(),
            session: 7,
            state: 3,
            at_ms: 5,
            user: "u".into(),
        };
        let extend = Command::ExtendSession {
            chat: "c".into(),
            session: 7,
            expires_at_ms: 99,
            user: "u".into(),
        };
        let state = fold(&[put("c", "u", 3), start(7, "k", 0), end, extend]);
        assert!(state.chat("c").unwrap().sessions.is_empty());
    }

    #[test]
    fn a_lost_right_ends_the_sessions() {
        let members = [put("c", "u", RIGHT_SHARE | RIGHT_WATCH), start(7, "k", 0)];
        let removed = Command::RemoveMember {
            chat: "c".into(),
            user: "u".into(),
        };
        for last in [removed, put("c", "u", RIGHT_WATCH)] {
            let state = fold(&[members[0].clone(), members[1].clone(), last]);
            assert!(state.chat("c").unwrap().sessions.is_empty());
        }
        let state = fold(&[
            members[0].clone(),
            members[1].clone(),
            put("c", "u", RIGHT_SHARE),
        ]);
        assert_eq!(state.chat("c").unwrap().sessions.len(), 1);
    }

    #[test]
    fn a_key_is_known_for_a_day_after_its_session() {
        let mut state = fold(&[put("c", "u", 3), start(1, "old", 0)]);
        assert_eq!(state.chat("c").unwrap().key("u", "old").unwrap().session, 1);
        state.apply(3, &start(2, "new", KEY_KEPT_MS + 999));
        assert!(state.chat("c").unwrap().key("u", "old").is_some());
        state.apply(4, &start(3, "newer", KEY_KEPT_MS + 1000));
        assert!(state.chat("c").unwrap().key("u", "old").is_none());
        assert_eq!(state.chat("c").unwrap().keys().count(), 2);
    }

    #[test]
    fn keys_of_a_user_are_bounded() {
        let mut state = ControlState::default();
        for n in 1..=(KEYS_PER_USER_MAX as u64 + 10) {
            state.apply(n, &start(n, &n.to_string(), n));
        }
        let chat = state.chat("c").unwrap();
        assert_eq!(chat.keys().count(), KEYS_PER_USER_MAX);
        assert!(chat.key("u", "11").is_some());
        assert!(chat.key("u", "10").is_none());
    }

    #[test]
    fn keys_of_a_chat_are_bounded() {
        let mut state = ControlState::default();
        for n in 1..=(KEYS_PER_CHAT_MAX as u64 + 10) {
            let mut command = start(n, "k", n);
            if let Command::StartSession { user, .. } = &mut command {
                *user = n.to_string();
            }
            state.apply(n, &command);
        }
        let chat = state.chat("c").unwrap();
        assert!(chat.keys().count() <= KEYS_PER_CHAT_MAX);
        assert!(
            chat.key(&(KEYS_PER_CHAT_MAX + 10).to_string(), "k")
                .is_some()
        );
        assert!(chat.key("1", "k").is_none());
    }
}
