//! What only the owner of a chat keeps: admission state of its sessions, what is on its way to the
//! log or the control log, and which shards mirror it.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use skein_wire::ids::{SessionId, UserName};

use crate::caller::Caller;
use crate::control_state::KEYS_PER_USER_MAX;
use crate::geofence::book::GeofenceBook;
use crate::guest::GuestRecord;
use crate::ids::{GuestId, ShardId};
use crate::image_walk::Images;
use crate::limits::SESSION_BYTES_ESTIMATE;
use crate::looks::Looks;
use crate::peer_message::Start;
use crate::rights::Rights;
use crate::session::Session;
use crate::time::Timestamp;

/// The owner's half of a chat.
#[derive(Debug, Default)]
pub(crate) struct Owner {
    pub sessions: HashMap<SessionId, Session, RandomState>,
    /// Sessions that are asked for: proposed, or on their way through the log.
    pub starting: HashMap<SessionId, Starting, RandomState>,
    /// New ends on their way through the log.
    pub extending: Vec<Extending>,
    /// Sessions that have ended and whose end is not a promise yet: place of the obligation.
    pub ending: HashMap<SessionId, u64, RandomState>,
    pub mirrors: Vec<MirroredBy>,
    /// Images for shards that begin to mirror it.
    pub images: Images,
    /// Places of the changes of rights that are not done.
    pub changes: Vec<u64>,
    /// Index of the last command that changed members; 0 = none.
    pub members_version: u64,
    /// It takes sealed sessions only.
    pub sealed_only: bool,
    /// What was asked for about that and is no promise yet: places, and whether it was to be sealed.
    pub seals: Vec<(u64, bool)>,
    /// Links for guests.
    pub guests: BTreeMap<GuestId, GuestRecord>,
    /// Those whose end is asked for by nobody and is no promise yet.
    pub ending_links: BTreeSet<GuestId>,
    /// How many watch through each link now.
    pub guest_viewers: HashMap<GuestId, u32, RandomState>,
    /// Geofences and alerts, and where sessions stand towards them.
    pub geofences: GeofenceBook,
    /// Who looked at it over HTTP lately.
    pub looks: Looks,
    /// Rights as the newest record says them, while it is on its way through the log, and how many
    /// records of the user are.
    rights_ahead: HashMap<UserName, (Rights, u32), RandomState>,
    /// Restrictions that have acted and are not promises yet, in the order they were received.
    restrictions: Vec<Restriction>,
    keys: HashMap<UserName, Vec<Key>, RandomState>,
}

/// A session that is asked for.
#[derive(Debug)]
pub(crate) struct Starting {
    pub start: Start,
    pub started_at_ms: u64,
    pub expires_at_ms: u64,
    /// Who waits; several with one idempotency key.
    pub callers: Vec<Caller>,
}

/// A new end of a session.
#[derive(Debug)]
pub(crate) struct Extending {
    pub session: SessionId,
    pub expires_at_ms: u64,
    pub callers: Vec<Caller>,
}

/// A shard that mirrors the chat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MirroredBy {
    pub shard: ShardId,
    /// What its viewers want; 0 = none.
    pub demand_ms: u32,
}

#[derive(Debug)]
struct Restriction {
    order: u64,
    user: UserName,
    ceiling: Rights,
}

/// What an idempotency key stands for.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub text: String,
    pub session: SessionId,
    pub duration_s: u32,
    pub sealed: bool,
    pub kept_until_ms: u64,
}

impl Owner {
    /// Rights for what is asked now: those of the newest record, less what is being taken away.
    pub fn rights(&self, user: &UserName, followed: Rights) -> Rights {
        self.ceiling(user, 0).and(self.rights_ahead(user, followed))
    }

    /// What restrictions received after `order` leave of all rights.
    pub fn ceiling(&self, user: &UserName, order: u64) -> Rights {
        self.restrictions
            .iter()
            .filter(|restriction| restriction.user == *user && restriction.order > order)
            .fold(Rights::ALL, |rights, restriction| {
                rights.and(restriction.ceiling)
            })
    }

    /// Rights as the newest record says them, followed or not.
    pub fn rights_ahead(&self, user: &UserName, followed: Rights) -> Rights {
        self.rights_ahead
            .get(user)
            .map_or(followed, |(rights, _)| *rights)
    }

    /// Whether a record about the user is on its way through the log.
    pub fn is_row_ahead(&self, user: &UserName) -> bool {
        self.rights_ahead.contains_key(user)
    }

    /// A record about the user goes to the log.
    pub fn row_sent(&mut self, user: &UserName, rights: Rights) {
        let ahead = self.rights_ahead.entry(user.clone()).or_default();
        *ahead = (rights, ahead.1 + 1);
    }

