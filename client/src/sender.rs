//! Shares where a device is: one session that goes on by itself after an interruption.
//!
//! A task carries it, because heartbeats and acknowledgements go on while the application has
//! nothing to say.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skein_wire::ids::{Counter, SessionId};
use skein_wire::point::{Fix, Payload};
use skein_wire::update::{SessionState, Update, Welcome};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::connect::{ConnectOptions, connect, said_goodbye};
use crate::error::ClientError;
use crate::limits::STOP_MS_MAX;
use crate::seal::error::SealError;
use crate::seal::sealer::Sealer;
use crate::seed::{key, seed};
use crate::sender_state::{SenderEvent, SenderOptions, SenderState, Tally};
use crate::transport::{Connection, Incoming};

/// One live share.
///
/// ```no_run
/// use skein_client::connect::ConnectOptions;
/// use skein_client::sender::Sender;
/// use skein_client::sender_state::SenderOptions;
/// use skein_client::trust::Trust;
/// use skein_wire::ids::ChatName;
/// use skein_wire::point::{Fix, Position};
///
/// # async fn example(token: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let mut options = ConnectOptions::new("quic://localhost:4433".parse()?, token);
/// options.trust = Trust::from_pem_file("server.pem".as_ref())?;
/// let share = SenderOptions::new(ChatName::new("geese")?, 15 * 60, &Sender::new_key());
/// let sender = Sender::start(options, share).await?;
/// let position = Position::from_degrees(45.27, 13.72)?;
/// sender.share(1_700_000_000_000, Fix { position, ..Fix::default() });
/// let end = sender.stop().await?;
/// println!("{} points are in the log", end.tally.accepted);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    session: SessionId,
    expires_at_ms: u64,
}

/// How a share ended.
#[derive(Clone, Copy, Debug)]
pub struct ShareEnd {
    /// Stopped, expired, revoked; `None` when nobody said.
    pub why: Option<SessionState>,
    /// The end is durable.
    pub durable: bool,
    /// What became of all points.
    pub tally: Tally,
}

/// What the application and the task share.
#[derive(Debug)]
struct Shared {
    clock: Clock,
    inner: Mutex<Inner>,
    /// The application has changed something.
    work: Notify,
    /// There is something for the application.
    news: Notify,
}

#[derive(Debug)]
struct Inner {
    state: SenderState,
    ended: Option<(Option<SessionState>, bool)>,
    /// The server refuses for good.
    failed: Option<ClientError>,
    /// The task has ended.
    is_done: bool,
}

impl Sender {
    /// A key for a new share: the same key gives the same session.
    pub fn new_key() -> String {
        key()
    }

    /// Connects and starts (or, with a key used before, takes up) a session.
    ///
    /// # Errors
    /// Whatever prevents it. Later interruptions are mended.
    pub async fn start(options: ConnectOptions, share: SenderOptions) -> Result<Self, ClientError> {
        let (connection, welcome) = connect(&options).await?;
        let shared = Arc::new(Shared {
            clock: Clock::new(),
            inner: Mutex::new(Inner {
                state: SenderState::new(share),
                ended: None,
                failed: None,
                is_done: false,
            }),
            work: Notify::new(),
            news: Notify::new(),
        });
        let task = tokio::spawn(run(shared.clone(), options, connection, welcome));
        let mut sender = Self {
            shared,
            task,
            session: SessionId(0),
            expires_at_ms: 0,
        };
        loop {
            match sender.next_event().await {
                Some(SenderEvent::Started {
                    session,
                    expires_at_ms,
                    ..
                }) => {
                    (sender.session, sender.expires_at_ms) = (session, expires_at_ms);
                    return Ok(sender);
                }
                Some(SenderEvent::Refused { code, text, .. }) => {
                    // It still says farewell: a server that hears none keeps the connection.
                    let _ = (&mut sender.task).await;
                    return Err(ClientError::Refused { code, text });
                }
                Some(_) => {}
                None => return Err(sender.failure()),
            }
        }
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Server time of its end as told at its start, milliseconds since 1970.
    pub fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }

