//! Viewers on this shard: watch, unwatch, complaints, revocation, and the pass that serves them.

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, RequestNumber, SessionId, UserName};
use skein_wire::limits::{TRAIL_POINTS_MAX, VIEW_ROWS_MAX};
use skein_wire::map_view::MapView;
use skein_wire::request::{CursorReport, Delivery, Unwatch, Watch};
use skein_wire::update::{Coarse, Done, Update, Watching};
use skein_wire::varint;

use crate::audience::step_of;
use crate::batch_builder::Scope;
use crate::connection::WatchState;
use crate::cursor::{CursorContext, resume_offset};
use crate::fan_out::{FanOutReport, WatchSpec};
use crate::grid::Grid;
use crate::ids::{ConnectionId, ViewId, ViewerId};
use crate::limits::RELAY_CHATS_MAX;
use crate::map::MapArea;
use crate::naming_wait::NamingWait;
use crate::rights::Rights;
use crate::shard::Shard;
use crate::sink::Sink;
use crate::time::Timestamp;

/// A view and one session exclude each other.
const VIEW_OF_ONE: &str = "a view is of a whole chat; watch one session without it";

impl Shard {
    /// The transport of a connection can take more.
    pub fn handle_writable(&mut self, connection: ConnectionId) {
        if let Some(known) = self.connections.get(&connection) {
            for watch in known.watches.values() {
                self.fan_out.writable(watch.viewer);
            }
        }
    }

    /// A stream that carried a batch has arrived whole.
    pub fn handle_stream_done(&mut self, connection: ConnectionId, viewer: ViewerId) {
        let known = self.connections.get(&connection);
        let is_its =
            known.is_some_and(|known| known.watches.values().any(|watch| watch.viewer == viewer));
        if is_its {
            self.fan_out.stream_done(viewer);
        }
    }

    /// Serves a bounded number of viewers. Outputs are drained before, so that each has been told
    /// of its watch; and after, for the slices of checkpoints and images that may have been written, and the
    /// crossings that some were told:
    /// this is the moment in a pass when what was appended has come back from the log.
    pub fn fan_out<S: Sink + ?Sized>(&mut self, now: Timestamp, sink: &mut S) -> FanOutReport {
        self.write_checkpoints();
        self.write_images();
        self.tell_crossings();
        let report = self.fan_out.pass(now, &self.chats, sink);
        self.stats.count_fan_out(&report);
        report
    }

    /// What the last [`Self::fan_out`] has cost with the sends that came of it, nanoseconds: very large chats
    /// are served as often as they can afford, see [`crate::fan_out::Pacing`].
    pub fn note_fan_out_cost(&mut self, cost_ns: u64) {
        self.fan_out.note_cost(cost_ns);
    }

    pub(super) fn watch(&mut self, now: Timestamp, connection: ConnectionId, watch: Watch) {
        let request = watch.request;
        if let Err(error) = self.try_watch(now, connection, watch) {
            self.refuse(connection, request, error);
        }
    }

    fn try_watch(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        watch: Watch,
    ) -> Result<(), WireError> {
        check_fields(&watch)?;
        let Some(known) = self.connections.get(&connection) else {
            return Ok(());
        };
        let claim = known.person.claim(&watch.chat);
        let chat = self.chats.named(&watch.chat);
        let again = chat.is_some_and(|chat| known.watches.contains_key(&chat));
        let watches = known.watches.len() + known.asking as usize;
        let is_relay = known.person.is_relay();
        let watches_max = match is_relay {
            true => RELAY_CHATS_MAX,
            false => self.config.limits.watches_per_connection_max,
        };
        if !again && watches >= watches_max {
            return Err(WireError::of(Code::LimitReached));
        }
        // Judged in any case, so that a chat that is not there takes as long as one without a right.
        let who = (&known.person.user, claim);
        let judged = self.check_right(chat.unwrap_or_default(), who, Rights::WATCH_LEAST);
        let is_owner = self.owner_of_name(&watch.chat) == self.config.shard;
        match (chat, judged) {
            (Some(chat), Ok(())) => {
                if self.asks_for_place(connection, chat, &watch) {
                    return Ok(());
                }
                self.register(now, connection, chat, &watch)
            }
            (None, _) if is_owner && !is_relay && claim.watches() => {
                let name = watch.chat.clone();
                let wait = NamingWait::Watch { connection, watch };
                self.await_name(&name, claim, Rights::WATCH_LEAST, wait)
            }
            (_, Err(error)) if is_owner => Err(error),
            // The owner says no as well. Without this, whether somebody here watches the chat would
            // show in how soon a stranger is refused.
            _ => {
                self.ask_image(connection, watch);
                Ok(())
            }
        }
    }

