//! A viewer without I/O: frames and time in, requests and changes out.
//!
//! It keeps one cursor per watch, applies batches by the rule of `docs/PROTOCOL.md`,
//! complains about gaps (and only then), and notices a server that has gone silent. Being offline
//! is a matter of the connection ([`ViewerState::is_connected`]) and never changes a session's
//! state, which is the server's judgement.
//!
//! ```
//! use skein_client::viewer_state::{ViewerState, WatchOptions};
//! use skein_wire::ids::ChatName;
//! use skein_wire::request::Request;
//! use skein_wire::update::{Update, Welcome};
//!
//! let mut viewer = ViewerState::new();
//! viewer.watch(WatchOptions::new(ChatName::new("geese")?));
//! let welcome = Welcome {
//!     version: 1, log: 7, server_time_ms: 1_000, frame_bytes_max: 4096,
//!     duration_s_max: 28_800, keep_alive_ms: 10_000, stale_after_ms: 30_000, views_recorded: false,
//! };
//! viewer.handle(0, &Update::Welcome(welcome))?;
//! assert!(matches!(viewer.poll_request(), Some(Request::Watch(_))));
//! # Ok::<(), skein_wire::error::WireError>(())
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use skein_wire::batch::Batch;
use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, ChatName, Cursor, RequestNumber, SessionId, UserName};
use skein_wire::map_view::MapView;
use skein_wire::request::{Delivery, Request, Unwatch, Watch};
use skein_wire::update::{
    Cluster, Clusters, Coarse, Crossing, Goodbye, Head, Refused, Update, Upstream, Viewing,
    WatchEnded, Watching, Welcome,
};

use crate::change::{Change, Event, Subject};
use crate::chat_view::ChatView;
use crate::complaint::Complaint;
use crate::early::{Early, News};
use crate::error::is_transient;
use crate::keep_alive::KeepAlive;
use crate::limits::{LOOK_MS_MIN, RETRY_REFUSED_MS, ROUND_TRIP_MS_GUESS};
use crate::row::TrailWish;
use crate::server_clock::ServerClock;

/// What to watch, and how.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// Which chat.
    pub chat: ChatName,
    /// Only this session of it.
    pub session: Option<SessionId>,
    /// Only a part of the map; `None` = the whole chat.
    pub view: Option<MapView>,
    /// Newest only, or everything.
    pub delivery: Delivery,
    /// Points of each session's trail wanted in the first batch.
    pub trail: u8,
    /// Only those of them that were captured within so many milliseconds; `None` = however old.
    pub trail_age_ms: Option<u64>,
    /// Shortest wanted time between two batches in milliseconds; 0 = as they come.
    pub interval_ms: u32,
    /// What was seen before, by this or another process.
    pub cursor: Option<Cursor>,
}

impl WatchOptions {
    /// The whole chat, newest points only, from nothing.
    pub fn new(chat: ChatName) -> Self {
        Self {
            chat,
            session: None,
            view: None,
            delivery: Delivery::Latest,
            trail: 0,
            trail_age_ms: None,
            interval_ms: 0,
            cursor: None,
        }
    }
}

/// A watch of a [`ViewerState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(u32);

/// What a tapped watch gives, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tapped {
    /// The server has accepted the watch, on this connection.
    Watching(WatchId, Watching),
    /// A batch was applied. Its counters are exact.
    Batch(WatchId, Batch),
}

/// All watches of one viewer, over one connection after the other.
#[derive(Debug, Default)]
pub struct ViewerState {
    watches: BTreeMap<WatchId, WatchState>,
    watch_next: u32,
    request_last: u32,
    connection: Option<Connection>,
    goodbye: Option<Goodbye>,
    clock: ServerClock,
    early: Early,
    requests: VecDeque<Request>,
    changes: VecDeque<Change>,
    tapped: VecDeque<Tapped>,
    upstream: Upstream,
}

#[derive(Debug)]
struct Connection {
    log: u64,
    views_recorded: bool,
    keep_alive: KeepAlive,
    /// A question waits for its answer for so long that this viewer may be offline.
    is_doubtful: bool,
}

