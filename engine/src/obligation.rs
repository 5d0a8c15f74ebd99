//! A command on its way to being a promise, and what waits for it.
//!
//! Permissive commands act when they are committed; a refusal ends them. Restrictive ones have
//! acted already; they are proposed again until they are committed. Each keeps the place in which
//! it was received, so that an old removal never undoes a newer membership.

use skein_wire::ids::{ChatHandle, SessionId, UserName};

use crate::caller::Caller;
use crate::command::Command;
use crate::ids::{ProposalId, ShardId};
use crate::limits::{PROPOSAL_RETRY_MS_MAX, PROPOSAL_RETRY_MS_MIN};
use crate::rights::Rights;
use crate::time::Timestamp;

/// A command and its state.
#[derive(Debug)]
pub(crate) struct Obligation {
    pub command: Command,
    /// The chat; `None` while it has no handle yet.
    pub chat: Option<ChatHandle>,
    pub purpose: Purpose,
    /// Who waits.
    pub callers: Vec<Caller>,
    /// Its proposal, while one is on its way.
    pub in_flight: Option<ProposalId>,
    /// How often it was refused.
    pub refusals: u32,
}

/// What the command is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    Start {
        session: SessionId,
    },
    Extend {
        session: SessionId,
    },
    End {
        session: SessionId,
        user: UserName,
    },
    Member(MemberChange),
    /// Whether a chat takes sealed sessions only.
    Seal {
        sealed: bool,
    },
    /// A chat's number.
    Name,
    /// A geofence or an alert.
    PutGeofence,
    /// The end of one.
    RemoveGeofence,
    /// Something that happened at one.
    Cross,
}

/// Progress of a change of rights.
#[derive(Debug)]
pub(crate) struct MemberChange {
    pub user: UserName,
    pub rights: Rights,
    /// Others of the same batch, before this one.
    pub also: Vec<(UserName, Rights)>,
    /// Version of the members once it is committed; 0 for links, which are no members to an operator.
    pub version: u64,
    /// It takes a right away, and did so when it was received.
    pub restricts: bool,
    /// Of a change of one member: whether they were one before, or could be by their token.
    pub was_member: bool,
    /// It also gives a right, which waits for the commit.
    pub grants: bool,
    pub committed: bool,
    /// Rights in the row whose coming back from the log is awaited.
    pub row_awaited: Option<Rights>,
    /// Shards that have not yet followed past the row.
    pub fences: Vec<ShardId>,
    /// Until when they may.
    pub fence_until: Timestamp,
}

impl MemberChange {
    /// Whether it changes this user's rights.
    pub fn is_about(&self, user: &UserName) -> bool {
        self.user == *user || self.also.iter().any(|(other, _)| other == user)
    }

    /// Whether every shard has applied it.
    pub fn is_applied(&self) -> bool {
        self.row_awaited.is_none() && self.fences.is_empty()
    }
}

impl Obligation {
    /// Whether it has acted before its commit, so that a refusal does not end it.
    pub fn is_restrictive(&self) -> bool {
        match &self.purpose {
            Purpose::End { .. } => true,
            Purpose::Member(change) => change.restricts,
            Purpose::Seal { sealed } => *sealed,
            Purpose::RemoveGeofence => true,
            Purpose::Start { .. }
            | Purpose::Extend { .. }
            | Purpose::Name
            | Purpose::PutGeofence
            | Purpose::Cross => false,
        }
    }

    /// Milliseconds until it is proposed again. `spread` says where between a half and the whole of
    /// the interval, so that commands which were refused together do not come back together.
    pub fn retry_ms(&self, spread: u64) -> u64 {
        let doublings = self.refusals.saturating_sub(1).min(u64::BITS - 1);
        let interval = PROPOSAL_RETRY_MS_MIN
            .saturating_mul(1 << doublings)
            .min(PROPOSAL_RETRY_MS_MAX);
        interval / 2 + spread % (interval / 2 + 1)
    }

    /// The change of this user's rights, if it is one.
    pub fn change_of(&self, user: &UserName) -> Option<&MemberChange> {
        match &self.purpose {
            Purpose::Member(change) if change.is_about(user) => Some(change),
            _ => None,
        }
    }
}

impl MemberChange {
    /// A change that has not acted yet in any way.
    pub fn granting(user: UserName, rights: Rights) -> Self {
        Self {
            user,
            rights,
            also: Vec::new(),
            version: 0,
            was_member: false,
            restricts: false,
            grants: true,
            committed: false,
            row_awaited: None,
            fences: Vec::new(),
            fence_until: Timestamp::NEVER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_at_twice_the_interval_up_to_a_bound() {
        let mut obligation = Obligation {
            command: Command::EndSession {
                chat: "harbour".to_owned(),
                session: 1,
                state: 3,
                at_ms: 0,
                user: "ana".to_owned(),
            },
            chat: None,
            purpose: Purpose::Start {
                session: SessionId(1),
            },
            callers: Vec::new(),
            in_flight: None,
            refusals: 0,
        };
        for (refusals, longest) in [
            (1, PROPOSAL_RETRY_MS_MIN),
            (2, 2 * PROPOSAL_RETRY_MS_MIN),
            (3, 4 * PROPOSAL_RETRY_MS_MIN),
            (10, PROPOSAL_RETRY_MS_MAX),
            (u32::MAX, PROPOSAL_RETRY_MS_MAX),
        ] {
            obligation.refusals = refusals;
            assert_eq!(obligation.retry_ms(0), longest / 2, "{refusals}");
            assert_eq!(obligation.retry_ms(longest / 2), longest, "{refusals}");
        }
    }
}
