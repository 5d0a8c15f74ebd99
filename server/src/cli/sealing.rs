//! The sender's half of `--seal`: fixes of one session go out sealed, with the newest key there is.

use std::path::Path;

use anyhow::Context;
use skein_client::seal::key_ring::KeyRing;
use skein_client::seal::sealer::Sealer;
use skein_client::sender::Sender;
use skein_wire::ids::{ChatName, Counter, SessionId};
use skein_wire::point::Fix;

use crate::terminal::key_file::KeyFile;

/// Seals for one session.
#[derive(Debug)]
pub struct Sealing {
    file: KeyFile,
    ring: KeyRing,
    chat: ChatName,
    sealer: Option<Sealer>,
}

impl Sealing {
    /// With the keys of a file, before the session is there.
    ///
    /// # Errors
    /// When the file is no good, or has no key with which a new session of the chat can be sealed.
    pub fn open(path: &Path, chat: &ChatName) -> anyhow::Result<Self> {
        let (file, ring) = KeyFile::open(path)?;
        let is_ours = |key: &&_| skein_client::seal::key::SealKey::chat(key) == chat;
        ring.keys().iter().find(is_ours).with_context(|| {
            format!(
                "{} has no key of {chat}; ask for it in the chat, or make one: skein seal new --chat {chat} FILE",
                path.display()
            )
        })?;
        Ok(Self {
            file,
            ring,
            chat: chat.clone(),
            sealer: None,
        })
    }

    /// Seals a fix and shares it.
    ///
    /// # Errors
    /// When there is no key for this session, or no randomness.
    pub fn share(
        &mut self,
        sender: &Sender,
        captured_at_ms: i64,
        fix: &Fix,
    ) -> anyhow::Result<Counter> {
        if let Some(ring) = self.file.news() {
            self.ring = ring;
        }
        let sealer = self.sealer(sender.session())?;
        Ok(sender.share_sealed(captured_at_ms, fix, sealer)?)
    }

    /// The sealer of the newest key; another one than before when there is a newer key.
    fn sealer(&mut self, session: SessionId) -> anyhow::Result<&mut Sealer> {
        let key = self.ring.newest(&self.chat, session);
        let epoch = key.map(|key| key.epoch());
        let current = self.sealer.take();
        let sealer = match (current, key) {
            (Some(sealer), _) if epoch.is_none_or(|epoch| epoch <= sealer.epoch()) => sealer,
            (_, Some(key)) => {
                eprintln!("sealing with epoch {}, {}", key.epoch(), key.fingerprint());
                Sealer::new(key, session)?
            }
            (_, None) => anyhow::bail!("no key for session {session} of {}", self.chat),
        };
        Ok(self.sealer.insert(sealer))
    }
}
