//! One connection as its shard sees it: who it is, the sessions it feeds, the chats it watches.

use std::collections::BTreeMap;

use skein_wire::ids::{ChatHandle, Counter, SessionId, ShareNumber};
use skein_wire::update::Verdict;

use crate::few::Few;
use crate::identity::Person;
use crate::ids::{ShardId, ViewId, ViewerId};
use crate::rate::Rate;
use crate::time::Timestamp;

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub person: Person,
    pub expires_at: Timestamp,
    /// When a timer looks at the token; the only one that counts.
    pub token_timer_at: Timestamp,
    pub shares: BTreeMap<ShareNumber, Share>,
    pub watches: Few<ChatHandle, WatchState>,
    /// Requests on their way to an owner.
    pub waiting: u32,
    /// Watches that wait for an image.
    pub asking: u32,
    pub rate: Rate,
    /// A guest's watch is counted by the owner of its chat.
    pub has_place: bool,
    shares_given: u32,
}

/// A session that the connection feeds.
#[derive(Debug)]
pub(crate) struct Share {
    pub chat: ChatHandle,
    pub session: SessionId,
    pub owner: ShardId,
    /// Counter of the last acknowledgement.
    pub told: Counter,
    /// What became of points that never reached the owner.
    pub verdicts: Vec<Verdict>,
}

/// A chat that the connection watches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WatchState {
    pub viewer: ViewerId,
    /// Step of demand it counts in.
    pub step: u8,
    /// Since when.
    pub since: Timestamp,
    /// Its number where a record of views is kept; 0 = none is.
    pub view: ViewId,
}

/// Bytes of a connection: there are as many as viewers.
const CONNECTION_BYTES_MAX: usize = 112;

const _: () = assert!(size_of::<Connection>() <= CONNECTION_BYTES_MAX);

impl Connection {
    /// A connection after `Hello`.
    pub fn new(person: Person, expires_at: Timestamp) -> Self {
        Self {
            person,
            expires_at,
            token_timer_at: Timestamp::NEVER,
            shares: BTreeMap::new(),
            watches: Few::default(),
            waiting: 0,
            asking: 0,
            rate: Rate::default(),
            has_place: false,
            shares_given: 0,
        }
    }

    /// The number of a session, new if it is not bound yet.
    pub fn bind(&mut self, share: Share) -> ShareNumber {
        if let Some((number, known)) = self
            .shares
            .iter_mut()
            .find(|(_, known)| known.session == share.session)
        {
            known.told = known.told.max(share.told);
            return *number;
        }
        self.shares_given += 1;
        let number = ShareNumber(self.shares_given);
        self.shares.insert(number, share);
        number
    }

    /// Whether this number was given once.
    pub fn was_given(&self, number: ShareNumber) -> bool {
        (1..=self.shares_given).contains(&number.0)
    }

    /// The number of a session and its state.
    pub fn share_of(&mut self, session: SessionId) -> Option<(ShareNumber, &mut Share)> {
        self.shares
            .iter_mut()
            .find(|(_, share)| share.session == session)
            .map(|(number, share)| (*number, share))
    }
}