    /// A watch that is allowed begins, in place of an older one of the same chat.
    fn register(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        chat: ChatHandle,
        watch: &Watch,
    ) -> Result<(), WireError> {
        let scope = self.scope_of(connection, chat, watch)?;
        let known = self.connections.get(&connection);
        let guest = known.and_then(|known| known.person.guest());
        let is_past_shown = match guest {
            Some(grant) => !grant.is_newest_only(),
            None => scope.grid.is_none(),
        };
        // The grid of a link never changes, that of a member may have.
        let begins_anew = scope.area.is_some() || (scope.grid.is_some() && guest.is_none());
        let known = self.chats.get(chat).ok_or(Self::not_found())?;
        if let Some(session) = scope.session
            && known.table.row(session).is_none()
        {
            return match known.is_mirror() {
                true => self.ask_row(connection, chat, session, watch),
                false => Err(Self::not_found()),
            };
        }
        let state = &self.partitions[usize::from(known.partition.0)];
        let context = CursorContext {
            log: self.config.log_id,
            epochs: known.fed_epochs().unwrap_or(&state.epochs),
            offset_max: match known.fed_epochs() {
                // A viewer that comes from the upstream may be ahead of a relay, which will catch up.
                Some(_) => varint::MAX,
                // A mirror that has just begun may be ahead of what the shard follows.
                None => state.followed.max(known.table.as_of()),
            },
            horizon: known.table.horizon(),
        };
        let spec = WatchSpec {
            connection,
            chat,
            scope,
            // What was shown of another choice of cells, or on another grid, is no beginning for this one.
            from: match begins_anew {
                true => 0,
                false => resume_offset(watch.cursor, &context),
            },
            trail: if is_past_shown { watch.trail } else { 0 },
            interval_ms: watch.interval_ms,
        };
        let watching = Watching {
            request: watch.request,
            chat,
            epoch: known.table.epoch(),
            horizon: known.table.horizon(),
            from: spec.from,
        };
        let viewer = self.fan_out.register(&spec, &known.table);
        if let Some(grid) = spec.scope.grid {
            let (request, grid_m) = (watch.request, grid.metres());
            self.frame(connection, Update::Coarse(Coarse { request, grid_m }));
        }
        self.frame(connection, Update::Watching(watching));
        let step = step_of(watch.interval_ms);
        if let Some(known) = self.chats.get_mut(chat) {
            known.audience.add(step);
        }
        self.note_watch(now, connection, chat, (viewer, step), scope.session);
        self.stats.viewers = self.fan_out.len() as u64;
        self.demand_changed(now, chat);
        Ok(())
    }

    /// Notes a watch at its connection, in place of an older one of the same chat.
    fn note_watch(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        chat: ChatHandle,
        (viewer, step): (ViewerId, u8),
        session: Option<SessionId>,
    ) {
        let known = self.connections.get(&connection);
        let before = known.and_then(|known| known.watches.get(&chat)).copied();
        // Who asks again for the same goes on seeing it.
        let goes_on = before.filter(|before| self.fan_out.session_of(before.viewer) == session);
        let (since, view) = match goes_on {
            Some(before) => (before.since, before.view),
            None => (now, self.begin_view(now, connection, chat, session)),
        };
        let begun = WatchState {
            viewer,
            step,
            since,
            view,
        };
        if let Some(known) = self.connections.get_mut(&connection) {
            known.watches.insert(chat, begun);
        }
        if let Some(mut before) = before {
            if goes_on.is_some() {
                before.view = ViewId::default();
            }
            self.end_viewer(now, chat, before);
        }
    }

    /// What a watch may see of what it asks for: everything, except through a guest's link or on a grid.
    fn scope_of(
        &self,
        connection: ConnectionId,
        chat: ChatHandle,
        watch: &Watch,
    ) -> Result<Scope, WireError> {
        let grid = self.grid_for(connection, chat);
        let asked = Scope {
            delivery: match grid {
                Some(_) => Delivery::Latest,
                None => watch.delivery,
            },
            session: watch.session,
            grid,
            area: watch.view.as_ref().map(MapArea::around),
        };
        let known = self.connections.get(&connection);
        if grid.is_some() && known.is_some_and(|known| known.person.is_relay()) {
            // It shows to others what it is shown, as if it were what is there.
            return Err(Self::not_found());
        }
        let Some(grant) = known.and_then(|known| known.person.guest()) else {
            return Ok(asked);
        };
        if watch.session.is_some_and(|session| !grant.shows(session)) {
            return Err(Self::not_found());
        }
        if grant.session.is_some() && watch.view.is_some() {
            return Err(WireError::new(Code::BadRequest, VIEW_OF_ONE));
        }
        Ok(Scope {
            delivery: match grant.is_newest_only() {
                true => Delivery::Latest,
                false => asked.delivery,
            },
            session: grant.session.or(asked.session),
            ..asked
        })
    }

