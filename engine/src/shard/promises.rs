//! Commands on their way through the control log, and what their outcome does.

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, ChatName, SessionId, UserName};
use skein_wire::update::SessionState;

use crate::caller::Caller;
use crate::chat_event::{ChatEvent, What};
use crate::command::Command;
use crate::guest::guest_user;
use crate::ids::{GeofenceId, GuestId, ProposalId};
use crate::obligation::{MemberChange, Obligation, Purpose};
use crate::output::Output;
use crate::owner::Starting;
use crate::peer_message::{Answer, Start};
use crate::rights::Rights;
use crate::shard::Shard;
use crate::time::Timestamp;
use crate::timer::Timer;

/// Bits of a proposal's number below the shard's.
const PROPOSAL_BITS: u32 = 48;

impl Shard {
    /// A command is durable and has this index. `handle` is the number of its chat. Commands of this
    /// shard's chats come here in the order of the control log, those that it did not propose too.
    pub fn handle_committed(
        &mut self,
        now: Timestamp,
        index: u64,
        proposal: Option<ProposalId>,
        command: &Command,
        handle: ChatHandle,
    ) {
        self.tick(now);
        let Ok(name) = ChatName::new(command.chat()) else {
            return;
        };
        if self.owner_of_name(&name) != self.config.shard {
            return;
        }
        self.ensure_chat(now, &name, handle);
        let order = proposal.and_then(|proposal| self.proposals.remove(&proposal));
        if let Some(order) = order.or_else(|| self.adopt(command, handle)) {
            self.committed(now, index, order, command, handle);
        }
        self.settle(now);
    }

    /// A command could not be made durable. Permissive ones are over; restrictive ones have acted
    /// and are proposed again.
    pub fn handle_rejected(&mut self, now: Timestamp, proposal: ProposalId, code: Code) {
        self.tick(now);
        self.stats.proposals_rejected += 1;
        if let Some(order) = self.proposals.remove(&proposal) {
            self.rejected(now, order, code);
        }
        self.settle(now);
    }

    /// Takes a command up and proposes it; returns its place.
    pub(super) fn propose(
        &mut self,
        chat: Option<ChatHandle>,
        command: Command,
        purpose: Purpose,
        callers: Vec<Caller>,
    ) -> u64 {
        self.order_last += 1;
        let order = self.order_last;
        let obligation = Obligation {
            command,
            chat,
            purpose,
            callers,
            in_flight: None,
            refusals: 0,
        };
        self.obligations.insert(order, obligation);
        self.submit(order);
        order
    }

    /// The place of the newest command that was taken up.
    pub(super) fn last_proposed(&self) -> u64 {
        self.order_last
    }

    /// Whether the commands up to this place are promises, or were given up.
    pub(super) fn is_promised(&self, order: u64) -> bool {
        let oldest = self.obligations.keys().next();
        oldest.is_none_or(|oldest| *oldest > order)
    }

    fn submit(&mut self, order: u64) {
        let Some(obligation) = self.obligations.get_mut(&order) else {
            return;
        };
        self.proposal_last += 1;
        let shard = u64::from(self.config.shard.0);
        let proposal = ProposalId(shard << PROPOSAL_BITS | self.proposal_last);
        obligation.in_flight = Some(proposal);
        let command = obligation.command.clone();
        self.proposals.insert(proposal, order);
        self.stats.proposals += 1;
        self.emit(Output::Propose { proposal, command });
    }

    /// A restrictive command whose promise was refused is tried again, unless something newer about
    /// the same user is on its way: that one may take its place.
    pub(super) fn retry(&mut self, now: Timestamp, order: u64) {
        let Some(obligation) = self.obligations.get(&order) else {
            return;
        };
        if obligation.in_flight.is_some() {
            return;
        }
        let newer_in_flight = match &obligation.purpose {
            Purpose::Member(change) if change.committed => return,
            Purpose::Member(change) => self.obligations.range(order + 1..).any(|(_, newer)| {
                newer.chat == obligation.chat
                    && newer.in_flight.is_some()
                    && newer.change_of(&change.user).is_some()
            }),
            Purpose::Seal { .. } => self.has_newer_seal_in_flight(order, obligation.chat),
            _ => false,
        };
        if newer_in_flight {
            self.retry_later(now, order);
        } else {
            self.submit(order);
        }
    }

    fn retry_later(&mut self, now: Timestamp, order: u64) {
        let spread = self.random.next_u64();
        if let Some(obligation) = self.obligations.get(&order) {
            let at = now.plus_ms(obligation.retry_ms(spread));
            self.wheel.set(at, Timer::Retry(order));
        }
    }

