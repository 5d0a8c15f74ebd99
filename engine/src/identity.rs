//! Who is at the other end of a connection, as its verified token says.

use std::sync::Arc;

use skein_wire::ids::{ChatName, UserName};

use crate::guest::GuestGrant;
use crate::rights::Rights;

/// Rights in chats that a token brings, in the order of the names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatClaims(Vec<(ChatName, Rights)>);

impl ChatClaims {
    /// From pairs in any order; what is said twice counts together.
    ///
    /// ```
    /// use skein_engine::identity::ChatClaims;
    /// use skein_engine::rights::Rights;
    /// use skein_wire::ids::ChatName;
    /// let hike = ChatName::new("hike")?;
    /// let claims = ChatClaims::new([(hike.clone(), Rights::WATCH)]);
    /// assert_eq!(claims.of(&hike), Rights::WATCH);
    /// assert_eq!(claims.of(&ChatName::new("club")?), Rights::NONE);
    /// # Ok::<(), skein_wire::error::WireError>(())
    /// ```
    pub fn new(claims: impl IntoIterator<Item = (ChatName, Rights)>) -> Self {
        let mut sorted: Vec<(ChatName, Rights)> = claims.into_iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        sorted.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.or(next.1);
            }
            same
        });
        Self(sorted)
    }

    /// Rights in this chat.
    pub fn of(&self, chat: &ChatName) -> Rights {
        let found = self.0.binary_search_by(|(name, _)| name.cmp(chat));
        found.map_or(Rights::NONE, |index| self.0[index].1)
    }

    /// Whether everything that `other` gives is given here, too.
    pub fn covers(&self, other: &Self) -> bool {
        let mut all = other.0.iter();
        all.all(|(chat, rights)| self.of(chat).has(*rights))
    }
}

/// What a token gives beside the name of its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Rights in chats, where the server takes them from tokens.
    Chats(ChatClaims),
    /// A guest's link.
    Guest(GuestGrant),
    /// It is a relay: it may watch every chat that it has not been removed from, and learns who the
    /// members are, because it judges its own viewers.
    Relay,
}

/// A verified user, and what the token gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The token's subject.
    pub user: UserName,
    /// What the token gives beside it; most give nothing.
    pub grant: Option<Arc<Grant>>,
}

impl Person {
    /// Rights that the token brings in a chat.
    pub fn claim(&self, chat: &ChatName) -> Rights {
        match self.grant.as_deref() {
            Some(Grant::Chats(claims)) => claims.of(chat),
            Some(Grant::Relay) => Rights::WATCH,
            Some(Grant::Guest(_)) | None => Rights::NONE,
        }
    }

    /// What a guest's link shows, for a guest.
    pub fn guest(&self) -> Option<&GuestGrant> {
        match self.grant.as_deref() {
            Some(Grant::Guest(grant)) => Some(grant),
            Some(Grant::Chats(_) | Grant::Relay) | None => None,
        }
    }

    /// Whether it is a relay.
    pub fn is_relay(&self) -> bool {
        matches!(self.grant.as_deref(), Some(Grant::Relay))
    }

    /// Whether this token gives all that an `older` one of the same user gave.
    pub fn gives_no_less_than(&self, older: &Self) -> bool {
        match (self.grant.as_deref(), older.grant.as_deref()) {
            (Some(Grant::Guest(new)), Some(Grant::Guest(old))) => new == old,
            (Some(Grant::Relay), Some(Grant::Relay)) => true,
            (Some(Grant::Guest(_) | Grant::Relay), _)
            | (_, Some(Grant::Guest(_) | Grant::Relay)) => false,
            (_, None) => true,
            (Some(Grant::Chats(new)), Some(Grant::Chats(old))) => new.covers(old),
            (None, Some(Grant::Chats(old))) => ChatClaims::default().covers(old),
        }
    }
}

/// A user whose token gives nothing beside the name.
impl From<UserName> for Person {
    fn from(user: UserName) -> Self {
        Self { user, grant: None }
    }
}

/// A person until a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub person: Person,
    /// Server time at which the token is no longer good, milliseconds since 1970.
    pub expires_at_ms: u64,
}
