//! A viewer written from the protocol's text alone, as plainly as possible: what the fan-out
//! sends has to make sense to it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use skein_wire::batch::{Batch, Entry};
use skein_wire::frame::decode_update;
use skein_wire::ids::{Cell, ChatHandle, Counter, SessionId, UserName};
use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
use skein_wire::point::Payload;
use skein_wire::splitter::split_first_shared;
use skein_wire::update::{Clusters, Head, SessionState, Update, Viewing};

/// What the viewer knows of a session.
#[derive(Clone, Debug)]
pub struct Known {
    pub slot: u32,
    pub user: UserName,
    pub expires_at_ms: u64,
    pub base: Counter,
    pub shown: Option<(Counter, Payload)>,
    pub seen: BTreeSet<u64>,
    /// Counters below this were there before the viewer's first sight in a full batch.
    pub floor: u64,
    /// Counters below this were accounted for by the last full batch.
    pub accounted: u64,
    /// Everything up to this offset was there at the first sight in a full batch.
    pub first_sight: u64,
    /// A point below that was listed later: it cannot be told whether it was counted already.
    pub blurred: bool,
    pub had: u64,
    pub lost: u64,
    pub state: SessionState,
    pub since: u64,
}

/// A reference viewer.
#[derive(Debug)]
pub struct Viewer {
    pub chat: ChatHandle,
    pub epoch: u32,
    pub cursor: u64,
    pub sessions: BTreeMap<SessionId, Known>,
    pub slots: BTreeMap<u32, SessionId>,
    /// Something is missing: a report is due.
    pub gap: bool,
    /// Greatest offset heard of in this epoch.
    pub ahead: u64,
    /// Batches applied.
    pub applied: u64,
    /// What it sees of the map; `None`: the whole chat.
    pub viewing: Option<Viewing>,
    /// Who is elsewhere, counted.
    pub clusters: Option<Clusters>,
    pages: Vec<Option<Batch>>,
    snapshot: u32,
}

impl Viewer {
    pub fn new(chat: ChatHandle, epoch: u32, from: u64) -> Self {
        Self {
            chat,
            epoch,
            cursor: from,
            sessions: BTreeMap::new(),
            slots: BTreeMap::new(),
            gap: false,
            ahead: 0,
            applied: 0,
            viewing: None,
            clusters: None,
            pages: Vec::new(),
            snapshot: 0,
        }
    }

    /// Whole frames, as a datagram, a stream or a WebSocket message carries them.
    pub fn receive(&mut self, mut frames: Bytes) {
        while let Some(frame) =
            split_first_shared(&mut frames, SERVER_FRAME_BYTES_MAX).expect("whole frames")
        {
            match decode_update(frame).expect("a frame of the protocol") {
                Some(Update::Batch(body)) => {
                    self.page(Batch::decode(&body).expect("a batch of the protocol"));
                }
                Some(Update::Head(head)) => self.head(head),
                Some(Update::Viewing(viewing)) => self.view(viewing),
                Some(Update::Clusters(clusters)) => self.count(clusters),
                other => panic!("unexpected frame {other:?}"),
            }
        }
    }

    /// The number of what it sees.
    pub fn cell(&self) -> Cell {
        let viewing = self.viewing.as_ref();
        viewing.map_or(Cell(0), |viewing| viewing.cell)
    }

    /// Other cells from here on.
    fn view(&mut self, viewing: Viewing) {
        assert_eq!(viewing.chat, self.chat);
        self.viewing = Some(viewing);
        self.clusters = None;
        self.pages.clear();
        (self.cursor, self.ahead, self.gap) = (0, 0, false);
    }

    fn count(&mut self, clusters: Clusters) {
        let age = |of: &Clusters| (of.epoch, of.to);
        let is_newer = self
            .clusters
            .as_ref()
            .is_none_or(|held| age(held) < age(&clusters));
        if clusters.cell == self.cell() && is_newer {
            self.clusters = Some(clusters);
        }
    }

    fn head(&mut self, head: Head) {
        assert_eq!(head.chat, self.chat);
        if head.cell != self.cell() {
            return;
        }
        if head.epoch == self.epoch && head.to > self.cursor {
            self.ahead = self.ahead.max(head.to);
            self.gap = true;
        }
    }

    fn page(&mut self, batch: Batch) {
        if batch.header.cell != self.cell() {
            return;
        }
        let Some(page) = batch.header.page else {
            return self.batch(batch);
        };
        if page.snapshot != self.snapshot || self.pages.len() != page.total as usize {
            self.snapshot = page.snapshot;
            self.pages = vec![None; page.total as usize];
        }
        self.pages[page.index as usize] = Some(batch);
        if self.pages.iter().all(Option::is_some) {
            let mut pages = std::mem::take(&mut self.pages).into_iter().flatten();
            let mut whole = pages.next().expect("a page");
            whole.entries.extend(pages.flat_map(|page| page.entries));
            self.batch(whole);
        }
    }

