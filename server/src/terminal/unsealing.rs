//! The viewer's half of `--seal`: opens points, and says beside those that stay closed why.

use std::collections::HashSet;
use std::path::Path;

use skein_client::change::{Change, Event, ShownPoint};
use skein_client::seal::error::OpenError;
use skein_client::seal::opener::Opener;
use skein_wire::ids::{ChatName, SessionId};
use skein_wire::point::Payload;

use crate::terminal::key_file::KeyFile;
use crate::terminal::who_text::who;

/// Reasons that are said on stderr at most; beyond it points only carry theirs.
const TOLD_MAX: usize = 1_000;

/// Opens the points of a chat.
#[derive(Debug)]
pub struct Unsealing {
    file: KeyFile,
    opener: Opener,
    /// What was said on stderr already.
    told: HashSet<(SessionId, OpenError)>,
}

/// A change as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The change; an opened point has its fix.
    pub change: Change,
    /// Why its point is still sealed.
    pub unopened: Option<OpenError>,
}

impl Unsealing {
    /// With the keys of a file.
    ///
    /// # Errors
    /// When the file is no good.
    pub fn open(path: &Path, chat: &ChatName) -> anyhow::Result<Self> {
        let (file, ring) = KeyFile::open(path)?;
        Ok(Self {
            file,
            opener: Opener::new(chat.clone(), ring),
            told: HashSet::new(),
        })
    }

    /// Opens the point of a change, where it has one that is sealed.
    pub fn show(&mut self, change: &Change) -> Shown {
        let mut shown = Shown {
            change: change.clone(),
            unopened: None,
        };
        let session = change.subject.as_ref().map(|subject| subject.session);
        match (&mut shown.change.event, session) {
            (Event::Resync, _) => self.opener.restart(),
            (Event::Ended { .. } | Event::Left, Some(session)) => self.opener.forget(session),
            (Event::Point { point, .. }, Some(session)) => {
                shown.unopened = self.open_point(session, point, true);
            }
            _ => {}
        }
        if let Some(error) = shown.unopened {
            self.tell(change, error);
        }
        shown
    }

    /// Opens a point that is shown again and again, as in a table.
    pub fn look(&mut self, session: SessionId, point: &mut ShownPoint) -> Option<OpenError> {
        self.open_point(session, point, false)
    }

    /// Puts the fix into a sealed point's place; gives why it could not.
    fn open_point(
        &mut self,
        session: SessionId,
        point: &mut ShownPoint,
        once: bool,
    ) -> Option<OpenError> {
        let Payload::Sealed(blob) = &point.payload else {
            return None;
        };
        let (counter, at_ms) = (point.counter, point.captured_at_ms);
        let open = |opener: &mut Opener| match once {
            true => opener.open_once(session, counter, at_ms, blob),
            false => opener.open(session, counter, at_ms, blob),
        };
        let mut opened = open(&mut self.opener);
        if matches!(opened, Err(OpenError::UnknownKey { .. }))
            && let Some(ring) = self.file.news()
        {
            self.opener.set_ring(ring);
            opened = open(&mut self.opener);
        }
        match opened {
            Ok(fix) => {
                point.payload = Payload::Fix(fix);
                None
            }
            Err(error) => Some(error),
        }
    }

    /// Once for each session and reason: the points go on, and each carries its own.
    fn tell(&mut self, change: &Change, error: OpenError) {
        let Some(subject) = &change.subject else {
            return;
        };
        if self.told.len() < TOLD_MAX && self.told.insert((subject.session, error)) {
            let who = who(subject);
            eprintln!("{who}: points stay sealed: {error}");
        }
    }
}
