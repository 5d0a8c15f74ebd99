//! Watches chats: a stream of changes that goes on by itself after an interruption.
//!
//! Everything happens within [`Viewer::next`]: an application that does not ask for changes is a
//! slow viewer, and the server conflates for it. Nothing piles up here.

use std::collections::VecDeque;
use std::time::Duration;

use skein_wire::map_view::MapView;
use skein_wire::update::Update;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::change::Change;
use crate::chat_view::ChatView;
use crate::clock::Clock;
use crate::connect::{ConnectOptions, connect, said_goodbye};
use crate::error::ClientError;
use crate::seed::seed;
use crate::server_clock::Age;
use crate::transport::{Connection, Incoming};
use crate::viewer_state::{ViewerState, WatchId, WatchOptions};

/// What a viewer tells its application.
#[derive(Debug)]
pub enum ViewerEvent {
    /// The connection is up again.
    Online,
    /// The server does not answer: *this viewer* may be offline. Either [`ViewerEvent::Answered`] or
    /// [`ViewerEvent::Offline`] follows. It says nothing about any sender.
    Doubtful,
    /// The server answers after all.
    Answered,
    /// *This viewer* is offline: what it shows is old. It says nothing about any sender.
    Offline {
        /// Why.
        why: ClientError,
        /// When it tries again, milliseconds from now.
        retry_ms: u64,
    },
    /// The relay that this viewer is connected to hears nothing from its server: what it shows is as of
    /// then. It says nothing about any sender.
    UpstreamLost {
        /// Since when, server time in milliseconds since 1970.
        since_ms: u64,
    },
    /// The relay hears its server again.
    UpstreamBack,
    /// A change of a chat.
    Change(Change),
}

/// Watches chats over one connection after the other.
///
/// ```no_run
/// use skein_client::change::Event;
/// use skein_client::connect::ConnectOptions;
/// use skein_client::trust::Trust;
/// use skein_client::viewer::{Viewer, ViewerEvent};
/// use skein_client::viewer_state::WatchOptions;
/// use skein_wire::ids::ChatName;
///
/// # async fn example(token: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let mut options = ConnectOptions::new("quic://localhost:4433".parse()?, token);
/// options.trust = Trust::from_pem_file("server.pem".as_ref())?;
/// let mut viewer = Viewer::connect(options).await?;
/// viewer.watch(WatchOptions::new(ChatName::new("geese")?));
/// while let Some(event) = viewer.next().await? {
///     match event {
///         ViewerEvent::Change(change) => println!("{:?}: {:?}", change.subject, change.event),
///         ViewerEvent::Offline { .. } => println!("you are offline"),
///         ViewerEvent::Online => println!("you are online"),
///         ViewerEvent::Doubtful => println!("you may be offline"),
///         ViewerEvent::Answered => println!("you are not"),
///         ViewerEvent::UpstreamLost { .. } => println!("the relay is cut off"),
///         ViewerEvent::UpstreamBack => println!("the relay is up to date again"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Viewer {
    options: ConnectOptions,
    clock: Clock,
    state: ViewerState,
    link: Link,
    backoff: Backoff,
    events: VecDeque<ViewerEvent>,
}

#[derive(Debug)]
enum Link {
    Up(Connection),
    Down { retry_at: Instant },
}