    fn batch(&mut self, batch: Batch) {
        let header = &batch.header;
        assert_eq!(header.chat, self.chat);
        let ascending = batch
            .entries
            .windows(2)
            .all(|pair| pair[0].slot < pair[1].slot);
        assert!(ascending, "each slot once, in order");
        let newer = header.epoch > self.epoch;
        let own = header.epoch == self.epoch;
        let applies = if header.from == 0 {
            newer || (own && (header.to > self.cursor || self.cursor == 0))
        } else {
            own && header.from <= self.cursor && self.cursor < header.to
        };
        if !applies {
            if own && header.from > self.cursor {
                self.ahead = self.ahead.max(header.to);
            }
            self.gap |= newer || (own && header.from > self.cursor);
            return;
        }
        self.gap = !newer && self.ahead > header.to;
        self.applied += 1;
        self.cursor = header.to;
        self.epoch = header.epoch;
        if header.from == 0 {
            self.replace(batch);
        } else {
            for entry in &batch.entries {
                self.change(entry);
            }
        }
    }

    fn replace(&mut self, batch: Batch) {
        let mut old = std::mem::take(&mut self.sessions);
        self.slots.clear();
        for entry in &batch.entries {
            let descriptor = entry.descriptor.as_ref().expect("a full batch describes");
            let listed = listed(entry, descriptor.counter);
            let known = old.remove(&descriptor.session);
            let first_sight = known.is_none();
            let mut known = known.unwrap_or_else(|| fresh(entry));
            known.slot = entry.slot.0;
            known.expires_at_ms = descriptor.expires_at_ms;
            known.base = descriptor.counter;
            if let Some((oldest, _)) = listed.first() {
                known.accounted = known.accounted.max(*oldest);
                if first_sight {
                    known.floor = *oldest;
                }
            }
            if first_sight {
                known.first_sight = batch.header.to;
            }
            let new = known.take(&listed);
            let total = entry.skipped + listed.len() as u64;
            if !first_sight {
                known.lost += total.saturating_sub(known.had + new);
            }
            known.had = total;
            known.state = entry.state.map_or(SessionState::Live, |mark| mark.state);
            assert!(!known.state.is_ended(), "no tombstone in a full batch");
            self.slots.insert(known.slot, descriptor.session);
            self.sessions.insert(descriptor.session, known);
        }
    }

    fn change(&mut self, entry: &Entry) {
        let slot = entry.slot.0;
        if let Some(descriptor) = &entry.descriptor {
            match self.sessions.get_mut(&descriptor.session) {
                Some(known) => known.expires_at_ms = descriptor.expires_at_ms,
                None => {
                    if let Some(before) = self.slots.insert(slot, descriptor.session) {
                        let before = self.sessions.remove(&before).expect("a slot's session");
                        assert!(before.state.is_ended(), "a slot in use was given away");
                    }
                    self.sessions.insert(descriptor.session, fresh(entry));
                }
            }
        }
        let Some(session) = self.slots.get(&slot) else {
            let ended = entry.state.is_some_and(|mark| mark.state.is_ended());
            let moved = entry
                .state
                .is_some_and(|mark| mark.state == SessionState::Moved);
            assert!(ended || moved, "an unknown slot without a descriptor");
            return;
        };
        let known = self.sessions.get_mut(session).expect("a slot's session");
        if known.state.is_ended() {
            return;
        }
        if let Some(point) = &entry.point {
            let newest = match &entry.descriptor {
                Some(descriptor) => descriptor.counter,
                None => point.counter.widen(known.base),
            };
            known.base = newest;
            let listed = listed(entry, newest);
            let new = known.take(&listed);
            if entry.skipped == 0 {
                known.had += new;
            } else {
                let total = entry.skipped + listed.len() as u64;
                known.lost += total.saturating_sub(known.had + new);
                known.had = total;
            }
            if new > 0
                && known
                    .shown
                    .as_ref()
                    .is_some_and(|(shown, _)| *shown == newest)
            {
                known.state = SessionState::Live;
            }
        }
        if let Some(mark) = entry.state {
            (known.state, known.since) = (mark.state, mark.at_ms);
        }
        if known.state == SessionState::Moved {
            let session = self.slots.remove(&slot).expect("a session");
            self.sessions.remove(&session);
        }
    }
}

impl Known {
    /// Takes the points of an entry; returns how many were new.
    fn take(&mut self, listed: &[(u64, Payload)]) -> u64 {
        let mut new = 0;
        for (counter, payload) in listed {
            if self.seen.contains(counter) {
                continue;
            }
            self.blurred |= *counter < self.accounted;
            if *counter < self.floor {
                continue;
            }
            self.seen.insert(*counter);
            new += 1;
            if self
                .shown
                .as_ref()
                .is_none_or(|(shown, _)| shown.0 < *counter)
            {
                self.shown = Some((Counter(*counter), payload.clone()));
            }
        }
        new
    }
}

/// The points of an entry, oldest first.
fn listed(entry: &Entry, newest: Counter) -> Vec<(u64, Payload)> {
    let earlier = entry
        .earlier
        .iter()
        .map(|point| (newest.0 - point.behind, point.payload.clone()));
    let last = entry
        .point
        .iter()
        .map(|point| (newest.0, point.payload.clone()));
    earlier.chain(last).collect()
}

fn fresh(entry: &Entry) -> Known {
    let descriptor = entry
        .descriptor
        .as_ref()
        .expect("a new session is described");
    Known {
        slot: entry.slot.0,
        user: descriptor.user.clone(),
        expires_at_ms: descriptor.expires_at_ms,
        base: descriptor.counter,
        shown: None,
        seen: BTreeSet::new(),
        floor: 0,
        accounted: 0,
        first_sight: 0,
        blurred: false,
        had: 0,
        lost: 0,
        state: SessionState::Live,
        since: 0,
    }
}
