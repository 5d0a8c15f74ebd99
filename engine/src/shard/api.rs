//! Requests of the HTTP and control API. They arrive on the shard that owns their chat.

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, ChatName, Cursor, SessionId, UserName};

use crate::caller::Caller;
use crate::chat::Chat;
use crate::guest::{GuestGrant, is_guest};
use crate::ids::RequestId;
use crate::limits::MEMBERS_PER_PAGE_MAX;
use crate::peer_message::{Start, Target};
use crate::request::{
    Actor, ChatReply, ChatRequest, ChatResult, MembersPage, PositionInfo, SessionInfo, StartRequest,
};
use crate::rights::Rights;
use crate::row::Row;
use crate::shard::Shard;
use crate::time::Timestamp;

impl Shard {
    /// A request of the API about a chat of this shard. It is answered by
    /// [`crate::output::Output::Reply`], exactly once.
    pub fn handle_request(&mut self, now: Timestamp, request: RequestId, asked: ChatRequest) {
        self.tick(now);
        if self.is_serving {
            self.request(now, request, asked);
        } else {
            self.reply(request, Err(WireError::of(Code::Recovering)));
        }
        self.settle(now);
    }

    fn request(&mut self, now: Timestamp, request: RequestId, asked: ChatRequest) {
        let caller = Caller::Api(request);
        match asked {
            ChatRequest::Start(start) => self.api_start(now, caller, start),
            ChatRequest::Extend {
                chat,
                session,
                actor,
                duration_s,
            } => match self.api_sharer(&chat, session, &actor) {
                Ok(target) => self.extend(now, caller, &target, duration_s),
                Err(error) => self.reply(request, Err(error)),
            },
            ChatRequest::Stop {
                chat,
                session,
                actor,
            } => match self.api_target(&chat, session, &actor) {
                Ok(target) => self.stop(now, caller, &target),
                Err(error) => self.reply(request, Err(error)),
            },
            ChatRequest::Points(points) => self.api_points(now, request, points),
            ChatRequest::OwnSession {
                chat,
                session,
                actor,
            } => {
                let reply = self.own_session(&chat, session, &actor);
                self.reply(request, reply);
            }
            ChatRequest::Audit {
                chat,
                session,
                actor,
            } => {
                let reply = self.audit(&chat, session, &actor);
                self.reply(request, reply);
            }
            ChatRequest::Viewers {
                chat,
                session,
                except,
            } => {
                let viewers = self.viewers(&chat, session, &except);
                self.reply(request, Ok(ChatReply::Viewers(viewers)));
            }
            ChatRequest::Positions { chat, actor } => {
                let reply = self.positions(&chat, &actor);
                if reply.is_ok() {
                    self.glance(now, &chat, &actor);
                }
                self.reply(request, reply);
            }
            ChatRequest::Sessions { chat, actor } => {
                let reply = self.sessions(&chat, &actor);
                self.reply(request, reply);
            }
            ChatRequest::PutMember {
                chat,
                user,
                rights,
                expected,
            } => {
                let Some(rights) = Rights::asked(rights) else {
                    let text = "rights are share and watch, on a grid or not";
                    self.reply(request, Err(WireError::new(Code::BadRequest, text)));
                    return;
                };
                self.change_member(now, caller, &chat, user, rights, expected);
            }
            ChatRequest::RemoveMember {
                chat,
                user,
                expected,
            } => self.remove_member(now, caller, &chat, user, expected),
            ChatRequest::PutMembers {
                chat,
                members,
                expected,
            } => self.put_members(request, &chat, &members, expected),
            ChatRequest::Members { chat, after, limit } => {
                let reply = self.members(&chat, after.as_ref(), limit);
                self.reply(request, reply);
            }
            ChatRequest::PutGuest {
                chat,
                guest,
                record,
            } => self.put_guest(now, caller, &chat, guest, record),
            ChatRequest::RemoveGuest { chat, guest } => {
                self.remove_guest(now, caller, &chat, guest);
            }
            ChatRequest::SealChat { chat, sealed } => self.seal_chat(now, caller, &chat, sealed),
            ChatRequest::Settings { chat, actor } => {
                let reply = self.settings(&chat, &actor);
                self.reply(request, reply);
            }
            ChatRequest::PutGeofence { actor, wish } => {
                self.put_geofence(now, caller, &actor, wish);
            }
            ChatRequest::RemoveGeofence {
                chat,
                actor,
                name,
                owner,
            } => self.remove_geofence(caller, &chat, &actor, (&name, owner.as_ref())),
            ChatRequest::Geofences { chat, actor } => {
                let reply = self.geofences(&chat, &actor);
                // Who is inside is a place, too.
                if reply.is_ok() {
                    self.glance(now, &chat, &actor);
                }
                self.reply(request, reply);
            }
            ChatRequest::Alerts { chat, actor } => {
                let reply = self.alerts(&chat, &actor);
                self.reply(request, reply);
            }
            ChatRequest::Look { chat, actor } => {
                let reply = self.may_look(&chat, &actor);
                if reply.is_ok() {
                    self.glance(now, &chat, &actor);
                }
                self.reply(request, reply);
            }
            ChatRequest::Guests { chat } => {
                let reply = self.guests(now, &chat);
                self.reply(request, reply);
            }
        }
    }

