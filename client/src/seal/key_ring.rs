//! The keys that a member holds: of a chat, of single sessions, of several epochs.

use skein_wire::ids::{ChatName, SessionId};

use crate::limits::SEAL_KEYS_MAX;
use crate::seal::error::SealError;
use crate::seal::key::SealKey;

/// Keys, each found by chat, session and epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRing {
    keys: Vec<SealKey>,
}

impl KeyRing {
    /// The keys of a text: one a line; empty lines and those that begin with `#` do not count.
    ///
    /// # Errors
    /// The first line that is none, or the same epoch twice with two secrets.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let mut ring = Self::default();
        for (index, line) in text.lines().enumerate() {
            let bad = |what| SealError::BadKey {
                line: index + 1,
                what,
            };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            ring.insert(SealKey::from_text(line).map_err(bad)?)
                .map_err(bad)?;
        }
        Ok(ring)
    }

    /// Takes a key up; the same one again changes nothing.
    ///
    /// # Errors
    /// When another secret is known for the same chat, session and epoch (an epoch means one
    /// secret), or the ring is full.
    pub fn insert(&mut self, key: SealKey) -> Result<(), &'static str> {
        let place = |known: &SealKey| (known.chat().clone(), known.session(), known.epoch());
        let wanted = place(&key);
        match self.keys.iter().find(|known| place(known) == wanted) {
            Some(known) if *known == key => Ok(()),
            Some(_) => Err("two different keys of one epoch; a new key needs a new epoch"),
            None if self.keys.len() >= SEAL_KEYS_MAX => {
                Err("more keys than are kept; remove those of old epochs")
            }
            None => {
                self.keys.push(key);
                Ok(())
            }
        }
    }

    /// All keys, in the order in which they came.
    pub fn keys(&self) -> &[SealKey] {
        &self.keys
    }

    /// The key with which a session's points of an epoch are opened: the session's own, else the
    /// chat's.
    pub fn find(&self, chat: &ChatName, session: SessionId, epoch: u32) -> Option<&SealKey> {
        let keys = self.keys.iter().filter(|key| is_for(key, chat, session));
        keys.filter(|key| key.epoch() == epoch)
            .max_by_key(|key| key.session().is_some())
    }

    /// The key with which a session's points are sealed now: the session's own, else the chat's; of
    /// these the one with the greatest epoch.
    pub fn newest(&self, chat: &ChatName, session: SessionId) -> Option<&SealKey> {
        let keys = self.keys.iter().filter(|key| is_for(key, chat, session));
        keys.max_by_key(|key| (key.session().is_some(), key.epoch()))
    }
}

fn is_for(key: &SealKey, chat: &ChatName, session: SessionId) -> bool {
    key.chat() == chat && key.session().is_none_or(|only| only == session)
}

#[cfg(test)]
mod tests {
    use skein_wire::ids::{ChatName, SessionId};

    use crate::seal::error::SealError;
    use crate::seal::key::SealKey;
    use crate::seal::key_ring::KeyRing;
    use crate::seal::suite::Suite;

    fn chat(name: &str) -> ChatName {
        ChatName::new(name).expect("a name")
    }

    fn key(name: &str, session: Option<u64>, epoch: u32, byte: u8) -> SealKey {
        let session = session.map(SessionId);
        SealKey::from_parts(chat(name), session, epoch, Suite::default(), [byte; 32])
    }

    #[test]
    fn a_session_of_its_own_key_goes_before_the_chats() {
        let keys = [
            key("a", None, 1, 1),
            key("a", None, 3, 2),
            key("a", Some(7), 1, 3),
            key("b", None, 9, 4),
        ];
        let text: Vec<String> = keys.iter().map(SealKey::to_text).collect();
        let ring = KeyRing::parse(&format!("# keys\n\n{}\n", text.join("\n"))).expect("a ring");
        let (a, seven, eight) = (chat("a"), SessionId(7), SessionId(8));
        assert_eq!(ring.newest(&a, seven), Some(&keys[2]));
        assert_eq!(ring.newest(&a, eight), Some(&keys[1]));
        assert_eq!(ring.find(&a, seven, 1), Some(&keys[2]));
        assert_eq!(ring.find(&a, seven, 3), Some(&keys[1]));
        assert_eq!(ring.find(&a, eight, 1), Some(&keys[0]));
        assert_eq!(ring.find(&a, eight, 2), None);
        assert_eq!(ring.find(&chat("c"), eight, 1), None);
    }

    #[test]
    fn an_epoch_means_one_secret() {
        let twice = |other: u8| {
            format!(
                "{}\n{}",
                key("a", None, 1, 1).to_text(),
                key("a", None, 1, other).to_text()
            )
        };
        assert_eq!(KeyRing::parse(&twice(1)).expect("the same").keys().len(), 1);
        let error = KeyRing::parse(&twice(2)).expect_err("two secrets");
        assert!(
            matches!(error, SealError::BadKey { line: 2, .. }),
            "{error}"
        );
    }
}
