//! What one request carries: the next events of an address, as the event stream has them.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::FutureExt;

use crate::control::event_place::EventPlace;
use crate::control::feed::{EventCursor, EventFeed, FeedItem};
use crate::events::event_json::{EventJson, place_of};
use crate::webhook::limits::{WEBHOOK_BATCH_BYTES_MAX, WEBHOOK_BATCH_EVENTS_MAX};

/// A batch of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its `webhook-id`: the same for each try.
    pub id: String,
    /// Index of its first event.
    pub first: u64,
    /// Index of its last event.
    pub last: u64,
    /// How many they are.
    pub events: usize,
    /// `{"events":[…]}`.
    pub body: Bytes,
}

/// Makes messages of what a feed gives.
#[derive(Debug)]
pub struct Batcher {
    feed: EventFeed,
    cursor: EventCursor,
    waiting: VecDeque<FeedItem>,
}

impl Batcher {
    /// Of what comes behind a place.
    pub fn new(feed: EventFeed, place: EventPlace) -> Self {
        Self {
            cursor: feed.open(Some(place)),
            feed,
            waiting: VecDeque::new(),
        }
    }

    /// Goes back to a place, and forgets what was read behind it.
    pub fn reopen(&mut self, place: EventPlace) {
        self.cursor = self.feed.open(Some(place));
        self.waiting.clear();
    }

    /// The next message: all that is there, within bounds; waits for the first event. `None` when the
    /// control thread has ended. Cancel-safe: what was read is kept for the next call.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            if self.waiting.is_empty() {
                let more = self.cursor.next().await?;
                self.waiting.extend(more);
            }
            while self.waiting.len() < WEBHOOK_BATCH_EVENTS_MAX
                && let Some(more) = self.cursor.next().now_or_never()
            {
                self.waiting.extend(more?);
            }
            if let Some(message) = self.pack() {
                return Some(message);
            }
        }
    }

    /// A message of what was read; `None` if there is no event in it.
    fn pack(&mut self) -> Option<Message> {
        let mut body = String::from("{\"events\":[");
        let (mut events, mut first, mut last) = (0, 0, 0);
        while events < WEBHOOK_BATCH_EVENTS_MAX
            && let Some(item) = self.waiting.front()
        {
            let place = place_of(&self.feed, item).index;
            if let Some(event) = EventJson::new(&self.feed, item) {
                let text = event.to_string();
                if events > 0 && body.len() + text.len() > WEBHOOK_BATCH_BYTES_MAX {
                    break;
                }
                if events == 0 {
                    first = place;
                } else {
                    body.push(',');
                }
                body.push_str(&text);
                events += 1;
            }
            last = place;
            self.waiting.pop_front();
        }
        body.push_str("]}");
        (events > 0).then(|| Message {
            id: format!("{}-{last}", self.feed.place(first)),
            first,
            last,
            events,
            body: body.into(),
        })
    }
}