#[derive(Debug)]
struct WatchState {
    options: WatchOptions,
    view: ChatView,
    phase: Phase,
    complaint: Complaint,
    is_tapped: bool,
    /// Metres of the grid that is told of the request on its way; 0 = none is.
    asked_grid_m: u32,
    /// It ended because another right is to be obeyed: what comes before the next `Watching` may be of the old one.
    is_regraded: bool,
    /// Not before this another part of the map is asked for.
    look_at_ms: u64,
    /// Another part of the map is to be asked for.
    look_wanted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not asked for on this connection.
    Idle,
    Asked(RequestNumber),
    Watching(ChatHandle),
    /// Refused for now; ask again then.
    Later(u64),
}

impl ViewerState {
    /// A viewer without watches.
    pub fn new() -> Self {
        Self::default()
    }

    /// Watches a chat from now on, on this and on all later connections.
    pub fn watch(&mut self, options: WatchOptions) -> WatchId {
        let id = WatchId(self.watch_next);
        self.watch_next += 1;
        self.watches.insert(id, WatchState::new(options));
        if self.connection.is_some() {
            self.ask(id);
        }
        id
    }

    /// Watches a chat and hands its batches on instead of changes, see [`Self::poll_tapped`]. For relays.
    pub fn tap(&mut self, options: WatchOptions) -> WatchId {
        let id = self.watch(options);
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.is_tapped = true;
            watch.view.tap();
        }
        id
    }

    /// What tapped watches have given, in order.
    pub fn poll_tapped(&mut self) -> Option<Tapped> {
        self.tapped.pop_front()
    }

    /// Goes back: asks for everything since `offset` again. For a relay, which learns so of ends that lie
    /// before its first batch.
    pub fn rewind(&mut self, id: WatchId, offset: u64) {
        let Some(watch) = self.watches.get_mut(&id) else {
            return;
        };
        if matches!(watch.phase, Phase::Watching(_)) {
            watch.view.rewind(offset);
            self.ask(id);
        }
    }

    /// From now on a watch wants batches no more often than this, milliseconds; 0 = as they come. It is
    /// asked for again, with its cursor.
    pub fn set_interval(&mut self, id: WatchId, interval_ms: u32) {
        let Some(watch) = self.watches.get_mut(&id) else {
            return;
        };
        let is_changed = watch.options.interval_ms != interval_ms;
        watch.options.interval_ms = interval_ms;
        if is_changed && matches!(watch.phase, Phase::Watching(_)) {
            self.ask(id);
        }
    }

    /// Looks at another part of the map, or at a part of what was watched as a whole. It is asked for at most every
    /// [`LOOK_MS_MIN`]; what was wanted in between counts for nothing.
    pub fn look(&mut self, now_ms: u64, id: WatchId, view: MapView) {
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.options.view = Some(view);
            watch.look_wanted = true;
            self.look_again(now_ms);
        }
    }

    /// Asks for the parts of the map that are wanted and due.
    fn look_again(&mut self, now_ms: u64) {
        let is_due = |watch: &WatchState| watch.look_due_ms().is_some_and(|due| due <= now_ms);
        for id in self.ids(is_due) {
            self.ask(id);
            if let Some(watch) = self.watches.get_mut(&id) {
                watch.look_at_ms = now_ms + LOOK_MS_MIN;
            }
        }
    }

    /// Stops watching; nothing of it follows.
    pub fn unwatch(&mut self, id: WatchId) {
        let Some(watch) = self.watches.remove(&id) else {
            return;
        };
        if let Phase::Watching(chat) = watch.phase
            && self.connection.is_some()
        {
            let request = self.next_request();
            self.requests
                .push_back(Request::Unwatch(Unwatch { request, chat }));
        }
    }

    /// Takes a frame from the server. A `Welcome` begins a connection.
    ///
    /// # Errors
    /// Bytes that break the protocol: the server's fault. Give the connection up.
    pub fn handle(&mut self, now_ms: u64, update: &Update) -> Result<(), WireError> {
        if let Some(connection) = &mut self.connection {
            connection.keep_alive.heard(now_ms);
            connection.is_doubtful = false;
        }
        match update {
            Update::Welcome(welcome) => self.handle_welcome(now_ms, welcome),
            Update::Watching(watching) => self.handle_watching(now_ms, watching)?,
            Update::Coarse(coarse) => self.handle_coarse(*coarse),
            Update::Batch(body) => self.handle_batch(now_ms, body)?,
            Update::Head(head) => self.handle_head(now_ms, head),
            Update::Viewing(viewing) => self.handle_viewing(now_ms, viewing)?,
            Update::Clusters(clusters) => self.handle_clusters(now_ms, clusters)?,
            Update::Pong(pong) => {
                self.clock.observe(now_ms, pong.server_time_ms);
                if let Some(connection) = &mut self.connection {
                    connection.keep_alive.pong(now_ms, pong);
                }
            }
            Update::Refused(refused) => self.handle_refused(now_ms, refused),
            Update::WatchEnded(ended) => self.handle_watch_ended(ended),
            Update::Crossing(crossing) => self.handle_crossing(crossing),
            Update::Goodbye(goodbye) => self.goodbye = Some(goodbye.clone()),
            Update::Upstream(upstream) => self.upstream = upstream.clone(),
            // Answers to `Unwatch`, the sender's half and that of relays.
            Update::Done(_)
            | Update::Shared(_)
            | Update::Accepted(_)
            | Update::Demand(_)
            | Update::ShareEnded(_)
            | Update::Members(_) => {}
        }
        Ok(())
    }

    /// The connection is gone. Cursors and tables stay.
    pub fn handle_disconnected(&mut self) {
        self.connection = None;
        self.requests.clear();
        self.early.clear();
        for watch in self.watches.values_mut() {
            watch.phase = Phase::Idle;
            watch.is_regraded = false;
            watch.complaint = Complaint::default();
            watch.view.unbind();
        }
    }

    /// The next request to send.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// The next change to show.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called, in the time of the other calls.
    pub fn poll_timeout(&self) -> Option<u64> {
        let connection = self.connection.as_ref()?;
        let watches = self.watches.values().filter_map(WatchState::timeout_ms);
        let doubt = connection.keep_alive.doubt_ms();
        let doubt = doubt.filter(|_| !connection.is_doubtful);
        let of_connection = [Some(connection.keep_alive.timeout_ms()), doubt];
        watches.chain(of_connection.into_iter().flatten()).min()
    }

    /// Time has passed: complaints, keep-alives, postponed watches.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        if connection.keep_alive.is_due(now_ms) {
            self.requests.push_back(connection.keep_alive.ask(now_ms));
            let reports = self.watches.values().filter_map(WatchState::report);
            self.requests.extend(reports);
        }
        let doubt = connection.keep_alive.doubt_ms();
        connection.is_doubtful = doubt.is_some_and(|at| at <= now_ms);
        let postponed =
            |watch: &WatchState| matches!(watch.phase, Phase::Later(at) if at <= now_ms);
        for id in self.ids(postponed) {
            self.ask(id);
        }
        self.look_again(now_ms);
        for id in self.ids(WatchState::is_behind) {
            self.complain(now_ms, id);
        }
    }

    /// Whether a connection is up. If not, *this viewer* is offline: what it shows is old, and says
    /// nothing about the senders.
    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Whether the server has not answered for so long that *this viewer* may be offline. Then, too, what it shows
    /// says nothing about the senders. True only while a connection is up.
    pub fn is_doubtful(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(|connection| connection.is_doubtful)
    }

    /// Since when the relay that this viewer is connected to hears nothing from the server that it relays,
    /// server time in milliseconds since 1970; `None` while it hears, or where there is no relay. What is
    /// shown is as of then, and says nothing about the senders.
    pub fn upstream_lost_since_ms(&self) -> Option<u64> {
        let since = self.upstream.lost_since_ms;
        (self.is_connected() && since > 0).then_some(since)
    }

    /// Whether the server keeps a record of who watched whom: tell the user. False while offline.
    pub fn views_recorded(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(|connection| connection.views_recorded)
    }

    /// Whether the server has not answered for so long that the connection is to be given up.
    pub fn is_server_silent(&self, now_ms: u64) -> bool {
        let silent = |connection: &Connection| connection.keep_alive.is_dead(now_ms);
        self.connection.as_ref().is_some_and(silent)
    }

    /// The server's farewell on this connection, once.
    pub fn take_goodbye(&mut self) -> Option<Goodbye> {
        self.goodbye.take()
    }

    /// The server's clock, for ages.
    pub fn clock(&self) -> &ServerClock {
        &self.clock
    }

    /// Whether a watch is still on (not refused, ended or given up).
    pub fn is_watching(&self, id: WatchId) -> bool {
        self.watches.contains_key(&id)
    }

    /// Whether any watch is on.
    pub fn has_watches(&self) -> bool {
        !self.watches.is_empty()
    }

    /// What is known of a watch; none if it is not on.
    pub fn views(&self, id: WatchId) -> impl Iterator<Item = &ChatView> {
        self.watches.get(&id).into_iter().map(|watch| &watch.view)
    }

    fn handle_welcome(&mut self, now_ms: u64, welcome: &Welcome) {
        self.handle_disconnected();
        self.upstream = Upstream::default();
        self.goodbye = None;
        self.clock.observe(now_ms, welcome.server_time_ms);
        let mut keep_alive = KeepAlive::new(now_ms);
        keep_alive.set_interval(welcome.keep_alive_ms);
        for id in self.ids(|_| true) {
            self.ask(id);
        }
        // Behind the watches: its answer tells the round trip.
        self.requests.push_back(keep_alive.ask(now_ms));
        self.connection = Some(Connection {
            log: welcome.log,
            views_recorded: welcome.views_recorded,
            keep_alive,
            is_doubtful: false,
        });
    }

    /// It comes before the `Watching` of the same request.
    fn handle_coarse(&mut self, coarse: Coarse) {
        let asked = Phase::Asked(coarse.request);
        for watch in self.watches.values_mut() {
            if watch.phase == asked {
                watch.asked_grid_m = coarse.grid_m;
            }
        }
    }

    fn handle_watching(&mut self, now_ms: u64, watching: &Watching) -> Result<(), WireError> {
        let Some(log) = self.connection.as_ref().map(|connection| connection.log) else {
            return Ok(());
        };
        let asked = Phase::Asked(watching.request);
        let asks = |watch: &WatchState| watch.phase == asked;
        let Some((id, watch)) = self.watches.iter_mut().find(|(_, watch)| asks(watch)) else {
            self.disown(watching.chat);
            return Ok(());
        };
        watch.phase = Phase::Watching(watching.chat);
        if watch.is_tapped {
            let id = *id;
            self.tapped.push_back(Tapped::Watching(id, *watching));
        }
        let grid_m = Some(watch.asked_grid_m).filter(|grid_m| *grid_m > 0);
        let delivery = watch.options.delivery;
        watch.view.set_grid(grid_m, delivery, &mut self.changes);
        watch.view.bind(log, watching.epoch, watching.from);
        watch.view.forget_cell();
        if std::mem::take(&mut watch.is_regraded) {
            // Some of it may be what follows; then it is repeated.
            let doubtful = self.early.take(watching.chat);
            let again = watch.report().filter(|_| !doubtful.is_empty());
            self.requests.extend(again);
        }
        self.apply_early(now_ms, watching.chat)?;
        // A view that took up a cursor without its table needs to know who is there, now.
        for id in self.ids(WatchState::is_behind) {
            self.complain(now_ms, id);
        }
        Ok(())
    }

    fn handle_batch(&mut self, now_ms: u64, body: &Bytes) -> Result<(), WireError> {
        let batch = Batch::decode(body)?;
        self.clock.observe(now_ms, batch.header.server_time_ms);
        self.take(now_ms, News::Batch(batch), body.len())
    }

    fn handle_clusters(&mut self, now_ms: u64, clusters: &Clusters) -> Result<(), WireError> {
        let bytes = size_of::<Clusters>() + clusters.clusters.len() * size_of::<Cluster>();
        self.take(now_ms, News::Clusters(clusters.clone()), bytes)
    }

    /// Applies some news, or keeps them if they have overtaken what says what they are of.
    fn take(&mut self, now_ms: u64, news: News, bytes: usize) -> Result<(), WireError> {
        let chat = Phase::Watching(news.chat());
        let mut watching = self.watches.values().filter(|watch| watch.phase == chat);
        let fits =
            |watch: &WatchState| !watch.view.is_map() || watch.view.cell() == Some(news.cell());
        let is_asked = |watch: &WatchState| matches!(watch.phase, Phase::Asked(_));
        let is_early = match watching.next() {
            Some(first) => !fits(first) && !watching.any(fits),
            None if self.watches.values().any(is_asked) => true,
            // Its watch is over.
            None => return Ok(()),
        };
        match is_early {
            true => self.early.keep(news, bytes),
            false => self.apply(now_ms, news)?,
        }
        Ok(())
    }

    /// Applies what has come before it was known what it is of.
    fn apply_early(&mut self, now_ms: u64, chat: ChatHandle) -> Result<(), WireError> {
        for (news, bytes) in self.early.take(chat) {
            self.take(now_ms, news, bytes)?;
        }
        Ok(())
    }

    fn apply(&mut self, now_ms: u64, news: News) -> Result<(), WireError> {
        let (chat, cell) = (news.chat(), news.cell());
        let batch = match news {
            News::Batch(batch) => batch,
            News::Clusters(clusters) => {
                for id in self.watching_all(chat) {
                    if let Some(watch) = self.watches.get_mut(&id) {
                        watch.view.count(clusters.clone(), &mut self.changes);
                    }
                }
                return Ok(());
            }
        };
        let round_trip_ms = self.round_trip_ms();
        // Two watches of one chat (two sessions of it) share its handle and its batches.
        for id in self.watching_all(chat) {
            let Some(watch) = self.watches.get_mut(&id) else {
                continue;
            };
            let view = &mut watch.view;
            if view.cell() != Some(cell) {
                continue;
            }
            let missed_known = view.misses_known_offset();
            view.apply(batch.clone(), &mut self.changes)?;
            let tapped = std::iter::from_fn(|| view.next_tapped());
            self.tapped
                .extend(tapped.map(|batch| Tapped::Batch(id, batch)));
            if !missed_known && view.misses_known_offset() {
                // A new gap, not the one that was complained about.
                watch.complaint.heal(round_trip_ms);
            }
            if watch.view.is_behind() {
                self.complain(now_ms, id);
            } else {
                watch.complaint.heal(round_trip_ms);
            }
        }
        Ok(())
    }

    fn handle_viewing(&mut self, now_ms: u64, viewing: &Viewing) -> Result<(), WireError> {
        for id in self.watching_all(viewing.chat) {
            if let Some(watch) = self.watches.get_mut(&id) {
                watch.view.show(viewing, &mut self.changes);
            }
        }
        self.apply_early(now_ms, viewing.chat)
    }

    fn handle_head(&mut self, now_ms: u64, head: &Head) {
        for id in self.watching_all(head.chat) {
            if let Some(watch) = self.watches.get_mut(&id)
                && watch.view.cell() == Some(head.cell)
            {
                watch.view.head(head.epoch, head.to);
            }
            self.complain(now_ms, id);
        }
    }

    /// A watch was granted that had been given up before. As long as others are being asked for it may be
    /// theirs: a connection has one watch of a chat.
    fn disown(&mut self, chat: ChatHandle) {
        let is_asked_for = |watch: &WatchState| matches!(watch.phase, Phase::Asked(_));
        if self.watching_all(chat).is_empty() && self.ids(is_asked_for).is_empty() {
            let request = self.next_request();
            self.requests
                .push_back(Request::Unwatch(Unwatch { request, chat }));
        }
    }

    fn handle_refused(&mut self, now_ms: u64, refused: &Refused) {
        let asked = Phase::Asked(refused.request);
        let Some(&id) = self.ids(|watch| watch.phase == asked).first() else {
            return;
        };
        match self.watches.get_mut(&id) {
            Some(watch) if is_transient(refused.code) => {
                watch.phase = Phase::Later(now_ms + RETRY_REFUSED_MS);
            }
            _ => self.end(id, refused.code, refused.text.clone()),
        }
    }

    fn handle_watch_ended(&mut self, ended: &WatchEnded) {
        for id in self.watching_all(ended.chat) {
            match self.watches.get_mut(&id) {
                // More or less is shown from here on, and all of it anew.
                Some(watch) if ended.code == Code::RightsChanged && !watch.is_tapped => {
                    watch.view.forget_points(watch.options.delivery);
                    watch.view.unbind();
                    watch.is_regraded = true;
                    self.ask(id);
                }
                _ => self.end(id, ended.code, ended.code.text().to_owned()),
            }
        }
    }

    /// Watches of one session hear of that session alone.
    fn handle_crossing(&mut self, crossing: &Crossing) {
        let subject = |(session, user): &(SessionId, UserName)| Subject {
            session: *session,
            user: user.clone(),
        };
        for id in self.watching_all(crossing.chat) {
            let Some(watch) = self.watches.get(&id) else {
                continue;
            };
            let session = watch.options.session;
            if session.is_some_and(|session| session != crossing.subject.0) {
                continue;
            }
            self.changes.push_back(Change {
                chat: watch.options.chat.clone(),
                subject: Some(Arc::new(subject(&crossing.subject))),
                cursor: watch.cursor(),
                event: Event::Crossed {
                    kind: crossing.kind,
                    name: crossing.name.clone(),
                    is_alert: crossing.is_alert,
                    other: crossing.other.as_ref().map(subject),
                    at_ms: crossing.at_ms,
                },
            });
        }
    }

    fn end(&mut self, id: WatchId, code: Code, text: String) {
        let Some(watch) = self.watches.remove(&id) else {
            return;
        };
        self.changes.push_back(Change {
            cursor: watch.cursor(),
            chat: watch.options.chat,
            subject: None,
            event: Event::WatchEnded { code, text },
        });
    }

    fn ask(&mut self, id: WatchId) {
        let request = self.next_request();
        let Some(watch) = self.watches.get_mut(&id) else {
            return;
        };
        watch.phase = Phase::Asked(request);
        watch.asked_grid_m = 0;
        watch.look_wanted = false;
        if watch.options.view.is_some() {
            watch.view.look();
        }
        let options = &watch.options;
        self.requests.push_back(Request::Watch(Watch {
            request,
            chat: options.chat.clone(),
            session: options.session,
            view: options.view,
            cursor: Some(watch.cursor()).filter(|cursor| cursor.offset > 0),
            delivery: options.delivery,
            trail: options.trail,
            interval_ms: options.interval_ms,
        }));
    }

    /// Reports the cursors of a watch that misses something, if it may by now.
    fn complain(&mut self, now_ms: u64, id: WatchId) {
        let round_trip = self.round_trip_ms();
        let Some(watch) = self.watches.get_mut(&id) else {
            return;
        };
        if watch.is_behind()
            && watch
                .complaint
                .is_due(now_ms, watch.view.misses_known_offset(), round_trip)
        {
            let report = watch.report();
            self.requests.extend(report);
        }
    }

    fn round_trip_ms(&self) -> u64 {
        let measured = |connection: &Connection| connection.keep_alive.round_trip_ms();
        self.connection
            .as_ref()
            .map_or(ROUND_TRIP_MS_GUESS, measured)
    }

    fn next_request(&mut self) -> RequestNumber {
        // 0 means the connection itself.
        self.request_last = self.request_last.checked_add(1).unwrap_or(1);
        RequestNumber(self.request_last)
    }

    fn ids(&self, wanted: impl Fn(&WatchState) -> bool) -> Vec<WatchId> {
        let wanted = self.watches.iter().filter(|(_, watch)| wanted(watch));
        wanted.map(|(id, _)| *id).collect()
    }

    fn watching_all(&self, chat: ChatHandle) -> Vec<WatchId> {
        self.ids(|watch| watch.phase == Phase::Watching(chat))
    }
}