    fn rejected(&mut self, now: Timestamp, order: u64, code: Code) {
        let Some(obligation) = self.obligations.get_mut(&order) else {
            return;
        };
        obligation.in_flight = None;
        obligation.refusals = obligation.refusals.saturating_add(1);
        if obligation.is_restrictive() {
            self.retry_later(now, order);
            self.restriction_rejected(order, code);
        } else if let Some(obligation) = self.obligations.remove(&order) {
            self.permission_rejected(order, obligation, code);
        }
    }

    fn restriction_rejected(&mut self, order: u64, code: Code) {
        let Some(obligation) = self.obligations.get_mut(&order) else {
            return;
        };
        match &obligation.purpose {
            Purpose::End { session, .. } => {
                let (session, chat) = (*session, obligation.chat.unwrap_or_default());
                for caller in std::mem::take(&mut obligation.callers) {
                    self.answer_end(chat, session, caller, false);
                }
            }
            Purpose::Seal { .. } | Purpose::RemoveGeofence => {
                for caller in std::mem::take(&mut obligation.callers) {
                    self.answer(caller, Ok(Answer::Done { durable: false }));
                }
            }
            Purpose::Member(change) if change.grants => {
                for caller in std::mem::take(&mut obligation.callers) {
                    self.answer_error(caller, WireError::of(code));
                }
            }
            _ => self.settle_change(order),
        }
    }

    fn permission_rejected(&mut self, order: u64, obligation: Obligation, code: Code) {
        let error = WireError::of(code);
        match (&obligation.purpose, obligation.chat) {
            (Purpose::Start { session }, Some(chat)) => self.start_failed(chat, *session, &error),
            (Purpose::Name, _) => self.name_failed(&obligation.command, code),
            (Purpose::Seal { .. }, chat) => self.seal_rejected(order, chat),
            (Purpose::Cross, Some(chat)) => self.crossing_rejected(chat, &obligation.command),
            _ => {}
        }
        if let Some(owner) = obligation.chat.and_then(|chat| self.chats.owner_mut(chat)) {
            owner.changes.retain(|other| *other != order);
        }
        for caller in obligation.callers {
            self.answer_error(caller, error.clone());
        }
    }

    fn committed(
        &mut self,
        now: Timestamp,
        index: u64,
        order: u64,
        command: &Command,
        chat: ChatHandle,
    ) {
        let Some(obligation) = self.obligations.get_mut(&order) else {
            return;
        };
        obligation.in_flight = None;
        if let Purpose::Member(_) = obligation.purpose {
            self.guest_committed(chat, command);
            self.member_committed(index, order, chat);
            return;
        }
        let Some(obligation) = self.obligations.remove(&order) else {
            return;
        };
        match (obligation.purpose, command) {
            (Purpose::Name, Command::NameChat { .. }) => self.named(now, chat),
            (Purpose::Start { session }, Command::StartSession { expires_at_ms, .. }) => {
                let expires_at_ms = *expires_at_ms;
                if let Some(user) = self.user_of_starting(chat, session) {
                    let what = What::Started {
                        session,
                        expires_at_ms,
                    };
                    self.event(index, chat, user, what);
                }
                self.start_committed(now, chat, session);
            }
            (Purpose::Extend { session }, Command::ExtendSession { expires_at_ms, .. }) => {
                let expires_at_ms = *expires_at_ms;
                if let Some(user) = self.user_of_session(chat, session) {
                    let what = What::Extended {
                        session,
                        expires_at_ms,
                    };
                    self.event(index, chat, user, what);
                }
                self.extend_committed(chat, session, expires_at_ms, obligation.callers);
            }
            (Purpose::Seal { sealed }, _) => {
                self.seal_committed(now, order, chat, sealed, obligation.callers);
            }
            (Purpose::End { session, user }, Command::EndSession { state, .. }) => {
                let why = SessionState::from_u8(*state).unwrap_or(SessionState::Stopped);
                self.event(index, chat, user, What::Ended { session, why });
                if let Some(owner) = self.chats.owner_mut(chat) {
                    owner.ending.remove(&session);
                }
                self.forget_at_geofences(chat, session);
                self.end(now, chat, session, why);
                for caller in obligation.callers {
                    self.answer_end(chat, session, caller, true);
                }
            }
            (
                Purpose::PutGeofence,
                Command::PutGeofence {
                    geofence, record, ..
                },
            ) => {
                self.geofence_committed(now, chat, GeofenceId(*geofence), record);
                self.answer_done(obligation.callers);
            }
            (Purpose::RemoveGeofence, Command::RemoveGeofence { geofence, .. }) => {
                if let Some(owner) = self.chats.owner_mut(chat) {
                    owner.geofences.remove(GeofenceId(*geofence));
                }
                self.answer_done(obligation.callers);
            }
            (Purpose::Cross, Command::Cross { crossing, .. }) => {
                self.crossing_committed(now, index, chat, crossing);
            }
            _ => {}
        }
    }

