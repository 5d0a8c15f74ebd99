//! Connections: who comes, what they ask, when they go.

use std::borrow::Cow;

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, RequestNumber, ShareNumber};
use skein_wire::limits::{CLIENT_FRAME_BYTES_MAX, VERSION};
use skein_wire::request::{Request, Watch};
use skein_wire::update::{Pong, Update, Welcome};

use crate::connection::Connection;
use crate::identity::Identity;
use crate::ids::ConnectionId;
use crate::limits::{KEEP_ALIVE_MS, REQUESTS_WAITING_PER_CONNECTION_MAX, TOKEN_LOOK_MS};
use crate::output::Output;
use crate::peer_message::Message;
use crate::shard::Shard;
use crate::time::Timestamp;
use crate::timer::Timer;
use crate::user_connections::UserConnections;

impl Shard {
    /// A peer has said a valid `Hello`. It is welcomed. An id that is in use already is a fault of
    /// the caller; the old connection gives way.
    pub fn handle_connected(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        identity: Identity,
    ) {
        self.tick(now);
        if self.connections.contains_key(&connection) {
            self.forget_connection(now, connection);
        }
        let expires_at = Timestamp(identity.expires_at_ms);
        let user = identity.person.user.clone();
        let is_relay = identity.person.is_relay();
        let known = self.users.entry(user);
        known
            .or_insert(UserConnections::One(connection))
            .insert(connection);
        self.connections
            .insert(connection, Connection::new(identity.person, expires_at));
        self.stats.connections = self.connections.len() as u64;
        self.arm_token(now, connection);
        if is_relay {
            self.relays.insert(connection, Vec::new());
        }
        let limits = &self.config.limits;
        let welcome = Welcome {
            version: VERSION,
            log: self.config.log_id,
            server_time_ms: now.0,
            frame_bytes_max: CLIENT_FRAME_BYTES_MAX as u32,
            duration_s_max: limits.duration_s_max,
            keep_alive_ms: KEEP_ALIVE_MS,
            stale_after_ms: u32::try_from(limits.stale_after_ms).unwrap_or(u32::MAX),
            views_recorded: limits.views_recorded,
        };
        self.frame(connection, Update::Welcome(welcome));
        self.tell_upstream(connection);
        self.settle(now);
    }

    /// A connection showed a new valid token. It must be of the same user, and give no less than the
    /// one before: what its watches and shares stand on would be gone.
    pub fn handle_identity(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        identity: Identity,
    ) {
        self.tick(now);
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        if known.person.user != identity.person.user {
            let text = "a connection keeps its user; open another one for another user";
            self.close(now, connection, WireError::new(Code::BadToken, text));
        } else if !identity.person.gives_no_less_than(&known.person) {
            let text = "the new token gives less than the old one; open another connection";
            self.close(
                now,
                connection,
                WireError::new(Code::MembershipRevoked, text),
            );
        } else {
            known.person = identity.person;
            known.expires_at = Timestamp(identity.expires_at_ms);
            let watched: Vec<ChatHandle> = known.watches.keys().copied().collect();
            self.arm_token(now, connection);
            // It may bring a finer grid, or none.
            for chat in watched {
                self.regrade_watch(now, connection, chat);
            }
        }
        self.settle(now);
    }

    /// A connection is gone. One that is not known (any more) is ignored.
    pub fn handle_disconnected(&mut self, now: Timestamp, connection: ConnectionId) {
        self.tick(now);
        self.forget_connection(now, connection);
        self.settle(now);
    }

    /// A frame of a connection. `Hello` and `Auth` are the transport's business: here they are out
    /// of order and end the connection.
    pub fn handle_frame(&mut self, now: Timestamp, connection: ConnectionId, request: Request) {
        self.tick(now);
        if !self.connections.contains_key(&connection) {
            return;
        }
        if self.config.relay.is_some()
            && let Some(request) = sender_request(&request)
        {
            self.refuse_sender(connection, request);
            self.settle(now);
            return;
        }
        match request {
            Request::Hello(_) | Request::Auth(_) => {
                self.close(now, connection, WireError::of(Code::OutOfOrder));
            }
            Request::Point(point) => self.share_point(connection, point),
            Request::Points(points) => self.share_points(connection, points),
            Request::Heartbeat(heartbeat) => self.share_heartbeat(connection, heartbeat),
            Request::Cursor(report) => self.complain(connection, report),
            Request::Ping(number) => {
                let pong = Pong {
                    number,
                    server_time_ms: now.0,
                };
                self.frame(connection, Update::Pong(pong));
            }
            Request::Unwatch(unwatch) => self.unwatch(now, connection, unwatch),
            Request::MembersAsk(ask) => self.members_asked(connection, &ask),
            Request::MembersSeen(seen) => self.members_seen(connection, seen),
            Request::ShareStart(start) => {
                if self.may_ask(now, connection, start.request) {
                    self.share_start(connection, start);
                }
            }
            Request::ShareResume(resume) => {
                if self.may_ask(now, connection, resume.request) {
                    self.share_resume(connection, resume);
                }
            }
            Request::ShareExtend(extend) => {
                if self.may_ask(now, connection, extend.request) {
                    self.share_extend(connection, extend);
                }
            }
            Request::ShareStop(stop) => {
                if self.may_ask(now, connection, stop.request) {
                    self.share_stop(connection, stop);
                }
            }
            Request::Watch(watch) => {
                let may_look = watch.view.is_none() || self.may_move_map(now, connection, &watch);
                if may_look && self.may_ask(now, connection, watch.request) {
                    self.watch(now, connection, watch);
                }
            }
        }
        self.settle(now);
    }

