//! The thread of a relay's link, from the first word of the upstream on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use skein_client::backoff::Backoff;
use skein_client::connect::connect;
use skein_client::error::ClientError;
use skein_engine::relay::hub::check_path;
use skein_wire::request::Request;
use skein_wire::update::{Update, Upstream, Welcome};
use tokio::sync::oneshot;

use crate::edge::waker::ShardWaker;
use crate::relay::link::{Link, LinkParts, Made};
use crate::relay::link_core::path_text;
use crate::relay::said::Said;
use crate::relay::upstream::UpstreamAddress;

/// Longest time for the first answer on a connection.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What the upstream said first.
#[derive(Clone, Debug)]
pub struct FirstWord {
    /// Its log, its time.
    pub welcome: Welcome,
    /// The relays on the way.
    pub above: Upstream,
}

/// A running link.
#[derive(Debug)]
pub struct LinkThread {
    waker: ShardWaker,
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// A link that has heard its upstream and waits for its hub.
#[derive(Debug)]
pub struct WaitingLink {
    /// What it heard.
    pub first: FirstWord,
    /// Wakes it.
    pub waker: ShardWaker,
    parts: oneshot::Sender<LinkParts>,
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl WaitingLink {
    /// Connects to the upstream; waits until it answers.
    ///
    /// # Errors
    /// When it refuses the relay for good, or has it on its own way.
    pub fn connect(upstream: UpstreamAddress, relay_id: u64) -> anyhow::Result<Self> {
        let waker = ShardWaker::new()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let (parts, taken) = oneshot::channel();
        let (heard, first) = mpsc::channel();
        let (of_thread, its_stop) = (waker.clone(), stopped.clone());
        let thread = std::thread::Builder::new()
            .name("relay-link".to_owned())
            .spawn(move || run(upstream, relay_id, heard, taken, (of_thread, its_stop)))?;
        let Ok(first) = first.recv() else {
            let ended = thread.join().map_err(|_| anyhow!("the link has ended"))?;
            return Err(ended.err().unwrap_or_else(|| anyhow!("the link has ended")));
        };
        Ok(Self {
            first,
            waker,
            parts,
            stopped,
            thread,
        })
    }

    /// Gives it its hub: it begins.
    pub fn begin(self, parts: LinkParts) -> LinkThread {
        // A link that has ended says so when it is joined.
        let _ = self.parts.send(parts);
        LinkThread {
            waker: self.waker,
            stopped: self.stopped,
            thread: self.thread,
        }
    }
}

impl LinkThread {
    /// Ends it.
    ///
    /// # Errors
    /// What ended it before.
    pub fn stop(self) -> anyhow::Result<()> {
        self.stopped.store(true, Ordering::Release);
        self.waker.wake();
        let ended = self.thread.join();
        ended.map_err(|_| anyhow!("the link has panicked"))?
    }
}

fn run(
    upstream: UpstreamAddress,
    relay_id: u64,
    heard: mpsc::Sender<FirstWord>,
    taken: oneshot::Receiver<LinkParts>,
    (waker, stopped): (ShardWaker, Arc<AtomicBool>),
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (made, above) = first_connection(&upstream, relay_id).await?;
        let welcome = made.1.clone();
        if heard.send(FirstWord { welcome, above }).is_err() {
            return Ok(());
        }
        let Ok(parts) = taken.await else {
            // The start has failed elsewhere.
            return Ok(());
        };
        let link = Link::new(parts, upstream, made);
        link.run(waker, stopped).await.context("the relay's link")
    })
}

/// Tries until the upstream answers; says why it does not.
async fn first_connection(
    upstream: &UpstreamAddress,
    relay_id: u64,
) -> anyhow::Result<(Made, Upstream)> {
    tracing::info!(upstream = %upstream.server, "connecting to the upstream");
    let mut backoff = Backoff::new(relay_id);
    let mut said = Said::default();
    loop {
        match try_connection(upstream).await {
            Ok((made, above)) => {
                check_path(relay_id, &above).map_err(|error| anyhow!(path_text(error)))?;
                return Ok((made, above));
            }
            Err(error) => match error.downcast_ref::<ClientError>() {
                Some(why) if why.is_transient() => {
                    if said.is_news(&why.to_string()) {
                        tracing::warn!(upstream = %upstream.server, "waiting for the upstream: {why}");
                    }
                }
                _ => return Err(error.context(format!("the upstream {}", upstream.server))),
            },
        }
        tokio::time::sleep(Duration::from_millis(backoff.next_ms())).await;
    }
}

/// Connects and asks once: what the upstream says of its own way comes before the answer.
async fn try_connection(upstream: &UpstreamAddress) -> anyhow::Result<(Made, Upstream)> {
    let options = upstream.options()?;
    let (mut connection, welcome) = connect(&options).await?;
    connection.send([Request::Ping(0)])?;
    let mut above = Upstream::default();
    let answer = async {
        loop {
            match connection.receive().await? {
                Update::Upstream(way) => above = way,
                Update::Pong(_) => return Ok::<_, ClientError>(()),
                _ => {}
            }
        }
    };
    match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(answered) => answered?,
        Err(_) => {
            let silent = io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
            return Err(ClientError::Io(silent).into());
        }
    }
    Ok(((connection, welcome, options.token), above))
}
