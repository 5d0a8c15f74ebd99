//! Changes of rights. What is taken away acts at once, what is given acts when it is durable, and a
//! change is met when it is durable and every mirroring shard has followed past its row.

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, ChatName, SessionId, UserName};
use skein_wire::update::SessionState;

use crate::audience::Audience;
use crate::caller::Caller;
use crate::chat::{Chat, Role};
use crate::chat_event::What;
use crate::command::Command;
use crate::journal::Entry;
use crate::limits::DEMAND_INTERVAL_MS;
use crate::membership::Membership;
use crate::obligation::{MemberChange, Purpose};
use crate::peer_message::Answer;
use crate::rights::Rights;
use crate::shard::Shard;
use crate::sole_timer::SoleTimer;
use crate::table::Table;
use crate::time::Timestamp;

impl Shard {
    /// Gives a user exactly these rights; none ends the membership.
    pub(super) fn change_member(
        &mut self,
        now: Timestamp,
        caller: Caller,
        name: &ChatName,
        user: UserName,
        rights: Rights,
        expected: Option<u64>,
    ) {
        let checked = self
            .check_serving()
            .and_then(|()| self.check_version(name, expected));
        if let Err(error) = checked {
            self.answer_error(caller, error);
            return;
        }
        let command = command_of(name, &user, rights);
        let Some(chat) = self.chats.named(name) else {
            if rights.is_none() {
                self.answer_error(caller, Self::not_found());
            } else {
                // The commit gives the chat its number.
                let purpose = Purpose::Member(MemberChange::granting(user, rights));
                self.propose(None, command, purpose, vec![caller]);
            }
            return;
        };
        self.change_known_member(now, vec![caller], chat, (user, rights), command);
    }

    pub(super) fn change_known_member(
        &mut self,
        now: Timestamp,
        callers: Vec<Caller>,
        chat: ChatHandle,
        (user, rights): (UserName, Rights),
        command: Command,
    ) {
        let Some(known) = self.chats.get(chat) else {
            for caller in callers {
                self.answer_error(caller, Self::not_found());
            }
            return;
        };
        let current = known.rights(&user);
        let followed = known.rights_followed(&user);
        let mut change = MemberChange::granting(user.clone(), rights);
        let (held, wanted) = (current.granted(), rights.granted());
        change.grants = !rights.is_revoked() && wanted != held.and(wanted);
        change.restricts = !change.grants || held != held.and(wanted);
        let keeps_out = rights.is_revoked() && !current.is_revoked();
        change.was_member = !held.is_none() || keeps_out;
        if change.restricts {
            self.restrict_now(now, chat, &user, rights);
            let owner = self.chats.owner_mut(chat);
            let ahead = owner.and_then(|owner| {
                owner
                    .is_row_ahead(&user)
                    .then(|| owner.rights_ahead(&user, followed))
            });
            change.row_awaited = ahead;
        }
        let restricts = change.restricts;
        let needs_fence = restricts && change.row_awaited.is_none();
        let order = self.propose(Some(chat), command, Purpose::Member(change), callers);
        if let Some(owner) = self.chats.owner_mut(chat) {
            owner.changes.push(order);
            if restricts {
                owner.restrict(order, user, rights);
            }
        }
        if needs_fence {
            self.fence(now, order, chat, None);
        }
    }

    /// Takes away what goes beyond `ceiling`: the row on its way, and the sessions that lose their
    /// ground. Their ends are promises of their own, asked for before whatever took the right away: who
    /// reads what happened is told of each of them, and never of a membership without them.
    pub(super) fn restrict_now(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        user: &UserName,
        ceiling: Rights,
    ) {
        let Some(known) = self.chats.get(chat) else {
            return;
        };
        let current = known.rights(user);
        let left = current.and(ceiling);
        // By their token they may have shared without a right of the table.
        let had_ground = current.has(Rights::SHARE) || ceiling.is_revoked();
        let loses_ground = had_ground && !left.has(Rights::SHARE);
        let sessions = match known.owner() {
            Some(owner) if loses_ground => owner.sessions_of(user),
            _ => Vec::new(),
        };
        for session in sessions {
            self.revoke_session(now, chat, session, user);
        }
        if left != current {
            self.append_rights(chat, user, left);
        }
    }

    /// Ends a session whose user has lost the right to share.
    fn revoke_session(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        session: SessionId,
        user: &UserName,
    ) {
        self.end(now, chat, session, SessionState::Revoked);
        self.promise_end(now, chat, session, user.clone(), None);
    }

