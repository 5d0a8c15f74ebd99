//! The webhooks of a running server: their thread's life, and what requests use.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::settings::WebhookSettings;
use crate::control::feed::EventFeed;
use crate::http_call;
use crate::webhook::message::Batcher;
use crate::webhook::signer::Signer;
use crate::webhook::stats::WebhookStats;
use crate::webhook::store::{DeadLetter, Store};
use crate::webhook::target::{Target, TargetView};

/// How often the gauges are brought up to date, milliseconds.
const GAUGES_MS: u64 = 1_000;

/// How often old dead letters are looked for, milliseconds.
const EXPIRE_MS: u64 = 60_000;

/// What requests use; cheap to clone.
#[derive(Clone, Debug)]
pub struct Webhooks {
    feed: EventFeed,
    store: Arc<Store>,
    targets: Arc<[Arc<TargetView>]>,
}

/// What became of a wish about a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It is tried again, once, as soon as its address has time.
    Asked,
    /// There is no such dead letter.
    Absent,
    /// Its address is not configured any more.
    Homeless,
}

impl Webhooks {
    /// The addresses.
    pub fn targets(&self) -> &[Arc<TargetView>] {
        &self.targets
    }

    /// The feed that they follow.
    pub fn feed(&self) -> &EventFeed {
        &self.feed
    }

    /// The database. Calls wait for the disk.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Lets a dead letter be tried again. Waits for the disk.
    ///
    /// # Errors
    /// The database refuses.
    pub fn retry(&self, id: u64) -> rusqlite::Result<Retried> {
        let Some((letter, _)) = self.store.dead_letter(id)? else {
            return Ok(Retried::Absent);
        };
        let target = self.target_of(&letter);
        let Some(target) = target else {
            return Ok(Retried::Homeless);
        };
        if !self.store.retry(id)? {
            return Ok(Retried::Absent);
        }
        target.wake();
        Ok(Retried::Asked)
    }

    fn target_of(&self, letter: &DeadLetter) -> Option<&Arc<TargetView>> {
        self.targets.iter().find(|it| it.url == letter.url)
    }

    /// Records of the control log that the address furthest behind has not got.
    fn lag(&self) -> u64 {
        let end = self.feed.end().index;
        let last = self.targets.iter().map(|it| it.standing().last);
        end.saturating_sub(last.min().unwrap_or(end))
    }
}

/// The running thread.
#[derive(Debug)]
pub struct WebhookThread {
    webhooks: Webhooks,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl WebhookThread {
    /// Begins to tell the configured addresses. One that is new is told what comes from now on; so call it
    /// before anything can happen. `None`: there is no signer, as there are none.
    ///
    /// # Errors
    /// The database cannot be used; the text says what to do.
    pub fn spawn(
        settings: &WebhookSettings,
        signer: Option<Arc<Signer>>,
        folder: &Path,
        feed: EventFeed,
        clock: Clock,
        stats: WebhookStats,
    ) -> anyhow::Result<Option<Self>> {
        let Some(signer) = signer else {
            return Ok(None);
        };
        let store = Arc::new(Store::open(folder)?);
        let mut targets = Vec::new();
        for url in &settings.urls {
            let uri =
                http_call::address(url).map_err(|problem| anyhow!("webhook.urls: {problem}"))?;
            let known = store.place(url)?;
            let place = known.unwrap_or(feed.end());
            if known.is_none() {
                store.put_place(url, feed.log(), place.index)?;
            }
            targets.push(Target {
                view: Arc::new(TargetView::new(url.clone(), place.index)),
                uri,
                ca: settings.ca.clone(),
                tries_max: settings.tries_max,
                signer: signer.clone(),
                store: store.clone(),
                erases: store.erases(),
                log: feed.log(),
                batches: Batcher::new(feed.clone(), place),
                clock,
                stats: stats.clone(),
            });
        }
        let webhooks = Webhooks {
            feed,
            store,
            targets: targets.iter().map(|it| it.view.clone()).collect(),
        };
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let retain_ms = settings.dead_retain.as_ms();
        let upkeep = upkeep(webhooks.clone(), stats, clock, retain_ms);
        let thread = std::thread::Builder::new()
            .name("webhook".to_owned())
            .spawn(move || {
                runtime.block_on(work(targets, upkeep, stopped));
                // A look-up of a name may still hang; it is not waited for.
                runtime.shutdown_background();
            })?;
        Ok(Some(Self {
            webhooks,
            stop,
            thread,
        }))
    }

    /// What requests use.
    pub fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }

    /// Ends the thread. What was not acknowledged is sent again after the next start.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("the thread of webhooks has panicked; it goes on after the next start");
        }
    }
}

async fn work(
    targets: Vec<Target>,
    upkeep: impl Future<Output = ()>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut tasks: JoinSet<()> = targets.into_iter().map(Target::run).collect();
    let all = async { while tasks.join_next().await.is_some() {} };
    tokio::select! {
        () = all => {}
        () = upkeep => {}
        // An error means that the sender is gone, which is a stop as well.
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
}

/// Keeps the gauges up to date, and drops dead letters that are too old.
async fn upkeep(webhooks: Webhooks, stats: WebhookStats, clock: Clock, retain_ms: u64) {
    let mut expire_at_ms = 0;
    loop {
        let now_ms = clock.now_ms();
        if now_ms >= expire_at_ms {
            expire_at_ms = now_ms + EXPIRE_MS;
            if let Err(error) = webhooks.store.expire(now_ms.saturating_sub(retain_ms)) {
                tracing::error!(%error, "old dead letters cannot be dropped");
            }
        }
        // A database that cannot be read says so where it matters.
        let dead = webhooks.store.dead_count(None).unwrap_or(0);
        stats.stand(dead, webhooks.lag());
        tokio::time::sleep(Duration::from_millis(GAUGES_MS)).await;
    }
}