impl WatchState {
    fn new(options: WatchOptions) -> Self {
        let trail = TrailWish {
            points: match options.trail {
                // Then the server lists none.
                0 => usize::MAX,
                points => points.into(),
            },
            age_ms: options.trail_age_ms,
        };
        let view = ChatView::new(options.chat.clone(), options.cursor, trail);
        Self {
            options,
            view,
            phase: Phase::Idle,
            complaint: Complaint::default(),
            is_tapped: false,
            asked_grid_m: 0,
            is_regraded: false,
            look_at_ms: 0,
            look_wanted: false,
        }
    }

    /// When another part of the map is to be asked for.
    fn look_due_ms(&self) -> Option<u64> {
        let can_ask = matches!(self.phase, Phase::Watching(_) | Phase::Asked(_));
        (self.look_wanted && can_ask).then_some(self.look_at_ms)
    }

    /// What it has.
    fn cursor(&self) -> Cursor {
        match self.view.begins_anew() {
            true => Cursor::default(),
            false => self.view.cursor(),
        }
    }

    fn is_behind(&self) -> bool {
        matches!(self.phase, Phase::Watching(_)) && self.view.is_behind()
    }

    fn timeout_ms(&self) -> Option<u64> {
        let own = match self.phase {
            Phase::Later(at) => Some(at),
            Phase::Watching(_) => self.is_behind().then_some(self.complaint.next_at_ms()),
            Phase::Idle | Phase::Asked(_) => None,
        };
        [own, self.look_due_ms()].into_iter().flatten().min()
    }

    /// "This is what I have."
    fn report(&self) -> Option<Request> {
        let Phase::Watching(chat) = self.phase else {
            return None;
        };
        self.view.report(chat).map(Request::Cursor)
    }
}