    /// Asks for the append of a user's rights.
    pub(super) fn append_rights(&mut self, chat: ChatHandle, user: &UserName, rights: Rights) {
        if let Some(owner) = self.chats.owner_mut(chat) {
            owner.row_sent(user, rights);
        }
        let user = user.clone();
        let entry = if rights.is_none() {
            Entry::MemberRemoved { user }
        } else {
            let rights = rights.bits();
            Entry::MemberPut { user, rights }
        };
        self.append(chat, &entry);
    }

    /// The promise of a change is durable.
    pub(super) fn member_committed(&mut self, index: u64, order: u64, chat: ChatHandle) {
        let Some(obligation) = self.obligations.get_mut(&order) else {
            return;
        };
        obligation.chat = Some(chat);
        let Purpose::Member(change) = &mut obligation.purpose else {
            return;
        };
        change.committed = true;
        let grants = change.grants;
        let mut users = change.also.clone();
        users.push((change.user.clone(), change.rights));
        let is_guests = matches!(
            obligation.command,
            Command::PutGuest { .. } | Command::RemoveGuest { .. }
        );
        if !is_guests {
            change.version = index;
        }
        for (user, _) in &users {
            self.drop_superseded(order, chat, user);
        }
        if let Some(owner) = self.chats.owner_mut(chat) {
            owner.unrestrict(order);
            if !owner.changes.contains(&order) {
                owner.changes.push(order);
            }
            if !is_guests {
                owner.members_version = index;
            }
        }
        for (user, rights) in &users {
            self.end_alerts(chat, user, *rights);
            if grants {
                self.grant(order, chat, user, *rights);
            }
            self.member_event(index, chat, user, *rights);
        }
        self.settle_change(order);
    }

    /// Whether the members are as somebody saw them who wants to change them. While a change is on its
    /// way nobody can have seen them.
    pub(super) fn check_version(
        &self,
        name: &ChatName,
        expected: Option<u64>,
    ) -> Result<(), WireError> {
        let Some(expected) = expected else {
            return Ok(());
        };
        let chat = self.chats.named(name).and_then(|chat| self.chats.get(chat));
        let owner = chat.and_then(|chat| chat.owner());
        let version = owner.map_or(0, |owner| owner.members_version);
        let is_changing = self.obligations.values().any(|it| {
            let is_member = matches!(&it.purpose, Purpose::Member(change) if !change.committed);
            is_member && it.command.chat() == name.as_str()
        });
        match version == expected && !is_changing {
            true => Ok(()),
            false => Err(WireError::of(Code::Conflict)),
        }
    }

    /// Ends a membership. Where tokens bring rights, that is remembered: they do not bring any back.
    pub(super) fn remove_member(
        &mut self,
        now: Timestamp,
        caller: Caller,
        name: &ChatName,
        user: UserName,
        expected: Option<u64>,
    ) {
        let rights = match self.config.limits.rights_from_tokens {
            true => Rights::REVOKED,
            false => Rights::NONE,
        };
        self.change_member(now, caller, name, user, rights, expected);
    }

    /// What is given acts, less what was taken away after it.
    fn grant(&mut self, order: u64, chat: ChatHandle, user: &UserName, rights: Rights) {
        let Some(known) = self.chats.get(chat) else {
            return;
        };
        let followed = known.rights_followed(user);
        let Some(owner) = known.owner() else {
            return;
        };
        let granted = rights.and(owner.ceiling(user, order));
        let ahead = owner.rights_ahead(user, followed);
        if granted == ahead {
            return;
        }
        // Another change may have given more since this one was asked for.
        if ahead.has(Rights::SHARE) && !granted.has(Rights::SHARE) {
            for session in owner.sessions_of(user) {
                self.revoke_session(self.now, chat, session, user);
            }
        }
        self.append_rights(chat, user, granted);
        // Rows come back in order: the last one of a batch tells of all.
        if let Some(change) = self.change_mut(order) {
            change.user.clone_from(user);
            change.row_awaited = Some(granted);
        }
    }

