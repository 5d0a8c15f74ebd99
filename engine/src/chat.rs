//! A chat as one shard holds it: the followed table and members, and the role of the shard.

use skein_wire::ids::{ChatHandle, ChatName, UserName};

use crate::audience::Audience;
use crate::grid::Grid;
use crate::identity::Person;
use crate::ids::{PartitionId, ShardId};
use crate::membership::Membership;
use crate::owner::Owner;
use crate::rights::Rights;
use crate::sole_timer::SoleTimer;
use crate::table::Table;
use crate::time::Timestamp;

/// One chat. Table and members change only by following the log, on owner and mirror alike.
#[derive(Debug)]
pub(crate) struct Chat {
    pub name: ChatName,
    pub handle: ChatHandle,
    pub partition: PartitionId,
    pub table: Table,
    pub members: Membership,
    /// Viewers on this shard.
    pub audience: Audience,
    /// Demand as it was last told, and when.
    pub demand_told_ms: u32,
    pub demand_told_at: Timestamp,
    /// Tells of a demand that changed too soon after it was told.
    pub demand_timer: SoleTimer,
    /// Looks for ended rows that are old enough.
    pub forget_timer: SoleTimer,
    /// Looks for idempotency keys that are over.
    pub keys_timer: SoleTimer,
    pub role: Role,
}

/// What the shard is to the chat.
#[derive(Debug)]
pub(crate) enum Role {
    Owner(Box<Owner>),
    Mirror(Mirror),
}

/// State of a chat that another shard owns.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub owner: ShardId,
    pub progress: Progress,
    /// Since when it has had no viewer.
    pub idle_since: Timestamp,
    /// Looks whether that is long ago.
    pub idle_timer: SoleTimer,
    /// Fed by a relay's hub and not by the log: the chat's writers, as far as they are known.
    pub fed: Option<Vec<(u32, u64)>>,
}

/// How a mirror comes to what the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Record by record.
    Following,
    /// Records were missed that the log does not have any more; a new image is on its way, and what
    /// the partition brings meanwhile is read again when it is in.
    Renewing,
}

impl Chat {
    /// Rights as the log says them.
    pub fn rights_followed(&self, user: &UserName) -> Rights {
        self.members.rights(user)
    }

    /// Rights for what is asked now. The owner knows of restrictions that are on their way.
    pub fn rights(&self, user: &UserName) -> Rights {
        let followed = self.rights_followed(user);
        match &self.role {
            Role::Owner(owner) => owner.rights(user, followed),
            Role::Mirror(_) => followed,
        }
    }

    /// The same together with what a token brings.
    pub fn rights_with(&self, user: &UserName, claim: Rights) -> Rights {
        self.rights(user).with_claim(claim)
    }

    /// The grid on which somebody who may watch sees places; `None` = as they are.
    pub fn grid_for(&self, person: &Person) -> Option<Grid> {
        match person.guest() {
            Some(grant) => grant.grid,
            None => {
                let claim = person.claim(&self.name);
                self.rights_with(&person.user, claim).grid()
            }
        }
    }

    /// The owner's half, where this shard owns the chat.
    pub fn owner(&self) -> Option<&Owner> {
        match &self.role {
            Role::Owner(owner) => Some(owner),
            Role::Mirror(_) => None,
        }
    }

    /// The owner's half, where this shard owns the chat.
    pub fn owner_mut(&mut self) -> Option<&mut Owner> {
        match &mut self.role {
            Role::Owner(owner) => Some(owner),
            Role::Mirror(_) => None,
        }
    }

    /// Whether a shard that does not own it follows it.
    pub fn is_mirror(&self) -> bool {
        matches!(self.role, Role::Mirror(_))
    }

    /// The writers that a relay knows of, where it is a relay's.
    pub fn fed_epochs(&self) -> Option<&[(u32, u64)]> {
        match &self.role {
            Role::Mirror(mirror) => mirror.fed.as_deref(),
            Role::Owner(_) => None,
        }
    }

    /// Whether it is a mirror that waits for a new image.
    pub fn is_renewing(&self) -> bool {
        matches!(&self.role, Role::Mirror(mirror) if mirror.progress == Progress::Renewing)
    }

    /// Whether the next record of its partition is the next one for it.
    pub fn is_following(&self) -> bool {
        match &self.role {
            Role::Owner(_) => true,
            Role::Mirror(mirror) => mirror.progress == Progress::Following,
        }
    }

    /// What senders should be told: the shortest wanted interval of all viewers.
    pub fn demand_ms(&self) -> u32 {
        let own = self.audience.demand_ms();
        match &self.role {
            Role::Owner(owner) => owner
                .mirrors
                .iter()
                .map(|mirror| mirror.demand_ms)
                .chain([own])
                .filter(|demand| *demand != 0)
                .min()
                .unwrap_or(0),
            Role::Mirror(_) => own,
        }
    }

    /// Bytes that it holds, an estimate.
    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.members.bytes() + self.owner().map_or(0, Owner::bytes)
    }
}
