//! What every handler is given.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::access::Access;
use crate::access::control_token::ControlTokens;
use crate::clock::Clock;
use crate::health::Health;
use crate::http::gateway::ShardGateway;
use crate::http::limits::REQUESTS_MAX;

/// How callers of an API are told apart.
#[derive(Clone, Debug)]
pub enum Callers {
    /// The public API: a bearer token names the user.
    Users(Arc<Access>),
    /// The control API: a bearer token says what its holder may ask for.
    Operators(Arc<ControlTokens>),
    /// The control API in dev mode: whoever is on this machine, browsers excepted.
    ThisMachine,
}

/// Shared by the handlers of one API; cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// The way to the shards.
    pub gateway: Arc<dyn ShardGateway>,
    /// Who may come in.
    pub callers: Callers,
    /// The server's clock.
    pub clock: Clock,
    /// What the server knows of itself.
    pub health: Arc<Health>,
    /// Places for requests.
    pub requests: Arc<Semaphore>,
}

impl ApiState {
    /// The state of one API.
    pub fn new(
        gateway: Arc<dyn ShardGateway>,
        callers: Callers,
        clock: Clock,
        health: Arc<Health>,
    ) -> Self {
        Self {
            gateway,
            callers,
            clock,
            health,
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
        }
    }
}

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState")
            .field("callers", &self.callers)
            .finish_non_exhaustive()
    }
}
