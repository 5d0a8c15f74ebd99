//! The hub at work: rings to the shards on one side, a connection to the upstream on the other.
//!
//! It runs on a thread of its own beside the shards. While it waits for the upstream it goes on answering
//! shards, and the other way round; a connection that is gone is made anew, with the cursors of all
//! watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use skein_client::backoff::Backoff;
use skein_client::clock::Clock as SteadyClock;
use skein_client::connect::connect;
use skein_client::error::ClientError;
use skein_client::transport::Connection;
use skein_engine::ids::ShardId;
use skein_engine::time::Timestamp;
use skein_wire::request::{Request, Token};
use skein_wire::update::{Update, Welcome};
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::edge::waker::ShardWaker;
use crate::metrics::MetricRow;
use crate::relay::link_core::LinkCore;
use crate::relay::metrics::{self, RelayNumbers};
use crate::relay::said::Said;
use crate::relay::upstream::UpstreamAddress;
use crate::shard::peers::{PEER_MESSAGES_PER_PASS, Peers};

/// Frames taken from the connection in one round, so that shards do not wait for all of them.
const FRAMES_PER_ROUND: usize = 256;

/// Longest rest while a shard's ring has no room, milliseconds.
const FULL_RING_MS: u64 = 2;

/// Time between two looks at the token's file, milliseconds.
const TOKEN_LOOK_MS: u64 = 10_000;

/// Silence of the upstream after which the link asks for a sign of life, milliseconds. A server that was
/// started again answers the first word of an old connection by ending it, and what happens until then
/// has to fit the trails.
const ASK_MS: u64 = 1_000;

/// Silence after which the upstream is taken for gone, milliseconds: many viewers wait to hear of it.
const SILENCE_MS_MAX: u64 = 5_000;

/// How long a farewell to the upstream may take.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// What a link is made of.
#[derive(Debug)]
pub struct LinkParts {
    /// Its hub and the viewer that feeds it.
    pub core: LinkCore,
    /// Its ends of the rings.
    pub peers: Peers,
    /// The relay's clock.
    pub clock: Clock,
    /// Where it shows its numbers.
    pub metrics: Arc<MetricRow>,
}

/// A connection as it was made.
pub type Made = (Connection, Welcome, Token);

#[derive(Debug)]
enum Way {
    Up(Box<Connection>),
    Connecting(JoinHandle<Result<Made, ClientError>>),
    Down { retry_at: Instant },
}

/// See the module's text.
#[derive(Debug)]
pub struct Link {
    parts: LinkParts,
    upstream: UpstreamAddress,
    way: Way,
    /// The token of the connection.
    token: Token,
    token_looked_at_ms: u64,
    steady: SteadyClock,
    /// When the upstream was last heard, and when it was last asked for a sign of life.
    heard_at_ms: u64,
    asked_at_ms: u64,
    backoff: Backoff,
    losses: u64,
    said: Said,
}

impl Link {
    /// Over a connection that is up.
    pub fn new(parts: LinkParts, upstream: UpstreamAddress, made: Made) -> Self {
        let seed = made.1.server_time_ms ^ u64::from(std::process::id());
        let mut link = Self {
            parts,
            upstream,
            way: Way::Down {
                retry_at: Instant::now(),
            },
            token: Token(String::new()),
            token_looked_at_ms: 0,
            steady: SteadyClock::new(),
            heard_at_ms: 0,
            asked_at_ms: 0,
            backoff: Backoff::new(seed),
            losses: 0,
            said: Said::default(),
        };
        link.connected(made);
        link
    }

    /// Runs until `stopped`, which whoever sets it follows with a wake.
    ///
    /// # Errors
    /// When the waker cannot be watched.
    pub async fn run(mut self, waker: ShardWaker, stopped: Arc<AtomicBool>) -> std::io::Result<()> {
        use std::os::fd::AsFd;
        // An eventfd is waited for and read like the end of a pipe.
        let woken = pipe::Receiver::from_owned_fd_unchecked(waker.as_fd().try_clone_to_owned()?)?;
        while !stopped.load(Ordering::Acquire) {
            self.turn();
            waker.announce_sleep();
            if self.parts.peers.has_input() || stopped.load(Ordering::Acquire) {
                waker.announce_awake();
                continue;
            }
            self.rest(&woken).await;
            waker.announce_awake();
        }
        if let Way::Up(connection) = self.way {
            let _ = tokio::time::timeout(CLOSE_MAX, connection.close()).await;
        }
        Ok(())
    }