    /// A record about the user came back.
    pub fn row_followed(&mut self, user: &UserName) {
        if let Some((_, count)) = self.rights_ahead.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.rights_ahead.remove(user);
            }
        }
    }

    /// From now on the user has no right beyond `ceiling`, until the promise is made or superseded.
    pub fn restrict(&mut self, order: u64, user: UserName, ceiling: Rights) {
        self.restrictions.push(Restriction {
            order,
            user,
            ceiling,
        });
    }

    /// The restriction has become a promise, or a newer promise took its place.
    pub fn unrestrict(&mut self, order: u64) {
        self.restrictions
            .retain(|restriction| restriction.order != order);
    }

    /// What this key of the user stands for.
    pub fn key(&self, now: Timestamp, user: &UserName, text: &str) -> Option<&Key> {
        let keys = self.keys.get(user)?;
        keys.iter()
            .find(|key| key.text == text && key.kept_until_ms > now.0)
    }

    /// Remembers a key. Beyond a number per user, the one that ends first is forgotten.
    pub fn remember_key(&mut self, now: Timestamp, user: &UserName, key: Key) {
        let keys = self.keys.entry(user.clone()).or_default();
        keys.retain(|other| other.kept_until_ms > now.0 && other.text != key.text);
        while keys.len() >= KEYS_PER_USER_MAX {
            let first = (0..keys.len()).min_by_key(|index| keys[*index].kept_until_ms);
            keys.swap_remove(first.expect("there are keys"));
        }
        keys.push(key);
    }

    /// Keeps a session's key as long as its new end asks for.
    pub fn keep_key(&mut self, user: &UserName, session: SessionId, kept_until_ms: u64) {
        let keys = self.keys.get_mut(user).into_iter().flatten();
        for key in keys.filter(|key| key.session == session) {
            key.kept_until_ms = kept_until_ms;
        }
    }

    /// Forgets the key of a session that will not start.
    pub fn forget_key(&mut self, user: &UserName, session: SessionId) {
        if let Some(keys) = self.keys.get_mut(user) {
            keys.retain(|key| key.session != session);
        }
    }

    /// Forgets keys whose time is over; true while some are left.
    pub fn sweep_keys(&mut self, now: Timestamp) -> bool {
        self.keys.retain(|_, keys| {
            keys.retain(|key| key.kept_until_ms > now.0);
            !keys.is_empty()
        });
        !self.keys.is_empty()
    }

    /// Whether no key is known.
    pub fn has_no_keys(&self) -> bool {
        self.keys.is_empty()
    }

    /// Live sessions and those on their way.
    pub fn sessions_count(&self) -> usize {
        self.sessions.len() + self.starting.len()
    }

    /// Those of one user.
    pub fn sessions_count_of(&self, user: &UserName) -> usize {
        let live = self.sessions.values();
        let starting = self.starting.values();
        live.filter(|session| session.user == *user && session.ended.is_none())
            .count()
            + starting.filter(|it| it.start.user == *user).count()
    }

    /// Live sessions of one user, in order.
    pub fn sessions_of(&self, user: &UserName) -> Vec<SessionId> {
        let mut sessions: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.user == *user && session.ended.is_none())
            .map(|(id, _)| *id)
            .collect();
        sessions.sort_unstable();
        sessions
    }

    /// Live sessions whose points anybody at the server can read, in order, and whose they are.
    pub fn plain_sessions(&self) -> Vec<(SessionId, UserName)> {
        let live = self.sessions.iter();
        let plain = live.filter(|(_, session)| !session.sealed && session.ended.is_none());
        let mut plain: Vec<(SessionId, UserName)> = plain
            .map(|(id, session)| (*id, session.user.clone()))
            .collect();
        plain.sort_unstable();
        plain
    }

    /// Places of what was asked for about sealing before this place.
    pub fn seals_before(&self, order: u64) -> impl Iterator<Item = u64> {
        let orders = self.seals.iter().map(|(order, _)| *order);
        orders.filter(move |other| *other < order)
    }

    /// Bytes of admission state, an estimate.
    pub fn bytes(&self) -> usize {
        self.sessions_count() * SESSION_BYTES_ESTIMATE
            + self.keys.len() * (size_of::<Key>() + size_of::<UserName>())
            + self.geofences.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> UserName {
        UserName::new("ana").unwrap()
    }

    fn key(text: &str, session: u64, kept_until_ms: u64) -> Key {
        Key {
            text: text.to_owned(),
            session: SessionId(session),
            duration_s: 60,
            sealed: false,
            kept_until_ms,
        }
    }

    #[test]
    fn a_restriction_acts_before_its_record_and_after_it() {
        let mut owner = Owner::default();
        owner.restrict(5, user(), Rights::WATCH);
        assert_eq!(owner.rights(&user(), Rights::ALL), Rights::WATCH);
        owner.row_sent(&user(), Rights::WATCH);
        owner.unrestrict(5);
        assert_eq!(owner.rights(&user(), Rights::ALL), Rights::WATCH);
        owner.row_followed(&user());
        assert_eq!(owner.rights(&user(), Rights::WATCH), Rights::WATCH);
        assert!(!owner.is_row_ahead(&user()));
    }

    #[test]
    fn an_older_grant_does_not_undo_a_newer_restriction() {
        let mut owner = Owner::default();
        owner.restrict(5, user(), Rights::NONE);
        assert_eq!(
            owner.ceiling(&user(), 4),
            Rights::NONE,
            "grant received before"
        );
        assert_eq!(
            owner.ceiling(&user(), 5),
            Rights::ALL,
            "grant received after"
        );
    }

    #[test]
    fn keys_are_bounded_and_end() {
        let mut owner = Owner::default();
        let now = Timestamp(0);
        for number in 1..=KEYS_PER_USER_MAX as u64 + 1 {
            owner.remember_key(now, &user(), key(&number.to_string(), number, number));
        }
        assert!(owner.key(now, &user(), "1").is_none(), "made room");
        assert!(owner.key(now, &user(), "2").is_some());
        assert!(owner.key(Timestamp(2), &user(), "2").is_none(), "over");
        assert!(!owner.sweep_keys(Timestamp(1_000)));
    }
}