    /// Whether a watch of a part of the map is within their rate; otherwise it is refused, and counts as no
    /// request.
    fn may_move_map(&mut self, now: Timestamp, connection: ConnectionId, watch: &Watch) -> bool {
        let Some(known) = self.connections.get(&connection) else {
            return false;
        };
        if known.person.is_relay() {
            return true;
        }
        let rate = self.view_rates.entry(connection).or_default();
        if rate.take(now, self.view_rate) {
            return true;
        }
        let text = "too many views; ask when the map has come to rest";
        let error = WireError::new(Code::RateLimited, text);
        self.refuse(connection, watch.request, error);
        false
    }

    /// Whether a request is within the connection's bounds; otherwise it is refused.
    fn may_ask(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        request: RequestNumber,
    ) -> bool {
        let Some(known) = self.connections.get_mut(&connection) else {
            return false;
        };
        let error = if !self.is_serving {
            WireError::of(Code::Recovering)
        } else if known.person.is_relay() {
            // It asks on behalf of all its viewers.
            return true;
        } else if !known.rate.take(now, self.request_rate) {
            WireError::new(Code::RateLimited, "too many requests; send fewer")
        } else if (known.waiting + known.asking) as usize >= REQUESTS_WAITING_PER_CONNECTION_MAX {
            WireError::new(
                Code::LimitReached,
                "too many requests wait for an answer; wait for one first",
            )
        } else {
            return true;
        };
        self.refuse(connection, request, error);
        false
    }

    /// Ends a connection.
    pub(super) fn close(&mut self, now: Timestamp, connection: ConnectionId, error: WireError) {
        self.stats.count_refused(error.code);
        self.forget_connection(now, connection);
        let text: Cow<'static, str> = error.text;
        self.emit(Output::Close {
            connection,
            code: error.code,
            retry_after_ms: 0,
            text,
        });
    }

    fn forget_connection(&mut self, now: Timestamp, connection: ConnectionId) {
        let Some(gone) = self.connections.remove(&connection) else {
            return;
        };
        self.view_rates.remove(&connection);
        let known = self.users.get_mut(&gone.person.user);
        if known.is_some_and(|known| known.remove(connection)) {
            self.users.remove(&gone.person.user);
        }
        let guest = gone.person.guest().filter(|_| gone.has_place);
        for (chat, watch) in gone.watches {
            if let Some(grant) = guest {
                let (owner, guest) = (self.owner_of_name(&grant.chat), grant.guest);
                self.post(owner, Message::PlaceBack { chat, guest });
            }
            self.end_viewer(now, chat, watch);
        }
        for share in gone.shares.into_values() {
            let unbind = Message::Unbind {
                connection,
                chat: share.chat,
                session: share.session,
            };
            self.post(share.owner, unbind);
        }
        self.stop_asking(connection);
        self.forget_relay(connection);
        self.stats.connections = self.connections.len() as u64;
    }

    /// Sets the timer of a connection's token, unless one is set that comes early enough.
    fn arm_token(&mut self, now: Timestamp, connection: ConnectionId) {
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        let look = Timestamp((now.0 / TOKEN_LOOK_MS + 1).saturating_mul(TOKEN_LOOK_MS));
        let at = known.expires_at.min(look);
        if at < known.token_timer_at {
            known.token_timer_at = at;
            self.wheel.set(at, Timer::Token(connection));
        }
    }

    /// A token's time may be over.
    pub(super) fn token_due(&mut self, now: Timestamp, connection: ConnectionId, at: Timestamp) {
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        if known.token_timer_at != at {
            return;
        }
        known.token_timer_at = Timestamp::NEVER;
        if known.expires_at <= now {
            self.close(now, connection, WireError::of(Code::TokenExpired));
        } else {
            self.arm_token(now, connection);
        }
    }

    /// A share number that names nothing: never given is a fault, given once is an end that crossed
    /// the frame.
    pub(super) fn share_is_over(&self, connection: ConnectionId, share: ShareNumber) -> bool {
        self.connections
            .get(&connection)
            .is_some_and(|known| known.was_given(share))
    }
}

/// The number of a request that only senders make.
fn sender_request(request: &Request) -> Option<RequestNumber> {
    match request {
        Request::ShareStart(start) => Some(start.request),
        Request::ShareResume(resume) => Some(resume.request),
        Request::ShareExtend(extend) => Some(extend.request),
        Request::ShareStop(stop) => Some(stop.request),
        _ => None,
    }
}
