//! One chat at a relay's hub: what the upstream says of it, and the shards that mirror it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use skein_wire::batch::Batch;
use skein_wire::ids::{ChatHandle, ChatName, UserName};
use skein_wire::update::{Members, Watching};

use crate::feed::{Feed, FeedImage, note_epoch};
use crate::ids::ShardId;
use crate::limits::{DEMAND_STEPS_MS, RELAY_BATCHES_HELD_MAX};
use crate::membership::Membership;
use crate::relay::feed_steps::{has_stray_end, steps_of};
use crate::rights::Rights;
use crate::table::{Table, TableLimits};

/// Somebody at a shard wants to watch, and the chat is not here yet.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub from: ShardId,
    pub user: UserName,
    pub claim: Rights,
    pub is_mirrored: bool,
}

/// What taking something of the upstream leads to.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Nothing to hand on.
    Nothing,
    /// A change for the mirrors.
    Feed(Arc<Feed>),
    /// Everything anew for the mirrors.
    Anew,
    /// It does not fit what is here: the watch has to begin anew.
    Broken,
}

/// One chat.
#[derive(Debug)]
pub(crate) struct HubChat {
    name: ChatName,
    limits: TableLimits,
    /// Of the newest `Watching`; `None` before the first one.
    handle: Option<ChatHandle>,
    table: Table,
    epochs: Vec<(u32, u64)>,
    members: Membership,
    /// The upstream's horizon when it accepted the watch.
    horizon: u64,
    /// It was asked to tell everything since there, or cannot.
    has_rewound: bool,
    /// It was asked, and has not told yet.
    is_rewinding: bool,
    /// The connection on which the members were told.
    members_of: Option<u64>,
    /// Members as they come in, and what came before they are all here. `None`: they are complete.
    gathering: Option<Gathering>,
    /// The chat can be served: its members have been here once.
    pub is_ready: bool,
    pub waiting: Vec<Ask>,
    /// Shards that mirror it, and what their viewers want; 0 = nothing.
    pub mirrors: BTreeMap<ShardId, u32>,
    /// Interval of the watch, milliseconds.
    pub interval_ms: u32,
    /// Changes of members that shards have to apply before they are answered: (offset, shards).
    pub fences: BTreeMap<u64, (u64, BTreeSet<ShardId>)>,
}

#[derive(Debug, Default)]
struct Gathering {
    members: Membership,
    batches: VecDeque<Batch>,
}

impl HubChat {
    pub fn new(name: ChatName, limits: TableLimits) -> Self {
        Self {
            name,
            limits,
            handle: None,
            table: Table::new(0, 1, limits),
            epochs: Vec::new(),
            members: Membership::default(),
            horizon: 0,
            has_rewound: false,
            is_rewinding: false,
            members_of: None,
            gathering: None,
            is_ready: false,
            waiting: Vec::new(),
            mirrors: BTreeMap::new(),
            interval_ms: 0,
            fences: BTreeMap::new(),
        }
    }

    pub fn handle(&self) -> Option<ChatHandle> {
        self.handle
    }

    pub fn table(&self) -> &Table {
        &self.table
    }

    /// What a user may do.
    pub fn rights(&self, user: &UserName, claim: Rights) -> Rights {
        self.members.rights(user).with_claim(claim)
    }

    /// For a shard that begins to mirror it.
    pub fn image(&self) -> Option<FeedImage> {
        Some(FeedImage {
            name: self.name.clone(),
            chat: self.handle?,
            table: self.table.clone(),
            members: self.members.clone(),
            epochs: self.epochs.clone(),
        })
    }

    /// The upstream has accepted the watch. Until its members are known again, nothing of it is handed
    /// on: who was removed meanwhile must not see what came later.
    pub fn watching(&mut self, watching: &Watching, connection: u64) -> Taken {
        self.handle = Some(watching.chat);
        // Where it cannot go back to there, it does not.
        self.is_rewinding &= watching.from == self.horizon;
        self.horizon = watching.horizon;
        if !self.knows_members(connection) {
            self.has_rewound = false;
            self.gathering = Some(Gathering::default());
        }
        if watching.from == 0 && self.table.as_of() > 0 {
            // A full batch follows and replaces everything. Until then this is what there is.
            return Taken::Nothing;
        }
        let first = watching.from.max(self.table.as_of()) + 1;
        if !note_epoch(&mut self.epochs, watching.epoch, first) {
            return Taken::Nothing;
        }
        self.table.set_epoch(watching.epoch);
        self.is_ready
            .then(|| self.epoch_feed(first))
            .map_or(Taken::Nothing, Taken::Feed)
    }

    /// Whether changes of members have been told without a gap since they were all told.
    pub fn knows_members(&self, connection: u64) -> bool {
        self.members_of == Some(connection)
    }

    /// Whether nothing more can be expected before viewers are served: the members are known, everything
    /// has come once, and what lies before that.
    pub fn is_settled(&self) -> bool {
        self.gathering.is_none() && self.table.as_of() > 0 && !self.is_rewinding
    }

    /// Whether the members are known.
    pub fn has_members(&self) -> bool {
        self.gathering.is_none() && self.members_of.is_some()
    }