    fn api_start(&mut self, now: Timestamp, caller: Caller, asked: StartRequest) {
        let claim = match &asked.actor {
            Actor::User(person) if person.user != asked.user => {
                self.answer_error(caller, Self::not_found());
                return;
            }
            Actor::User(person) => person.claim(&asked.chat),
            Actor::Control => Rights::NONE,
        };
        let start = Start {
            chat: asked.chat,
            user: asked.user,
            claim,
            duration_s: asked.duration_s,
            idempotency_key: asked.idempotency_key,
            sealed: asked.sealed,
        };
        self.start(now, caller, start);
    }

    pub(super) fn api_target(
        &self,
        chat: &ChatName,
        session: SessionId,
        actor: &Actor,
    ) -> Result<Target, WireError> {
        let chat = self.chats.named(chat).ok_or(Self::not_found())?;
        self.target_of(chat, session, actor).map_err(WireError::of)
    }

    /// The same for what only somebody with the right to share may do: a token that brought it once
    /// may have been followed by one that does not.
    fn api_sharer(
        &self,
        chat: &ChatName,
        session: SessionId,
        actor: &Actor,
    ) -> Result<Target, WireError> {
        let target = self.api_target(chat, session, actor)?;
        self.check_sharer(&target, actor)?;
        Ok(target)
    }

    /// Whether the actor has the right to share, beside the session.
    pub(super) fn check_sharer(&self, target: &Target, actor: &Actor) -> Result<(), WireError> {
        let (Actor::User(person), Some(chat)) = (actor, self.chats.get(target.chat)) else {
            return Ok(());
        };
        let claim = person.claim(&chat.name);
        self.check_right(target.chat, (&person.user, claim), Rights::SHARE)
    }

    fn positions(&self, name: &ChatName, actor: &Actor) -> ChatResult {
        let chat = self.visible(name, actor, Rights::WATCH_LEAST)?;
        let grid = match actor {
            Actor::User(person) => chat.grid_for(person),
            Actor::Control => None,
        };
        let state = &self.partitions[usize::from(chat.partition.0)];
        let cursor = Cursor {
            log: self.config.log_id,
            epoch: state.epoch(),
            // What a grid shows is no beginning for a watch: the right may be another one then.
            offset: match grid {
                Some(_) => 0,
                None => state.followed,
            },
        };
        let guest = actor.guest();
        let position = |row: &Row| PositionInfo {
            session: Self::info_of(chat, row),
            newest: match grid {
                Some(grid) => row.newest().and_then(|point| grid.coarse(point)),
                None => row.newest().cloned(),
            },
        };
        let shown = chat.table.rows_live().filter(|row| shows(guest, row));
        let positions = shown.map(position).collect();
        Ok(ChatReply::Positions {
            cursor,
            view_recorded: self.records_glance(actor),
            positions,
        })
    }

    fn sessions(&self, name: &ChatName, actor: &Actor) -> ChatResult {
        let chat = self.visible(name, actor, Rights::NONE)?;
        let rows = chat.table.rows_live().filter(|row| match actor {
            // Without the right to watch one sees one's own.
            Actor::User(person) => {
                let rights = chat.rights_with(&person.user, person.claim(name));
                (rights.watches() && shows(person.guest(), row))
                    || row.descriptor().user == person.user
            }
            Actor::Control => true,
        });
        let sessions = rows.map(|row| Self::info_of(chat, row)).collect();
        Ok(ChatReply::Sessions(sessions))
    }

    /// A page of members, in the order of their names.
    fn members(&self, name: &ChatName, after: Option<&UserName>, limit: usize) -> ChatResult {
        let chat = self.visible(name, &Actor::Control, Rights::NONE)?;
        let limit = limit.clamp(1, MEMBERS_PER_PAGE_MAX);
        let behind = chat
            .members
            .after(after)
            .filter(|(user, _)| !is_guest(user));
        let mut page: Vec<(UserName, u8)> = behind
            .take(limit + 1)
            .map(|(user, rights)| (user.clone(), rights.bits()))
            .collect();
        let more = page.len() > limit;
        page.truncate(limit);
        Ok(ChatReply::Members(MembersPage {
            members: page,
            version: chat.owner().map_or(0, |owner| owner.members_version),
            more,
        }))
    }

    /// A row as lists show it.
    pub(super) fn info_of(chat: &Chat, row: &Row) -> SessionInfo {
        let descriptor = row.descriptor();
        let live = chat
            .owner()
            .and_then(|owner| owner.sessions.get(&descriptor.session));
        SessionInfo {
            session: descriptor.session,
            user: descriptor.user.clone(),
            state: row.state().state,
            started_at_ms: descriptor.started_at_ms,
            expires_at_ms: descriptor.expires_at_ms,
            sealed: descriptor.sealed,
            counter_last: live.map_or(descriptor.counter, |session| session.window.last()),
        }
    }

    /// The chat, if the actor is a member of it with this right.
    pub(super) fn visible(
        &self,
        name: &ChatName,
        actor: &Actor,
        right: Rights,
    ) -> Result<&Chat, WireError> {
        let handle: ChatHandle = self.chats.named(name).unwrap_or_default();
        let chat = self.chats.get(handle);
        let may = match actor {
            Actor::Control => true,
            Actor::User(person) => {
                let who = (&person.user, person.claim(name));
                let rights = self.chats.rights(handle, who);
                !rights.is_none() && rights.has(right)
            }
        };
        let owned = chat.filter(|chat| chat.owner().is_some());
        owned.filter(|_| may).ok_or(Self::not_found())
    }
}

/// Whether a row is shown: to guests with a link to one session, only that one.
fn shows(guest: Option<&GuestGrant>, row: &Row) -> bool {
    guest.is_none_or(|grant| grant.shows(row.descriptor().session))
}
