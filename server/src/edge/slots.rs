//! Connections of one transport on one shard, addressed by numbers that are never used again.
//!
//! ```text
//!  63        62 ........... 32 31 ......... 0
//! +---------+-----------------+--------------+
//! | QUIC? 1 | generation      | index        |
//! +---------+-----------------+--------------+
//! ```
//! An event of the kernel or an answer of the engine that names a connection which is gone
//! finds nothing, whoever has the place by then.

use skein_engine::ids::ConnectionId;

/// Bit that tells QUIC from WebSocket.
const QUIC_BIT: u64 = 1 << 63;
/// Generations of one place before its numbers would repeat.
const GENERATION_MAX: u32 = (1 << 31) - 1;

/// How a connection is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// WebSocket over TCP or TLS.
    WebSocket,
    /// QUIC.
    Quic,
}

/// The transport that a connection's number names.
pub fn transport_of(connection: ConnectionId) -> Transport {
    if connection.0 & QUIC_BIT == 0 {
        Transport::WebSocket
    } else {
        Transport::Quic
    }
}

/// The place of a connection in its table.
pub fn place_of(connection: ConnectionId) -> u32 {
    connection.0 as u32
}

/// A dense table whose places are used again and whose numbers are not.
#[derive(Debug)]
pub struct Slots<T> {
    bit: u64,
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    /// An empty table for connections of one transport.
    pub fn new(transport: Transport) -> Self {
        Self {
            bit: match transport {
                Transport::WebSocket => 0,
                Transport::Quic => QUIC_BIT,
            },
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Connections in the table.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts `value` into a place; returns its number.
    pub fn insert(&mut self, value: T) -> ConnectionId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place {
                generation: 1,
                value: None,
            });
            u32::try_from(self.places.len() - 1).expect("fewer connections than descriptors")
        });
        let place = &mut self.places[index as usize];
        assert!(place.value.is_none(), "place {index} was free");
        place.value = Some(value);
        self.id(index)
    }

    /// The connection of that number, unless it is gone.
    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut T> {
        let index = self.index(id)?;
        self.places[index].value.as_mut()
    }

    /// The connection of that number, unless it is gone.
    pub fn get(&self, id: ConnectionId) -> Option<&T> {
        let index = self.index(id)?;
        self.places[index].value.as_ref()
    }

    /// The connection at a place, and its number.
    pub fn at_mut(&mut self, place: u32) -> Option<(ConnectionId, &mut T)> {
        let id = self.id_at(place)?;
        let value = self.places[place as usize].value.as_mut()?;
        Some((id, value))
    }

    /// Takes the connection out; its number is dead from here on.
    pub fn remove(&mut self, id: ConnectionId) -> Option<T> {
        let index = self.index(id)?;
        let place = &mut self.places[index];
        let value = place.value.take()?;
        place.generation = place.generation % GENERATION_MAX + 1;
        self.free.push(index as u32);
        Some(value)
    }

    /// The numbers of all connections.
    pub fn ids(&self) -> Vec<ConnectionId> {
        (0u32..)
            .zip(&self.places)
            .filter(|(_, place)| place.value.is_some())
            .map(|(index, _)| self.id(index))
            .collect()
    }

    fn id(&self, index: u32) -> ConnectionId {
        let generation = u64::from(self.places[index as usize].generation);
        ConnectionId(self.bit | generation << 32 | u64::from(index))
    }

    fn id_at(&self, place: u32) -> Option<ConnectionId> {
        ((place as usize) < self.places.len()).then(|| self.id(place))
    }

    fn index(&self, id: ConnectionId) -> Option<usize> {
        let index = place_of(id) as usize;
        let place = self.places.get(index)?;
        (self.id(index as u32) == id && place.value.is_some()).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_dead_once_its_connection_is_gone() {
        let mut slots = Slots::new(Transport::Quic);
        let first = slots.insert('a');
        assert_eq!(slots.remove(first), Some('a'));
        let second = slots.insert('b');
        assert_eq!(first.0 as u32, second.0 as u32, "the place is used again");
        assert_ne!(first, second);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&'b'));
        assert_eq!(slots.ids(), [second]);
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn transports_do_not_share_numbers() {
        let mut quic = Slots::new(Transport::Quic);
        let mut websocket = Slots::new(Transport::WebSocket);
        let (a, b) = (quic.insert(()), websocket.insert(()));
        assert_eq!(transport_of(a), Transport::Quic);
        assert_eq!(transport_of(b), Transport::WebSocket);
        assert_eq!(quic.get(b), None);
        assert_eq!(websocket.get(a), None);
    }
}