    /// Restrictions of the user that were received before a change that is durable now, and are not
    /// durable themselves, must not be tried again: they would undo it.
    fn drop_superseded(&mut self, order: u64, chat: ChatHandle, user: &UserName) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        let older = owner.changes.iter().filter(|older| **older < order);
        let superseded: Vec<u64> = older
            .filter(|older| {
                let obligation = self.obligations.get(older);
                obligation.is_some_and(|it| {
                    let change = it.change_of(user);
                    it.in_flight.is_none() && change.is_some_and(|change| !change.committed)
                })
            })
            .copied()
            .collect();
        for older in superseded {
            let Some(obligation) = self.obligations.remove(&older) else {
                continue;
            };
            let was_member = obligation.change_of(user).is_some_and(|it| it.was_member);
            if let Some(owner) = self.chats.owner_mut(chat) {
                owner.unrestrict(older);
                owner.changes.retain(|other| *other != older);
            }
            for caller in obligation.callers {
                let (durable, version) = (false, 0);
                let changed = Answer::Changed {
                    durable,
                    version,
                    was_member,
                };
                self.answer(caller, Ok(changed));
            }
        }
    }

    fn member_event(&mut self, index: u64, chat: ChatHandle, user: &UserName, rights: Rights) {
        let what = if rights.granted().is_none() {
            What::MemberRemoved
        } else {
            What::MemberPut { rights }
        };
        self.event(index, chat, user.clone(), what);
    }

    /// A user's rights came back from the log.
    pub(super) fn rights_followed(
        &mut self,
        now: Timestamp,
        chat: ChatHandle,
        user: &UserName,
        rights: Rights,
        offset: u64,
    ) {
        let Some(owner) = self.chats.owner_mut(chat) else {
            return;
        };
        owner.row_followed(user);
        for order in owner.changes.clone() {
            let Some(change) = self.change_mut(order) else {
                continue;
            };
            if change.user == *user && change.row_awaited == Some(rights) {
                change.row_awaited = None;
                self.fence(now, order, chat, Some(offset));
            }
        }
    }

    /// Tells those who wait for a change as soon as there is something to tell.
    pub(super) fn settle_change(&mut self, order: u64) {
        let Some(obligation) = self.obligations.get_mut(&order) else {
            return;
        };
        let Purpose::Member(change) = &obligation.purpose else {
            return;
        };
        let durable = change.committed;
        if !change.is_applied() || (!durable && obligation.in_flight.is_some()) {
            return;
        }
        if !durable && change.grants {
            return;
        }
        let (version, was_member) = (change.version, change.was_member);
        let chat = obligation.chat;
        let callers = std::mem::take(&mut obligation.callers);
        if durable {
            self.obligations.remove(&order);
            if let Some(owner) = chat.and_then(|chat| self.chats.owner_mut(chat)) {
                owner.changes.retain(|other| *other != order);
            }
        }
        for caller in callers {
            let changed = Answer::Changed {
                durable,
                version,
                was_member,
            };
            self.answer(caller, Ok(changed));
        }
    }

    pub(super) fn change_mut(&mut self, order: u64) -> Option<&mut MemberChange> {
        match &mut self.obligations.get_mut(&order)?.purpose {
            Purpose::Member(change) => Some(change),
            _ => None,
        }
    }

    /// The time for a change to be applied everywhere is over.
    pub(super) fn fence_over(&mut self, now: Timestamp, order: u64) {
        let Some(change) = self.change_mut(order) else {
            return;
        };
        let Some(late) = change.fences.first().copied() else {
            return;
        };
        if change.fence_until > now {
            return;
        }
        self.stats.fences_late += 1;
        let text = format!("shard {late} has not applied it in time; repeat the request");
        let error = WireError::new(Code::NotAppliedEverywhere, text);
        let callers = self.obligations.get_mut(&order);
        let callers = callers.map(|it| std::mem::take(&mut it.callers));
        for caller in callers.into_iter().flatten() {
            self.answer_error(caller, error.clone());
        }
    }

    /// The chat of this name and number, which this shard owns.
    pub(super) fn ensure_chat(&mut self, now: Timestamp, name: &ChatName, handle: ChatHandle) {
        if self.chats.get(handle).is_some() {
            return;
        }
        let partition = self.partition_of(name);
        let epoch = self.partition(partition).map_or(0, |it| it.epoch());
        let table = Table::new(epoch, 1, self.table_limits());
        self.chats.insert(Chat {
            name: name.clone(),
            handle,
            partition,
            table,
            members: Membership::default(),
            audience: Audience::default(),
            demand_told_ms: 0,
            demand_told_at: Timestamp(now.0.saturating_sub(DEMAND_INTERVAL_MS)),
            demand_timer: SoleTimer::default(),
            forget_timer: SoleTimer::default(),
            keys_timer: SoleTimer::default(),
            role: Role::Owner(Box::default()),
        });
    }
}

fn command_of(chat: &ChatName, user: &UserName, rights: Rights) -> Command {
    let (chat, user) = (chat.as_str().to_owned(), user.as_str().to_owned());
    if rights.is_none() {
        Command::RemoveMember { chat, user }
    } else {
        let rights = rights.bits();
        Command::PutMember { chat, user, rights }
    }
}
