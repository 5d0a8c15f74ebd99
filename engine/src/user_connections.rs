//! The connections of one user on a shard: almost always one, at times a few, and thousands where
//! a service watches under one name.

use std::collections::BTreeSet;

use crate::ids::ConnectionId;

/// At least one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserConnections {
    /// The only one: no memory of its own.
    One(ConnectionId),
    /// Two or more.
    #[expect(
        clippy::box_collection,
        reason = "a set is three words, and almost nobody needs one"
    )]
    Several(Box<BTreeSet<ConnectionId>>),
}

impl UserConnections {
    /// One more.
    pub fn insert(&mut self, connection: ConnectionId) {
        match self {
            Self::One(known) if *known == connection => {}
            Self::One(known) => {
                *self = Self::Several(Box::new(BTreeSet::from([*known, connection])));
            }
            Self::Several(known) => {
                known.insert(connection);
            }
        }
    }

    /// Takes one out. True: it was the last one, and this is to be dropped.
    #[must_use]
    pub fn remove(&mut self, connection: ConnectionId) -> bool {
        match self {
            Self::One(known) => *known == connection,
            Self::Several(known) => {
                known.remove(&connection);
                if let (Some(only), 1) = (known.first(), known.len()) {
                    *self = Self::One(*only);
                }
                false
            }
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = ConnectionId> {
        let (one, several) = match self {
            Self::One(known) => (Some(*known), None),
            Self::Several(known) => (None, Some(known.iter().copied())),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::UserConnections;
    use crate::ids::ConnectionId;

    fn of(connections: &UserConnections) -> Vec<u64> {
        connections.iter().map(|connection| connection.0).collect()
    }

    #[test]
    fn it_is_a_set_that_is_never_empty() {
        let mut known = UserConnections::One(ConnectionId(5));
        known.insert(ConnectionId(5));
        assert_eq!(known, UserConnections::One(ConnectionId(5)));
        known.insert(ConnectionId(3));
        known.insert(ConnectionId(9));
        assert_eq!(of(&known), [3, 5, 9]);
        assert!(!known.remove(ConnectionId(5)));
        assert!(!known.remove(ConnectionId(7)));
        assert_eq!(of(&known), [3, 9]);
        assert!(!known.remove(ConnectionId(3)));
        assert_eq!(known, UserConnections::One(ConnectionId(9)));
        assert!(!known.remove(ConnectionId(3)));
        assert!(known.remove(ConnectionId(9)));
    }
}