    /// Those who waited for a promise are told that it is made.
    fn answer_done(&mut self, callers: Vec<Caller>) {
        for caller in callers {
            self.answer(caller, Ok(Answer::Done { durable: true }));
        }
    }

    /// A command that this shard did not propose in this life: takes it up as if it had.
    fn adopt(&mut self, command: &Command, chat: ChatHandle) -> Option<u64> {
        let name = ChatName::new(command.chat()).ok()?;
        let purpose = match command {
            Command::PutMember { user, rights, .. } => {
                let user = UserName::new(user).ok()?;
                Purpose::Member(MemberChange::granting(user, Rights::from_bits(*rights)))
            }
            Command::RemoveMember { user, .. } => {
                let user = UserName::new(user).ok()?;
                self.restrict_now(self.now, chat, &user, Rights::NONE);
                Purpose::Member(MemberChange::granting(user, Rights::NONE))
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
                let starting = Starting {
                    start: Start {
                        chat: name,
                        user: UserName::new(user).ok()?,
                        // Judged when it was proposed; a revocation still wins.
                        claim: Rights::SHARE,
                        duration_s: *duration_s,
                        idempotency_key: idempotency_key.clone(),
                        sealed: *sealed,
                    },
                    started_at_ms: *started_at_ms,
                    expires_at_ms: *expires_at_ms,
                    callers: Vec::new(),
                };
                let session = SessionId(*session);
                let owner = self.chats.owner_mut(chat)?;
                if owner.sessions.contains_key(&session) {
                    return None;
                }
                owner.starting.insert(session, starting);
                Purpose::Start { session }
            }
            Command::ExtendSession { session, .. } => Purpose::Extend {
                session: SessionId(*session),
            },
            Command::EndSession { session, .. } => {
                let session = SessionId(*session);
                let user = self.user_of_session(chat, session)?;
                Purpose::End { session, user }
            }
            Command::NameChat { .. } => return None,
            Command::PutMembers { members, .. } => {
                let mut users = members.iter().filter_map(|(user, rights)| {
                    let user = UserName::new(user).ok()?;
                    Some((user, Rights::from_bits(*rights)))
                });
                let (user, rights) = users.next()?;
                let mut change = MemberChange::granting(user, rights);
                change.also = users.collect();
                Purpose::Member(change)
            }
            Command::PutGuest { guest, .. } => {
                let user = guest_user(GuestId(*guest));
                Purpose::Member(MemberChange::granting(user, Rights::WATCH))
            }
            Command::RemoveGuest { guest, .. } => {
                let user = guest_user(GuestId(*guest));
                self.restrict_now(self.now, chat, &user, Rights::NONE);
                Purpose::Member(MemberChange::granting(user, Rights::NONE))
            }
            Command::SealChat { sealed, .. } => Purpose::Seal { sealed: *sealed },
            Command::PutGeofence { .. } => Purpose::PutGeofence,
            Command::RemoveGeofence { .. } => Purpose::RemoveGeofence,
            Command::Cross { .. } => Purpose::Cross,
        };
        self.order_last += 1;
        let obligation = Obligation {
            command: command.clone(),
            chat: Some(chat),
            purpose,
            callers: Vec::new(),
            in_flight: None,
            refusals: 0,
        };
        self.obligations.insert(self.order_last, obligation);
        Some(self.order_last)
    }

    pub(super) fn event(&mut self, index: u64, chat: ChatHandle, user: UserName, what: What) {
        if let Some(known) = self.chats.get(chat) {
            let chat = known.name.clone();
            let event = ChatEvent { chat, user, what };
            self.emit(Output::Event { index, event });
        }
    }

    fn user_of_starting(&self, chat: ChatHandle, session: SessionId) -> Option<UserName> {
        let owner = self.chats.get(chat)?.owner()?;
        Some(owner.starting.get(&session)?.start.user.clone())
    }

    fn user_of_session(&self, chat: ChatHandle, session: SessionId) -> Option<UserName> {
        let known = self.chats.get(chat)?;
        let live = known.owner()?.sessions.get(&session);
        let row = known.table.row(session);
        live.map(|session| session.user.clone())
            .or_else(|| row.map(|row| row.descriptor().user.clone()))
    }
}