    /// Takes everything that is there, and hands on what comes of it.
    fn turn(&mut self) {
        let now = Timestamp(self.parts.clock.now_ms());
        for shard in self.parts.peers.others() {
            for _ in 0..PEER_MESSAGES_PER_PASS {
                let Some(message) = self.parts.peers.pop(shard) else {
                    break;
                };
                self.parts.core.hub.handle_peer(now, shard, message);
            }
        }
        let steady_ms = self.steady.now_ms();
        self.parts.core.handle_timeout(now, steady_ms);
        self.look_at_silence();
        self.look_at_token();
        self.parts.core.settle(now);
        self.send();
        self.tell_shards();
        let is_up = matches!(self.way, Way::Up(_));
        let stats = self.parts.core.hub.stats();
        let numbers = RelayNumbers {
            is_connected: is_up,
            losses: self.losses,
            hub: stats,
        };
        metrics::publish(&self.parts.metrics, numbers);
    }

    fn look_at_silence(&mut self) {
        if !matches!(self.way, Way::Up(_)) {
            return;
        }
        let now_ms = self.steady.now_ms();
        if now_ms >= self.heard_at_ms + SILENCE_MS_MAX {
            self.lost(&silent());
        } else if now_ms >= self.ask_at_ms() {
            self.asked_at_ms = now_ms;
            self.parts.core.request(Request::Ping(now_ms));
        }
    }

    fn ask_at_ms(&self) -> u64 {
        self.heard_at_ms.max(self.asked_at_ms) + ASK_MS
    }

    /// Shows a token that has been renewed before the old one is over.
    fn look_at_token(&mut self) {
        let now_ms = self.steady.now_ms();
        if now_ms < self.token_looked_at_ms + TOKEN_LOOK_MS {
            return;
        }
        self.token_looked_at_ms = now_ms;
        if let Ok(options) = self.upstream.options()
            && options.token != self.token
        {
            self.token.clone_from(&options.token);
            self.parts.core.request(Request::Auth(options.token));
        }
    }

    fn send(&mut self) {
        let Way::Up(connection) = &mut self.way else {
            return;
        };
        let requests = self.parts.core.take_requests();
        if let Err(error) = connection.send(requests) {
            self.lost(&error);
        }
    }

    fn tell_shards(&mut self) {
        let LinkParts { core, peers, .. } = &mut self.parts;
        for shard in peers.others() {
            let mut is_told = false;
            while peers.has_room(shard)
                && let Some(message) = core.hub.poll_peer(shard)
            {
                peers.push(shard, message);
                is_told = true;
            }
            if is_told {
                peers.wake(shard);
            }
        }
    }

    /// Waits until there is something to do.
    async fn rest(&mut self, woken: &pipe::Receiver) {
        let due = self.due();
        let received = tokio::select! {
            biased;
            received = next_of(&mut self.way) => Some(received),
            ready = woken.readable() => {
                if ready.is_ok() {
                    // What it says is only that there is something.
                    let _ = woken.try_read(&mut [0; 8]);
                }
                None
            }
            () = tokio::time::sleep_until(due) => None,
        };
        match received {
            Some(Next::Frame(Ok(update))) => self.take_frames(update),
            Some(Next::Frame(Err(error))) => self.lost(&error),
            Some(Next::Made(Ok(made))) => self.connected(made),
            Some(Next::Made(Err(error))) => self.lost(&error),
            Some(Next::Retry) => self.connect(),
            None => {}
        }
    }