    /// Shares a fix. It goes out at once, or after the reconnect. Its verdict is an event.
    pub fn share(&self, captured_at_ms: i64, fix: Fix) -> Counter {
        self.share_payload(captured_at_ms, Payload::Fix(fix), false)
    }

    /// Shares a fix or a blob; with `durable`, [`SenderEvent::Durable`] tells when it is on stable
    /// storage.
    pub fn share_payload(&self, captured_at_ms: i64, payload: Payload, durable: bool) -> Counter {
        let now_ms = self.shared.clock.now_ms();
        let counter = self
            .lock()
            .state
            .share(now_ms, captured_at_ms, payload, durable);
        self.shared.work.notify_one();
        self.shared.news.notify_one();
        counter
    }

    /// Seals a fix and shares it, in a session that was started with [`SenderOptions::sealed`]. The
    /// sealer is this run's own and for this session; a new key wants a new one.
    ///
    /// # Errors
    /// When it cannot be sealed; then nothing was shared.
    pub fn share_sealed(
        &self,
        captured_at_ms: i64,
        fix: &Fix,
        sealer: &mut Sealer,
    ) -> Result<Counter, SealError> {
        let now_ms = self.shared.clock.now_ms();
        let counter = {
            let mut inner = self.lock();
            let blob = sealer.seal(inner.state.counter_next(), captured_at_ms, fix)?;
            let payload = Payload::Sealed(blob);
            inner.state.share(now_ms, captured_at_ms, payload, false)
        };
        self.shared.work.notify_one();
        self.shared.news.notify_one();
        Ok(counter)
    }

    /// Moves the end of the session to so many seconds from now; false while offline. The answer
    /// is an event.
    pub fn extend(&self, duration_s: u32) -> bool {
        let sent = self.lock().state.extend(duration_s);
        self.shared.work.notify_one();
        sent
    }

    /// The next event; `None` when the share is over and all were told. Safe to cancel. For one
    /// task at a time.
    pub async fn next_event(&self) -> Option<SenderEvent> {
        loop {
            let news = self.shared.news.notified();
            {
                let mut inner = self.lock();
                if let Some(event) = inner.state.poll_event() {
                    if let SenderEvent::Ended { why, durable } = event {
                        inner.ended = Some((why, durable));
                    }
                    return Some(event);
                }
                if inner.is_done {
                    return None;
                }
            }
            news.await;
        }
    }

    /// An event that is there already.
    pub fn try_event(&self) -> Option<SenderEvent> {
        let mut inner = self.lock();
        let event = inner.state.poll_event()?;
        if let SenderEvent::Ended { why, durable } = event {
            inner.ended = Some((why, durable));
        }
        Some(event)
    }

    /// Whether the session is bound to a live connection.
    pub fn is_online(&self) -> bool {
        self.lock().state.is_sharing()
    }

    /// Whether the share is over.
    pub fn is_over(&self) -> bool {
        let inner = self.lock();
        inner.is_done || inner.state.is_over()
    }

    /// Points without a verdict.
    pub fn pending(&self) -> usize {
        self.lock().state.pending()
    }

    /// Verdicts so far.
    pub fn tally(&self) -> Tally {
        self.lock().state.tally()
    }

    /// Wanted time between points in milliseconds, if the server has said; 0 = nobody watches.
    pub fn demand_ms(&self) -> Option<u32> {
        self.lock().state.demand_ms()
    }

    /// Asks for the end of the session; [`SenderEvent::Ended`] tells when it is met.
    pub fn request_stop(&self) {
        self.lock().state.stop();
        self.shared.work.notify_one();
    }

    /// Ends the session and waits until the server has confirmed it, at most 15 seconds.
    ///
    /// # Errors
    /// When the end was not confirmed: the session may go on until it expires.
    pub async fn stop(self) -> Result<ShareEnd, ClientError> {
        self.request_stop();
        let over = async { while self.next_event().await.is_some() {} };
        let in_time = tokio::time::timeout(Duration::from_millis(STOP_MS_MAX), over).await;
        let mut inner = self.lock();
        let unconfirmed = || {
            io::Error::new(
                io::ErrorKind::TimedOut,
                "the end of the session was not confirmed; it ends by itself when its time is over",
            )
        };
        if let Some(error) = inner.failed.take() {
            return Err(error);
        }
        if in_time.is_err() {
            return Err(unconfirmed().into());
        }
        let (why, durable) = inner.ended.unwrap_or((None, false));
        Ok(ShareEnd {
            why,
            durable,
            tally: inner.state.tally(),
        })
    }

