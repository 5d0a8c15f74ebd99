//! Hub and viewer of a link, without I/O: what one has for the other, frames in, requests out.

use std::collections::BTreeMap;

use skein_client::change::Event;
use skein_client::error::ClientError;
use skein_client::viewer_state::{Tapped, ViewerState, WatchId, WatchOptions};
use skein_engine::relay::hub::{Hub, PathError};
use skein_engine::relay::hub_command::HubCommand;
use skein_engine::time::Timestamp;
use skein_wire::ids::{ChatName, RequestNumber};
use skein_wire::limits::TRAIL_POINTS_MAX;
use skein_wire::request::{Delivery, MembersAsk, MembersSeen, Request};
use skein_wire::update::{Goodbye, Update, Welcome};

/// Numbers of requests that are not the viewer's begin here: it counts from 1.
const REQUEST_FIRST: u32 = 1 << 31;

/// The hub of a relay and the viewer that feeds it.
#[derive(Debug)]
pub struct LinkCore {
    /// What the shards see.
    pub hub: Hub,
    viewer: ViewerState,
    watches: BTreeMap<ChatName, WatchId>,
    chats: BTreeMap<WatchId, ChatName>,
    request_last: u32,
    requests: Vec<Request>,
}

impl LinkCore {
    /// Before the first connection.
    pub fn new(hub: Hub) -> Self {
        Self {
            hub,
            viewer: ViewerState::new(),
            watches: BTreeMap::new(),
            chats: BTreeMap::new(),
            request_last: REQUEST_FIRST,
            requests: Vec::new(),
        }
    }

    /// A connection is up. `steady_ms` is the time of the viewer, here and elsewhere.
    pub fn connected(&mut self, steady_ms: u64, welcome: Welcome) {
        self.hub.handle_connected(welcome.log);
        // A welcome breaks no rule.
        let _ = self.viewer.handle(steady_ms, &Update::Welcome(welcome));
    }

    /// The connection is gone.
    pub fn lost(&mut self, now: Timestamp) {
        self.viewer.handle_disconnected();
        self.requests.clear();
        self.hub.handle_lost(now);
    }

    /// A frame of the upstream.
    ///
    /// # Errors
    /// When the connection has to be given up.
    pub fn take(
        &mut self,
        now: Timestamp,
        steady_ms: u64,
        update: &Update,
    ) -> Result<(), ClientError> {
        self.viewer
            .handle(steady_ms, update)
            .map_err(ClientError::Protocol)?;
        match update {
            Update::Members(members) => self.hub.handle_members(now, members),
            Update::Crossing(crossing) => self.hub.handle_crossing(crossing),
            Update::Upstream(above) => {
                if let Err(error) = self.hub.handle_upstream(above) {
                    return Err(ClientError::Url(path_text(error).to_owned()));
                }
            }
            Update::Refused(refused) if refused.request.0 > REQUEST_FIRST => {
                tracing::error!(
                    code = %refused.code,
                    "the upstream does not say who the members of a chat are; the token of relay.token must be one of `skein token --relay`"
                );
            }
            _ => {}
        }
        // Batches and answers are handed on in the order in which they came.
        self.settle(now);
        Ok(())
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp, steady_ms: u64) {
        self.hub.handle_timeout(now);
        self.viewer.handle_timeout(steady_ms);
        self.settle(now);
    }

    /// When the viewer wants [`Self::handle_timeout`] to be called, in its time.
    pub fn poll_viewer_timeout(&self) -> Option<u64> {
        self.viewer.poll_timeout()
    }

    /// The upstream's farewell, once.
    pub fn take_goodbye(&mut self) -> Option<Goodbye> {
        self.viewer.take_goodbye()
    }

    /// Asks something beside the viewer.
    pub fn request(&mut self, request: Request) {
        self.requests.push(request);
    }

    /// What is to be sent, in order.
    pub fn take_requests(&mut self) -> Vec<Request> {
        let viewer = &mut self.viewer;
        let requests = std::iter::from_fn(|| viewer.poll_request());
        requests.chain(self.requests.drain(..)).collect()
    }

    /// Until neither hub nor viewer has anything for the other.
    pub fn settle(&mut self, now: Timestamp) {
        loop {
            let mut is_quiet = true;
            while let Some(tapped) = self.viewer.poll_tapped() {
                is_quiet = false;
                self.tapped(now, tapped);
            }
            while let Some(change) = self.viewer.poll_change() {
                if let Event::WatchEnded { code, .. } = change.event {
                    is_quiet = false;
                    if let Some(id) = self.watches.remove(&change.chat) {
                        self.chats.remove(&id);
                    }
                    self.hub.handle_refused(&change.chat, code);
                }
            }
            while let Some(command) = self.hub.poll_command() {
                is_quiet = false;
                self.obey(command);
            }
            if is_quiet {
                break;
            }
        }
    }

    fn tapped(&mut self, now: Timestamp, tapped: Tapped) {
        let id = match &tapped {
            Tapped::Watching(id, _) | Tapped::Batch(id, _) => *id,
        };
        let Some(chat) = self.chats.get(&id) else {
            return;
        };
        match tapped {
            Tapped::Watching(_, watching) => self.hub.handle_watching(chat, &watching),
            Tapped::Batch(_, batch) => self.hub.handle_batch(now, chat, batch),
        }
    }

    fn obey(&mut self, command: HubCommand) {
        match command {
            HubCommand::Watch { chat, interval_ms } => match self.watches.get(&chat) {
                Some(id) => self.viewer.set_interval(*id, interval_ms),
                None => self.watch(chat, interval_ms),
            },
            HubCommand::Unwatch { chat } => self.unwatch(&chat),
            HubCommand::Rewind { chat, offset } => {
                if let Some(id) = self.watches.get(&chat) {
                    self.viewer.rewind(*id, offset);
                }
            }
            HubCommand::Restart { chat } => {
                self.unwatch(&chat);
                self.watch(chat, 0);
            }
            HubCommand::AskMembers { chat, after } => {
                self.request_last = self.request_last.checked_add(1).unwrap_or(REQUEST_FIRST);
                let request = RequestNumber(self.request_last);
                self.requests.push(Request::MembersAsk(MembersAsk {
                    request,
                    chat,
                    after,
                }));
            }
            HubCommand::MembersSeen { chat, offset } => {
                self.requests
                    .push(Request::MembersSeen(MembersSeen { chat, offset }));
            }
        }
    }

    fn watch(&mut self, chat: ChatName, interval_ms: u32) {
        let mut options = WatchOptions::new(chat.clone());
        options.delivery = Delivery::Every;
        options.trail = TRAIL_POINTS_MAX as u8;
        options.interval_ms = interval_ms;
        let id = self.viewer.tap(options);
        self.watches.insert(chat.clone(), id);
        self.chats.insert(id, chat);
    }

    fn unwatch(&mut self, chat: &ChatName) {
        if let Some(id) = self.watches.remove(chat) {
            self.chats.remove(&id);
            self.viewer.unwatch(id);
        }
    }
}

/// What is wrong with the relays on the way, and what to do.
pub fn path_text(error: PathError) -> &'static str {
    match error {
        PathError::Loop => {
            "the upstream gets what it has from this relay; name a server, or a relay of it, with relay.upstream"
        }
        PathError::TooLong => {
            "there are eight relays on the way already; name one that is nearer to the server with relay.upstream"
        }
    }
}