impl Viewer {
    /// Connects for the first time.
    ///
    /// # Errors
    /// Whatever prevents it. Later interruptions are events.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ClientError> {
        let (connection, welcome) = connect(&options).await?;
        let clock = Clock::new();
        let mut state = ViewerState::new();
        state
            .handle(clock.now_ms(), &Update::Welcome(welcome))
            .map_err(ClientError::Protocol)?;
        Ok(Self {
            options,
            clock,
            state,
            link: Link::Up(connection),
            backoff: Backoff::new(seed()),
            events: VecDeque::new(),
        })
    }

    /// Watches a chat from now on. Its first changes are what is there already.
    pub fn watch(&mut self, options: WatchOptions) -> WatchId {
        self.state.watch(options)
    }

    /// Looks at another part of the map.
    pub fn look(&mut self, id: WatchId, view: MapView) {
        self.state.look(self.clock.now_ms(), id, view);
    }

    /// Stops watching.
    pub fn unwatch(&mut self, id: WatchId) {
        self.state.unwatch(id);
    }

    /// The next event, `None` when no watch is left. Safe to cancel.
    ///
    /// # Errors
    /// When the server refuses for good (a token that has expired, a version): nothing follows.
    pub async fn next(&mut self) -> Result<Option<ViewerEvent>, ClientError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if let Some(change) = self.state.poll_change() {
                return Ok(Some(ViewerEvent::Change(change)));
            }
            if !self.state.has_watches() {
                return Ok(None);
            }
            self.step().await?;
        }
    }

    /// What is known of a watch: rows with state and newest point.
    pub fn views(&self, id: WatchId) -> impl Iterator<Item = &ChatView> {
        self.state.views(id)
    }

    /// Whether the connection is up and the server does not answer: this viewer may be offline.
    pub fn is_doubtful(&self) -> bool {
        self.state.is_doubtful()
    }

    /// Whether the connection is up.
    pub fn is_online(&self) -> bool {
        self.state.is_connected()
    }

    /// Since when the relay that this viewer is connected to hears nothing from its server, server time in
    /// milliseconds since 1970; `None` while it does, and where there is no relay.
    pub fn upstream_lost_since_ms(&self) -> Option<u64> {
        self.state.upstream_lost_since_ms()
    }

    /// Whether the server keeps a record of who watched whom, which those who share can read: tell
    /// the user. False while offline.
    pub fn views_recorded(&self) -> bool {
        self.state.views_recorded()
    }

    /// Age of a fix by the server's clock, whatever the device's clock says.
    pub fn age(&self, captured_at_ms: i64, started_at_ms: u64) -> Age {
        let clock = self.state.clock();
        clock.age(self.clock.now_ms(), captured_at_ms, started_at_ms)
    }

    /// Server time now, as far as it is known, milliseconds since 1970.
    pub fn server_time_ms(&self) -> u64 {
        self.state.clock().server_time_ms(self.clock.now_ms())
    }

    /// Says farewell.
    pub async fn close(self) {
        if let Link::Up(connection) = self.link {
            connection.close().await;
        }
    }

    /// One round: something arrives, time passes, or a new connection is tried.
    async fn step(&mut self) -> Result<(), ClientError> {
        match &mut self.link {
            Link::Down { retry_at } => {
                tokio::time::sleep_until(*retry_at).await;
                self.reconnect().await
            }
            Link::Up(connection) => {
                let requests = std::iter::from_fn(|| self.state.poll_request());
                if let Err(error) = connection.send(requests) {
                    return self.interrupted(error);
                }
                let timeout = self.state.poll_timeout().map(|at| self.clock.instant(at));
                let received = tokio::select! {
                    biased;
                    received = connection.receive() => Some(received),
                    () = sleep_until(timeout) => None,
                };
                self.handle(received)
            }
        }
    }

    fn handle(&mut self, received: Option<Incoming>) -> Result<(), ClientError> {
        let now_ms = self.clock.now_ms();
        let was_doubtful = self.state.is_doubtful();
        match received {
            Some(Ok(update)) => {
                let lost_before = self.state.upstream_lost_since_ms();
                if let Err(error) = self.state.handle(now_ms, &update) {
                    return self.interrupted(ClientError::Protocol(error));
                }
                self.tell_upstream(lost_before);
                // Only a connection that has carried an answer has worked.
                if matches!(update, Update::Pong(_)) {
                    self.backoff.reset();
                }
            }
            Some(Err(error)) => return self.interrupted(error),
            None => {}
        }
        self.state.handle_timeout(now_ms);
        if let Some(goodbye) = self.state.take_goodbye() {
            return self.interrupted(said_goodbye(&goodbye));
        }
        self.tell_doubt(was_doubtful);
        if self.state.is_server_silent(now_ms) {
            let silent = std::io::Error::new(std::io::ErrorKind::TimedOut, "the server is silent");
            return self.interrupted(silent.into());
        }
        Ok(())
    }

    fn tell_doubt(&mut self, before: bool) {
        match (before, self.state.is_doubtful()) {
            (false, true) => self.events.push_back(ViewerEvent::Doubtful),
            (true, false) => self.events.push_back(ViewerEvent::Answered),
            _ => {}
        }
    }

    fn tell_upstream(&mut self, lost_before: Option<u64>) {
        let lost = self.state.upstream_lost_since_ms();
        match lost {
            _ if lost == lost_before => {}
            Some(since_ms) => self
                .events
                .push_back(ViewerEvent::UpstreamLost { since_ms }),
            None => self.events.push_back(ViewerEvent::UpstreamBack),
        }
    }

    /// The connection is over: tries again later, unless that cannot help.
    fn interrupted(&mut self, why: ClientError) -> Result<(), ClientError> {
        self.state.handle_disconnected();
        if !why.is_transient() && !matches!(why, ClientError::Protocol(_)) {
            self.link = Link::Down {
                retry_at: Instant::now(),
            };
            return Err(why);
        }
        if let ClientError::Closed { retry_after_ms, .. } = &why {
            self.backoff.retry_after(*retry_after_ms);
        }
        let retry_ms = self.backoff.next_ms();
        self.link = Link::Down {
            retry_at: Instant::now() + Duration::from_millis(retry_ms),
        };
        self.events
            .push_back(ViewerEvent::Offline { why, retry_ms });
        Ok(())
    }

    async fn reconnect(&mut self) -> Result<(), ClientError> {
        match connect(&self.options).await {
            Ok((connection, welcome)) => {
                self.link = Link::Up(connection);
                self.events.push_back(ViewerEvent::Online);
                self.handle(Some(Ok(Update::Welcome(welcome))))
            }
            Err(why) => self.interrupted(why),
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