    /// Why the server would not go on with the share, once, if it would not.
    pub fn take_failure(&self) -> Option<ClientError> {
        self.lock().failed.take()
    }

    /// Why the share ended without a session.
    fn failure(&self) -> ClientError {
        let failed = self.take_failure();
        failed.unwrap_or_else(|| ClientError::Io(io::ErrorKind::ConnectionAborted.into()))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// The state is consistent between its calls, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries the share over one connection after the other until it is over.
async fn run(
    shared: Arc<Shared>,
    options: ConnectOptions,
    connection: Connection,
    welcome: Welcome,
) {
    let mut backoff = Backoff::new(seed());
    let mut link = Some((connection, welcome));
    let failed = loop {
        let outcome = match link.take() {
            Some((connection, welcome)) => carry(&shared, connection, welcome, &mut backoff).await,
            None => connect(&options).await.map(|new| link = Some(new)),
        };
        let over = shared.lock().state.is_over();
        match outcome {
            _ if over => break None,
            Ok(()) => {}
            Err(error) if error.is_transient() => {
                if let ClientError::Closed { retry_after_ms, .. } = &error {
                    backoff.retry_after(*retry_after_ms);
                }
                tracing::debug!(%error, "the sender is offline");
                let retry_ms = backoff.next_ms();
                shared.lock().state.handle_offline(error.reason(), retry_ms);
                shared.news.notify_one();
                tokio::time::sleep(Duration::from_millis(retry_ms)).await;
            }
            Err(error) => break Some(error),
        }
    };
    let mut inner = shared.lock();
    inner.state.give_up();
    inner.failed = failed;
    inner.is_done = true;
    drop(inner);
    shared.news.notify_one();
}

/// One connection from its welcome to its end; `Ok` when the share is over.
async fn carry(
    shared: &Shared,
    mut connection: Connection,
    welcome: Welcome,
    backoff: &mut Backoff,
) -> Result<(), ClientError> {
    let mut received: Option<Incoming> = Some(Ok(Update::Welcome(welcome)));
    loop {
        let now_ms = shared.clock.now_ms();
        if let Some(Ok(Update::Shared(_))) = received {
            backoff.reset();
        }
        let mut requests = Vec::new();
        let step = {
            let mut inner = shared.lock();
            step(&mut inner.state, now_ms, received.take(), &mut requests)
        };
        shared.news.notify_one();
        let sent = connection.send(requests);
        let timeout = match step.and_then(|timeout| sent.map(|()| timeout)) {
            Ok(timeout) => timeout.map(|at| shared.clock.instant(at)),
            Err(error) => {
                shared.lock().state.handle_disconnected();
                shared.news.notify_one();
                return Err(error);
            }
        };
        if shared.lock().state.is_over() {
            connection.close().await;
            return Ok(());
        }
        received = tokio::select! {
            received = connection.receive() => Some(received),
            () = shared.work.notified() => None,
            () = sleep_until(timeout) => None,
        };
    }
}

/// Feeds the state and takes what it wants to send; gives when it wants to be called again.
fn step(
    state: &mut SenderState,
    now_ms: u64,
    received: Option<Incoming>,
    requests: &mut Vec<skein_wire::request::Request>,
) -> Result<Option<u64>, ClientError> {
    if let Some(received) = received {
        state.handle(now_ms, &received?);
    }
    state.handle_timeout(now_ms);
    requests.extend(std::iter::from_fn(|| state.poll_request()));
    if let Some(goodbye) = state.take_goodbye() {
        return Err(said_goodbye(&goodbye));
    }
    if state.is_server_silent(now_ms) {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "the server is silent").into());
    }
    Ok(state.poll_timeout())
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
