//! Requests of the HTTP and control API. They arrive on the shard that owns their chat.

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, ChatName, Cursor, SessionId, UserName};

use crate::caller::Caller;
use crate::chat::Chat;
use crate::ids::RequestId;
use crate::peer_message::{Start, Target};
use crate::request::{
    Actor, ChatReply, ChatRequest, ChatResult, PositionInfo, SessionInfo, StartRequest,
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
            } => match self.api_target(&chat, session, &actor) {
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
            ChatRequest::Positions { chat, actor } => {
                let reply = self.positions(&chat, &actor);
                self.reply(request, reply);
            }
            ChatRequest::Sessions { chat, actor } => {
                let reply = self.sessions(&chat, &actor);
                self.reply(request, reply);
            }
            ChatRequest::PutMember { chat, user, rights } => {
                if rights & !Rights::ALL.bits() != 0 {
                    let text = "rights are share and watch";
                    self.reply(request, Err(WireError::new(Code::BadRequest, text)));
                    return;
                }
                self.change_member(now, caller, &chat, user, Rights::from_bits(rights));
            }
            ChatRequest::RemoveMember { chat, user } => {
                self.change_member(now, caller, &chat, user, Rights::NONE);
            }
            ChatRequest::Members { chat } => {
                let reply = self.members(&chat);
                self.reply(request, reply);
            }
        }
    }

    fn api_start(&mut self, now: Timestamp, caller: Caller, asked: StartRequest) {
        if let Actor::User(user) = &asked.actor
            && *user != asked.user
        {
            self.answer_error(caller, Self::not_found());
            return;
        }
        let start = Start {
            chat: asked.chat,
            user: asked.user,
            duration_s: asked.duration_s,
            idempotency_key: asked.idempotency_key,
            sealed: asked.sealed,
        };
        self.start(now, caller, start);
    }

    fn api_target(
        &self,
        chat: &ChatName,
        session: SessionId,
        actor: &Actor,
    ) -> Result<Target, WireError> {
        let chat = self.chats.named(chat).ok_or(Self::not_found())?;
        self.target_of(chat, session, actor).map_err(WireError::of)
    }

    fn positions(&self, name: &ChatName, actor: &Actor) -> ChatResult {
        let chat = self.visible(name, actor, Rights::WATCH)?;
        let state = &self.partitions[usize::from(chat.partition.0)];
        let cursor = Cursor {
            log: self.config.log_id,
            epoch: state.epoch(),
            offset: state.followed,
        };
        let position = |row: &Row| PositionInfo {
            session: info_of(chat, row),
            newest: row.newest().cloned(),
        };
        let positions = chat.table.rows_live().map(position).collect();
        Ok(ChatReply::Positions { cursor, positions })
    }

    fn sessions(&self, name: &ChatName, actor: &Actor) -> ChatResult {
        let chat = self.visible(name, actor, Rights::NONE)?;
        let rows = chat.table.rows_live().filter(|row| match actor {
            // Without the right to watch one sees one's own.
            Actor::User(user) => {
                chat.rights(user).has(Rights::WATCH) || row.descriptor().user == *user
            }
            Actor::Control => true,
        });
        let sessions = rows.map(|row| info_of(chat, row)).collect();
        Ok(ChatReply::Sessions(sessions))
    }

    fn members(&self, name: &ChatName) -> ChatResult {
        let chat = self.visible(name, &Actor::Control, Rights::NONE)?;
        let bits = |(user, rights): (&UserName, Rights)| (user.clone(), rights.bits());
        Ok(ChatReply::Members(chat.members.iter().map(bits).collect()))
    }

    /// The chat, if the actor is a member of it with this right.
    fn visible(&self, name: &ChatName, actor: &Actor, right: Rights) -> Result<&Chat, WireError> {
        let handle: ChatHandle = self.chats.named(name).ok_or(Self::not_found())?;
        let chat = self.chats.get(handle).ok_or(Self::not_found())?;
        let may = match actor {
            Actor::Control => true,
            Actor::User(user) => {
                let rights = chat.rights(user);
                !rights.is_none() && rights.has(right)
            }
        };
        if may && chat.owner().is_some() {
            Ok(chat)
        } else {
            Err(Self::not_found())
        }
    }
}

fn info_of(chat: &Chat, row: &Row) -> SessionInfo {
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
