//! The connections of a shard by their numbers.
//!
//! The hash table holds numbers and places only, the connections lie densely beside it: a table that
//! doubles has up to seven eighths of its places free, and they should not be as large as connections.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};

use slab::Slab;

use crate::connection::Connection;
use crate::ids::ConnectionId;

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    places: HashMap<ConnectionId, u32, RandomState>,
    connections: Slab<Connection>,
}

impl Connections {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether it is there.
    pub fn contains_key(&self, id: &ConnectionId) -> bool {
        self.places.contains_key(id)
    }

    /// One of them.
    pub fn get(&self, id: &ConnectionId) -> Option<&Connection> {
        let place = *self.places.get(id)?;
        self.connections.get(place as usize)
    }

    /// One of them, to change it.
    pub fn get_mut(&mut self, id: &ConnectionId) -> Option<&mut Connection> {
        let place = *self.places.get(id)?;
        self.connections.get_mut(place as usize)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        let found = |(id, place): (&ConnectionId, &u32)| {
            Some((*id, self.connections.get(*place as usize)?))
        };
        self.places.iter().filter_map(found)
    }

    /// Puts one in, in the place of the one that has the number already.
    pub fn insert(&mut self, id: ConnectionId, connection: Connection) {
        match self.places.entry(id) {
            Entry::Occupied(place) => self.connections[*place.get() as usize] = connection,
            Entry::Vacant(free) => {
                // A slab does not reach the fourth thousand million: descriptors end long before.
                free.insert(self.connections.insert(connection) as u32);
            }
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, id: &ConnectionId) -> Option<Connection> {
        let place = self.places.remove(id)?;
        self.connections.try_remove(place as usize)
    }
}

#[cfg(test)]
mod tests {
    use skein_wire::ids::UserName;

    use crate::connection::Connection;
    use crate::connections::Connections;
    use crate::identity::Person;
    use crate::ids::ConnectionId;
    use crate::time::Timestamp;

    fn connection(expires_at: u64) -> Connection {
        let user = UserName::new("ana").expect("a name");
        let person = Person { user, grant: None };
        Connection::new(person, Timestamp(expires_at))
    }

    #[test]
    fn each_number_has_its_connection() {
        let mut all = Connections::default();
        let expires = |all: &Connections, id| all.get(&ConnectionId(id)).map(|it| it.expires_at.0);
        for id in 0..5 {
            all.insert(ConnectionId(id), connection(id * 10));
        }
        let gone = all.remove(&ConnectionId(2)).expect("it was there");
        assert_eq!(gone.expires_at.0, 20);
        assert!(all.remove(&ConnectionId(2)).is_none());
        assert_eq!((all.len(), expires(&all, 2)), (4, None));
        // The place is used again, the number is not mistaken.
        all.insert(ConnectionId(7), connection(70));
        assert_eq!((expires(&all, 7), expires(&all, 2)), (Some(70), None));
        all.insert(ConnectionId(7), connection(71));
        assert_eq!((all.len(), expires(&all, 7)), (5, Some(71)));
        all.get_mut(&ConnectionId(0))
            .expect("it is there")
            .expires_at = Timestamp(9);
        assert_eq!(expires(&all, 0), Some(9));
        assert!(!all.contains_key(&ConnectionId(2)) && all.contains_key(&ConnectionId(4)));
    }
}
