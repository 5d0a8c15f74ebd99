//! One address: sends it what it has not got, in order, until it says that it has.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, Uri, header};
use skein_log::LogId;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::control::event_place::EventPlace;
use crate::http_call;
use crate::webhook::limits::{
    WEBHOOK_ANSWER_BYTES_MAX, WEBHOOK_ANSWER_MS_MAX, WEBHOOK_DEAD_LETTERS_MAX,
    WEBHOOK_ERROR_BYTES_MAX, WEBHOOK_RETRY_MS_MAX, WEBHOOK_RETRY_MS_MIN,
};
use crate::webhook::message::{Batcher, Message};
use crate::webhook::signer::Signer;
use crate::webhook::stats::WebhookStats;
use crate::webhook::store::{DeadLetter, Failure, Store};

/// What servers see as the caller.
const USER_AGENT: &str = concat!("skein/", env!("CARGO_PKG_VERSION"));

/// How an address is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Index of the last event that it has, or that was given up.
    pub last: u64,
    /// Tries of the batch at hand that failed; 0 = none.
    pub failures: u32,
    /// Why the last one did.
    pub error: Option<String>,
    /// Server time of the next try, milliseconds since 1970.
    pub retry_at_ms: Option<u64>,
}

/// What lists and requests share with the task of an address.
#[derive(Debug)]
pub struct TargetView {
    /// The address as the configuration says it.
    pub url: String,
    standing: Mutex<Standing>,
    wake: Notify,
}

impl TargetView {
    /// Of an address that has everything up to an index.
    pub fn new(url: String, last: u64) -> Self {
        Self {
            url,
            standing: Mutex::new(Standing {
                last,
                ..Standing::default()
            }),
            wake: Notify::new(),
        }
    }

    /// How it is doing.
    pub fn standing(&self) -> Standing {
        let standing = self.standing.lock();
        standing.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stand(&self, standing: Standing) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    /// Something in the list of dead letters is to be tried again.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

/// The task of one address.
#[derive(Debug)]
pub struct Target {
    /// What others see of it.
    pub view: Arc<TargetView>,
    /// Where requests go.
    pub uri: Uri,
    /// Certificates to trust for `https`; absent = those of the system.
    pub ca: Option<PathBuf>,
    /// How often a batch is tried before it is given up.
    pub tries_max: u32,
    /// Signs.
    pub signer: Arc<Signer>,
    /// Places and dead letters.
    pub store: Arc<Store>,
    /// Erases of the store that what is to be sent was read after.
    pub erases: u64,
    /// Which control log the events are of.
    pub log: LogId,
    /// What is to be sent.
    pub batches: Batcher,
    /// The server's clock.
    pub clock: Clock,
    /// Counters.
    pub stats: WebhookStats,
}

impl Target {
    /// Works until the control thread has ended. May be dropped at any time: what was not acknowledged
    /// is sent again after the next start.
    pub async fn run(mut self) {
        loop {
            self.heed_erases();
            self.retry_dead_letters().await;
            let message = tokio::select! {
                message = self.batches.next() => message,
                () = self.view.wake.notified() => continue,
            };
            let Some(message) = message else {
                return;
            };
            self.deliver(&message).await;
        }
    }

    /// What was read before an erase may name somebody who is to be forgotten: it is read again.
    fn heed_erases(&mut self) {
        let erases = self.store.erases();
        if self.erases != erases {
            self.erases = erases;
            let (log, index) = (Some(self.log), self.view.standing().last);
            self.batches.reopen(EventPlace { log, index });
        }
    }

    /// Tries until the batch has arrived or is given up, and moves the place behind it. An erase ends it:
    /// then the batch is read again, and the place stays.
    async fn deliver(&self, message: &Message) {
        let before = self.view.standing().last;
        let mut tries = 0;
        loop {
            if self.erases != self.store.erases() {
                self.view.stand(Standing {
                    last: before,
                    ..Standing::default()
                });
                return;
            }
            let Err(error) = self.post(&message.id, message.body.clone()).await else {
                self.stats.delivered(message.events as u64);
                break self.acknowledged(message.last);
            };
            tries += 1;
            let error = self.note_failure(&error);
            let failure = Failure {
                at_ms: self.clock.now_ms(),
                tries,
                error: &error,
            };
            if tries >= self.tries_max && self.give_up(message, failure) {
                break;
            }
            let pause_ms = pause_ms(tries, getrandom::u64().unwrap_or(0));
            self.view.stand(Standing {
                last: before,
                failures: tries,
                error: Some(error),
                retry_at_ms: Some(self.clock.now_ms() + pause_ms),
            });
            self.pause(Duration::from_millis(pause_ms)).await;
        }
        self.view.stand(Standing {
            last: message.last,
            ..Standing::default()
        });
    }

    /// A place that cannot be noted costs a repetition after a restart, and nothing now.
    fn acknowledged(&self, last: u64) {
        if let Err(error) = self.store.put_place(&self.view.url, self.log, last) {
            tracing::error!(%error, "the place of a webhook cannot be noted; after a restart it gets some events again");
        }
    }

    /// Puts a batch into the list; false: it is to be tried on.
    fn give_up(&self, message: &Message, failure: Failure<'_>) -> bool {
        let url = &self.view.url;
        let given_up = self.store.dead_count(Some(url)).and_then(|dead| {
            let has_room = dead < WEBHOOK_DEAD_LETTERS_MAX;
            let batch = (message, self.erases);
            Ok(has_room && self.store.give_up(url, self.log, batch, failure)?)
        });
        match given_up {
            Ok(true) => {
                tracing::error!(
                    host = self.uri.host(),
                    first = message.first,
                    last = message.last,
                    "a batch of events was given up; it is in the list of dead letters"
                );
                self.stats.given_up();
                true
            }
            Ok(false) => false,
            Err(error) => {
                tracing::error!(%error, "the list of dead letters cannot be written; the batch is tried on");
                false
            }
        }
    }

    /// Waits, and meanwhile tries dead letters that somebody asks for.
    async fn pause(&self, pause: Duration) {
        let over = tokio::time::sleep(pause);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return,
                () = self.view.wake.notified() => self.retry_dead_letters().await,
            }
        }
    }

