//! The two HTTP APIs of a server, put together from what their routes need.

use std::sync::Arc;

use axum::Router;
use tokio::sync::watch;

use crate::access::Access;
use crate::app::followers::Followers;
use crate::clock::Clock;
use crate::control::feed::EventFeed;
use crate::health::Health;
use crate::http::crossings::{self, CrossingsState};
use crate::http::events::EventsState;
use crate::http::guests::GuestsState;
use crate::http::history::HistoryState;
use crate::http::log_erasing::{self, Eraser};
use crate::http::log_reading::{self, LogState};
use crate::http::state::{ApiState, Callers};
use crate::http::viewers::ViewersState;
use crate::http::webhooks::{self, WebhooksState};
use crate::http::{control, public};
use crate::metrics::MetricsBoard;
use crate::shard::gateway::Gateway;
use crate::views::handle::ViewsThread;

/// What answers both.
pub(crate) struct Apis<'a> {
    pub gateway: &'a Gateway,
    pub access: &'a Arc<Access>,
    pub clock: Clock,
    pub health: &'a Arc<Health>,
    /// What happens in chats.
    pub feed: EventFeed,
    pub followers: &'a Followers,
    /// True once the server stops: who waits for something is told at once.
    pub stopped: watch::Receiver<bool>,
}

impl Apis<'_> {
    /// What users may ask.
    pub fn public(&self) -> Router {
        let users = self.state(Callers::Users(self.access.clone()));
        let crossings = CrossingsState::new(users.clone(), self.feed.clone());
        public::router(users.clone(), self.viewers(users)).merge(crossings::routes(crossings))
    }

    /// What the chat service and operators may ask.
    pub fn control(
        &self,
        operators: ApiState,
        log: LogState,
        eraser: Arc<Eraser>,
        board: MetricsBoard,
    ) -> Router {
        let feed = &self.feed;
        let history = self.followers.history.as_ref();
        let webhook = self.followers.webhook.as_ref();
        control::router(
            operators.clone(),
            EventsState::new(operators.clone(), feed.clone(), self.stopped.clone()),
            HistoryState::new(operators.clone(), history.map(|it| it.history().clone())),
            GuestsState::new(operators.clone(), self.access.clone()),
            self.viewers(operators.clone()),
            Arc::new(board),
        )
        .merge(webhooks::routes().with_state(WebhooksState::new(
            operators.clone(),
            webhook.map(|it| it.webhooks().clone()),
        )))
        .merge(crossings::routes(CrossingsState::new(
            operators.clone(),
            feed.clone(),
        )))
        .merge(log_reading::routes(log))
        .merge(log_erasing::routes(operators, eraser))
    }

    /// What all requests of these callers have in common.
    pub fn state(&self, callers: Callers) -> ApiState {
        let gateway = Arc::new(self.gateway.clone());
        ApiState::new(gateway, callers, self.clock, self.health.clone())
    }

    fn viewers(&self, api: ApiState) -> ViewersState {
        ViewersState::new(api, self.followers.views.as_ref().map(ViewsThread::pages))
    }
}
