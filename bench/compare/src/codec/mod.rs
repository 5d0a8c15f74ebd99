//! The peers' protocols, byte by byte, and no more of them than is needed.

pub mod resp;

pub mod mqtt;
pub mod nats;

pub mod websocket;

pub mod centrifuge;
pub mod plain;
pub mod skein;

pub mod http;
pub mod kafka;

#[cfg(test)]
pub(crate) mod tests {
    //! What the tests of the protocols share.

    use crate::position::{POSITION_BYTES, Position};
    use crate::protocol::{LineState, Protocol};
    use crate::sink::Sink;

    /// Session and counter.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Seen(pub u32, pub u64);

    struct Notes(Vec<Seen>);

    impl Sink for Notes {
        fn position(&mut self, position: Position) {
            self.0.push(Seen(position.session, position.counter));
        }

        fn position_low(&mut self, session: u32, low: u8) {
            self.0.push(Seen(session, low.into()));
        }
    }

    pub fn position(session: u32, counter: u64) -> [u8; POSITION_BYTES] {
        Position { session, counter }.bytes()
    }

    /// Feeds a viewer these bytes cut at every place in turn: it must see the same each time, and
    /// watch in the end.
    pub fn check_cuts(protocol: impl Protocol + Clone, bytes: &[u8]) -> Vec<Seen> {
        let mut all: Option<Vec<Seen>> = None;
        for cut in 0..=bytes.len() {
            let (mut protocol, mut state) = (protocol.clone(), LineState::default());
            let (mut notes, mut pending) = (Notes(Vec::new()), Vec::new());
            for part in [&bytes[..cut], &bytes[cut..]] {
                pending.extend_from_slice(part);
                let used = protocol
                    .take(&mut state, &pending, &mut Vec::new(), &mut notes)
                    .expect("the protocol");
                pending.drain(..used);
            }
            assert!(pending.is_empty(), "cut at {cut}: {pending:?} is left");
            assert!(state.ready, "cut at {cut}: the viewer does not watch");
            let first = all.get_or_insert_with(|| notes.0.clone());
            assert_eq!(*first, notes.0, "cut at {cut}");
        }
        all.unwrap_or_default()
    }
}