    /// Tries each dead letter that is asked for once.
    async fn retry_dead_letters(&self) {
        loop {
            match self.store.next_retry(&self.view.url) {
                Ok(Some((letter, body))) => {
                    if let Err(error) = self.retry_dead_letter(&letter, body).await {
                        tracing::error!(%error, "the list of dead letters cannot be written");
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "the list of dead letters cannot be read");
                    return;
                }
            }
        }
    }

    async fn retry_dead_letter(&self, letter: &DeadLetter, body: Bytes) -> rusqlite::Result<()> {
        match self.post(&letter.message, body).await {
            Ok(()) => {
                self.stats.delivered(letter.events);
                self.store.remove(letter.id)?;
                Ok(())
            }
            Err(error) => {
                let error = self.note_failure(&error);
                let failure = Failure {
                    at_ms: self.clock.now_ms(),
                    tries: letter.tries.saturating_add(1),
                    error: &error,
                };
                self.store.retry_failed(letter.id, failure)
            }
        }
    }

    fn note_failure(&self, error: &anyhow::Error) -> String {
        self.stats.failed();
        let mut text = format!("{error:#}");
        let end = text.floor_char_boundary(WEBHOOK_ERROR_BYTES_MAX);
        text.truncate(end);
        // The path of an address may be a secret.
        tracing::warn!(host = self.uri.host(), error = text, "a webhook failed");
        text
    }

    async fn post(&self, id: &str, body: Bytes) -> anyhow::Result<()> {
        let seconds = self.clock.now_ms() / 1_000;
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", self.signer.sign(id, seconds, &body));
        let ca = self.ca.as_deref();
        let call = http_call::exchange(&self.uri, ca, request, body, WEBHOOK_ANSWER_BYTES_MAX);
        let longest = Duration::from_millis(WEBHOOK_ANSWER_MS_MAX);
        let answer = tokio::time::timeout(longest, call)
            .await
            .with_context(|| format!("no answer within {longest:?}"))??;
        if !answer.status().is_success() {
            bail!("it answered {}", answer.status());
        }
        Ok(())
    }
}

/// Milliseconds until the next try after so many: twice as long each time, up to a bound. `spread` says
/// where between a half and the whole of that, so that servers which failed together do not come
/// back together.
fn pause_ms(tries: u32, spread: u64) -> u64 {
    let doublings = tries.saturating_sub(1).min(u64::BITS / 2);
    let longest = WEBHOOK_RETRY_MS_MIN
        .saturating_mul(1 << doublings)
        .min(WEBHOOK_RETRY_MS_MAX);
    longest / 2 + spread % (longest / 2 + 1)
}

#[cfg(test)]
mod tests {
    use crate::webhook::limits::{WEBHOOK_RETRY_MS_MAX, WEBHOOK_RETRY_MS_MIN};
    use crate::webhook::target::pause_ms;

    #[test]
    fn pauses_grow_up_to_a_bound_and_are_spread() {
        for (tries, longest) in [
            (1, WEBHOOK_RETRY_MS_MIN),
            (2, 2 * WEBHOOK_RETRY_MS_MIN),
            (5, 16 * WEBHOOK_RETRY_MS_MIN),
            (20, WEBHOOK_RETRY_MS_MAX),
            (u32::MAX, WEBHOOK_RETRY_MS_MAX),
        ] {
            assert_eq!(pause_ms(tries, 0), longest / 2, "{tries}");
            assert_eq!(pause_ms(tries, longest / 2), longest, "{tries}");
        }
    }
}