    fn due(&self) -> Instant {
        let now_ms = self.parts.clock.now_ms();
        let mut wait_ms = TOKEN_LOOK_MS;
        if let Some(at) = self.parts.core.hub.poll_timeout() {
            wait_ms = wait_ms.min(at.0.saturating_sub(now_ms));
        }
        let shards = self.parts.peers.others();
        if shards
            .into_iter()
            .any(|shard: ShardId| self.parts.core.hub.has_peer_messages(shard))
        {
            wait_ms = wait_ms.min(FULL_RING_MS);
        }
        if matches!(self.way, Way::Up(_)) {
            wait_ms = wait_ms.min(self.ask_at_ms().saturating_sub(self.steady.now_ms()));
        }
        let due = Instant::now() + Duration::from_millis(wait_ms);
        let viewer = self
            .parts
            .core
            .poll_viewer_timeout()
            .map(|at| self.steady.instant(at));
        viewer.map_or(due, |at| at.min(due))
    }

    fn take_frames(&mut self, first: Update) {
        let mut next = Some(Ok(first));
        for _ in 0..FRAMES_PER_ROUND {
            match next {
                Some(Ok(update)) => {
                    if let Err(error) = self.take_frame(&update) {
                        self.lost(&error);
                        return;
                    }
                }
                Some(Err(error)) => {
                    self.lost(&error);
                    return;
                }
                None => return,
            }
            next = match &mut self.way {
                Way::Up(connection) => connection.try_receive(),
                _ => None,
            };
        }
        if let Some(Ok(update)) = next
            && let Err(error) = self.take_frame(&update)
        {
            self.lost(&error);
        }
    }

    fn take_frame(&mut self, update: &Update) -> Result<(), ClientError> {
        let (now, steady_ms) = (Timestamp(self.parts.clock.now_ms()), self.steady.now_ms());
        self.heard_at_ms = steady_ms;
        self.parts.core.take(now, steady_ms, update)?;
        if matches!(update, Update::Pong(_)) {
            self.backoff.reset();
        }
        let Some(goodbye) = self.parts.core.take_goodbye() else {
            return Ok(());
        };
        self.backoff.retry_after(u64::from(goodbye.retry_after_ms));
        let text = format!("the upstream says goodbye: {}", goodbye.text);
        Err(std::io::Error::other(text).into())
    }

    fn connected(&mut self, (connection, welcome, token): Made) {
        tracing::info!(upstream = %self.upstream.server, "connected to the upstream");
        self.said.forget();
        self.way = Way::Up(Box::new(connection));
        self.token = token;
        let now_ms = self.steady.now_ms();
        self.heard_at_ms = now_ms;
        self.parts.core.connected(now_ms, welcome);
    }

    fn lost(&mut self, why: &ClientError) {
        if matches!(self.way, Way::Up(_)) {
            self.losses += 1;
        }
        let retry_ms = self.backoff.next_ms();
        if self.said.is_news(&why.to_string()) {
            tracing::warn!(upstream = %self.upstream.server, retry_ms, "the upstream is not heard: {why}");
        }
        let now = Timestamp(self.parts.clock.now_ms());
        self.parts.core.lost(now);
        self.way = Way::Down {
            retry_at: Instant::now() + Duration::from_millis(retry_ms),
        };
    }

    fn connect(&mut self) {
        match self.upstream.options() {
            Ok(options) => {
                self.way = Way::Connecting(tokio::spawn(async move {
                    let (connection, welcome) = connect(&options).await?;
                    Ok((connection, welcome, options.token))
                }));
            }
            Err(error) => self.lost(&ClientError::Url(format!("{error:#}"))),
        }
    }
}

/// What a way brings next.
enum Next {
    Frame(Result<Update, ClientError>),
    Made(Result<Made, ClientError>),
    Retry,
}

/// Safe to cancel.
async fn next_of(way: &mut Way) -> Next {
    match way {
        Way::Up(connection) => Next::Frame(connection.receive().await),
        Way::Connecting(connecting) => Next::Made(match connecting.await {
            Ok(made) => made,
            Err(error) => Err(std::io::Error::other(error).into()),
        }),
        Way::Down { retry_at } => {
            tokio::time::sleep_until(*retry_at).await;
            Next::Retry
        }
    }
}

fn silent() -> ClientError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "the upstream is silent").into()
}