    pub(super) fn unwatch(&mut self, now: Timestamp, connection: ConnectionId, asked: Unwatch) {
        let known = self.connections.get_mut(&connection);
        let watch = known.and_then(|known| known.watches.remove(&asked.chat));
        let Some(watch) = watch else {
            self.refuse(connection, asked.request, WireError::of(Code::UnknownWatch));
            return;
        };
        self.end_viewer(now, asked.chat, watch);
        self.give_place_back(connection, asked.chat);
        let done = Done {
            request: asked.request,
            durable: true,
        };
        self.frame(connection, Update::Done(done));
    }

    /// A viewer is no more.
    pub(super) fn end_viewer(&mut self, now: Timestamp, chat: ChatHandle, watch: WatchState) {
        self.fan_out.remove(watch.viewer);
        self.end_view(now, watch.view);
        self.stats.viewers = self.fan_out.len() as u64;
        if let Some(known) = self.chats.get_mut(chat) {
            known.audience.remove(watch.step);
        }
        self.idle_from(now, chat);
        self.demand_changed(now, chat);
    }

    /// A user lost the right to watch: every watch of theirs ends, unless the token brings the right,
    /// and what is half-written is not completed.
    pub(super) fn revoke_watches(&mut self, now: Timestamp, chat: ChatHandle, user: &UserName) {
        let Some(connections) = self.users.get(user).cloned() else {
            return;
        };
        for connection in connections.iter() {
            if self.may_watch(connection, chat) {
                continue;
            }
            self.end_watch(now, connection, chat, Code::MembershipRevoked);
        }
    }

    /// Whether a connection may watch a chat by what is followed and what its token brings.
    pub(super) fn may_watch(&self, connection: ConnectionId, chat: ChatHandle) -> bool {
        let person = self.connections.get(&connection).map(|it| &it.person);
        let known = self.chats.get(chat);
        person.zip(known).is_some_and(|(person, known)| {
            let claim = person.claim(&known.name);
            let stored = known.rights_followed(&person.user);
            stored.with_claim(claim).watches()
        })
    }

    /// The grid on which a connection may see the places of a chat now; `None` = as they are.
    fn grid_for(&self, connection: ConnectionId, chat: ChatHandle) -> Option<Grid> {
        let known = self.connections.get(&connection)?;
        self.chats.get(chat)?.grid_for(&known.person)
    }

    /// A user's rights have changed: watches on a grid other than theirs end, and what is half-written is not
    /// completed.
    pub(super) fn regrade_watches(&mut self, now: Timestamp, chat: ChatHandle, user: &UserName) {
        let Some(connections) = self.users.get(user).cloned() else {
            return;
        };
        for connection in connections.iter() {
            self.regrade_watch(now, connection, chat);
        }
    }

    /// Ends a watch of this connection that is on a grid other than its right.
    pub(super) fn regrade_watch(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        chat: ChatHandle,
    ) {
        let known = self.connections.get(&connection);
        let watch = known.and_then(|known| known.watches.get(&chat));
        let Some(shown) = watch.map(|watch| self.fan_out.grid_of(watch.viewer)) else {
            return;
        };
        if shown != self.grid_for(connection, chat) {
            self.end_watch(now, connection, chat, Code::RightsChanged);
        }
    }

    /// A viewer says what it has.
    pub(super) fn complain(&mut self, connection: ConnectionId, report: CursorReport) {
        let known = self.connections.get(&connection);
        let watch = known.and_then(|known| known.watches.get(&report.chat));
        let (Some(watch), Some(chat)) = (watch, self.chats.get(report.chat)) else {
            let error = WireError::of(Code::UnknownWatch);
            self.refuse(connection, RequestNumber(0), error);
            return;
        };
        self.fan_out.complain(watch.viewer, &report, &chat.table);
    }
}

fn check_fields(watch: &Watch) -> Result<(), WireError> {
    if let Some(view) = &watch.view {
        check_view(watch, view)?;
    }
    if usize::from(watch.trail) > TRAIL_POINTS_MAX {
        let text = format!("a trail has at most {TRAIL_POINTS_MAX} points");
        return Err(WireError::new(Code::BadRequest, text));
    }
    Ok(())
}

/// A view is of a whole chat, for a map that shows where everybody is.
fn check_view(watch: &Watch, view: &MapView) -> Result<(), WireError> {
    if !view.in_range() {
        let text = format!(
            "a view has edges on earth, from south to north, and 1 to {VIEW_ROWS_MAX} rows"
        );
        return Err(WireError::new(Code::BadRequest, text));
    }
    let text = if watch.session.is_some() {
        VIEW_OF_ONE
    } else if watch.delivery != Delivery::Latest || watch.trail > 0 {
        "a view shows newest points only; ask for `latest` and no trail"
    } else {
        return Ok(());
    };
    Err(WireError::new(Code::BadRequest, text))
}