    /// Where to go back to, once, so that who comes with a cursor from before this watch can go on.
    pub fn rewind(&mut self) -> Option<u64> {
        let is_worth_it =
            !self.has_rewound && self.horizon > 0 && self.horizon < self.table.horizon();
        self.has_rewound |= is_worth_it;
        self.is_rewinding |= is_worth_it;
        is_worth_it.then_some(self.horizon)
    }

    /// Tells the mirrors of a new writer before anything of it comes.
    fn epoch_feed(&self, epoch_first: u64) -> Arc<Feed> {
        Arc::new(Feed {
            chat: self.handle.unwrap_or_default(),
            epoch: self.table.epoch(),
            epoch_first,
            to: self.table.as_of(),
            time_ms: 0,
            steps: Vec::new(),
            ends_since: None,
        })
    }

    /// A page of members. Gives where the next one begins, or the changes when it was the last one.
    pub fn members_page(
        &mut self,
        page: &Members,
        connection: u64,
    ) -> Result<Option<UserName>, Vec<(UserName, Rights)>> {
        let Some(gathering) = &mut self.gathering else {
            return Ok(None);
        };
        for (user, rights) in &page.members {
            gathering.members.put(user, Rights::from_bits(*rights));
        }
        match page.members.last() {
            Some((last, _)) if page.more => Ok(Some(last.clone())),
            _ => {
                self.members_of = Some(connection);
                Err(self.finish_members())
            }
        }
    }

    fn finish_members(&mut self) -> Vec<(UserName, Rights)> {
        let Some(gathering) = &mut self.gathering else {
            return Vec::new();
        };
        let new = std::mem::take(&mut gathering.members);
        let old = std::mem::replace(&mut self.members, new);
        let is_gone = |user: &UserName| self.members.rights(user).is_none();
        let gone = old.iter().filter(|(user, _)| is_gone(user));
        let mut changes: Vec<(UserName, Rights)> =
            gone.map(|(user, _)| (user.clone(), Rights::NONE)).collect();
        let changed = self
            .members
            .iter()
            .filter(|(user, rights)| old.rights(user) != *rights);
        changes.extend(changed.map(|(user, rights)| (user.clone(), rights)));
        changes
    }

    /// A member's rights are these now.
    pub fn put_member(&mut self, user: &UserName, rights: Rights) {
        self.members.put(user, rights);
        if let Some(gathering) = &mut self.gathering {
            gathering.members.put(user, rights);
        }
    }

    /// The batches that waited for the members, once these are handed on.
    pub fn release(&mut self) -> VecDeque<Batch> {
        self.gathering
            .take()
            .map(|it| it.batches)
            .unwrap_or_default()
    }

    /// A batch of the upstream.
    pub fn batch(&mut self, batch: Batch) -> Taken {
        match &mut self.gathering {
            Some(gathering) if gathering.batches.len() >= RELAY_BATCHES_HELD_MAX => Taken::Broken,
            Some(gathering) => {
                gathering.batches.push_back(batch);
                Taken::Nothing
            }
            None if batch.header.from == 0 => {
                self.replace(&batch);
                Taken::Anew
            }
            None => self.change(&batch),
        }
    }

    fn change(&mut self, batch: &Batch) -> Taken {
        let header = &batch.header;
        if header.from > self.table.as_of() || header.epoch != self.table.epoch() {
            return Taken::Broken;
        }
        let feed = self.feed_of(batch);
        feed.apply_to(&mut self.table);
        self.is_rewinding &= header.from > self.horizon;
        Taken::Feed(Arc::new(feed))
    }

    /// Takes a full batch. Ends before it are not known: who has an older cursor gets everything.
    fn replace(&mut self, batch: &Batch) {
        let header = &batch.header;
        self.table = Table::new(header.epoch, header.to, self.limits);
        self.epochs = vec![(header.epoch, 1)];
        self.feed_of(batch).apply_to(&mut self.table);
    }

    fn feed_of(&self, batch: &Batch) -> Feed {
        let header = &batch.header;
        Feed {
            chat: header.chat,
            epoch: header.epoch,
            epoch_first: self.epochs.last().map_or(1, |(_, first)| *first),
            to: header.to,
            time_ms: header.server_time_ms,
            steps: steps_of(&self.table, self.limits.trail_points, batch),
            ends_since: self.ends_since(batch),
        }
    }

    /// A batch that begins before the horizon tells of all ends since, unless one cannot be placed.
    fn ends_since(&self, batch: &Batch) -> Option<u64> {
        let from = batch.header.from;
        let is_before = from > 0 && from < self.table.horizon();
        (is_before && !has_stray_end(&self.table, batch)).then_some(from)
    }

    /// The interval that serves all viewers of the shards: none of them waits longer than it wants.
    pub fn wanted_interval_ms(&self) -> u32 {
        let wanted = self.mirrors.values().copied().filter(|wanted| *wanted > 0);
        let shortest = wanted.min().unwrap_or(0);
        // Demand is told in steps, rounded up.
        let below = DEMAND_STEPS_MS.iter().rev().find(|step| **step < shortest);
        below.copied().unwrap_or(0)
    }
}
