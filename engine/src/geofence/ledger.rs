//! The geofences of a chat as the control log adds them up, and who is inside by what was promised.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use skein_wire::update::CrossingKind;

use crate::geofence::record::GeofenceRecord;

/// One crossing that is a promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossingRecord {
    /// The geofence.
    pub geofence: u64,
    /// Its name.
    pub name: String,
    /// The member whose alert it is; empty = of the chat.
    pub owner: String,
    /// [`CrossingKind`] as its byte.
    pub kind: u8,
    /// Whose session.
    pub session: u64,
    /// Its member.
    pub user: String,
    /// The other session, of two; 0 = none.
    pub other: u64,
    /// Its member.
    pub other_user: String,
    /// Server time, milliseconds since 1970.
    pub at_ms: u64,
}

impl CrossingRecord {
    /// What happened, unless the byte says nothing.
    pub fn kind(&self) -> Option<CrossingKind> {
        CrossingKind::from_u8(self.kind)
    }
}

/// A geofence and who is inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// What it is.
    pub record: GeofenceRecord,
    /// Sessions inside; of two that are near each other both, else the second is 0.
    pub inside: BTreeSet<(u64, u64)>,
}

/// The geofences of a chat, by their ids.
///
/// ```
/// use skein_engine::geofence::ledger::GeofenceLedger;
/// use skein_engine::geofence::record::{GeofenceRecord, Shape};
/// let mut ledger = GeofenceLedger::default();
/// let record = GeofenceRecord {
///     name: "gate".into(), owner: String::new(), claim: 0,
///     shape: Shape::Circle { lat_e6: 0, lon_e6: 0, radius_m: 100 },
///     user: String::new(), session: 0, dwell_s: 0, once: false, created_at_ms: 1, expires_at_ms: 0,
/// };
/// assert!(ledger.put(7, &record));
/// assert!(!ledger.put(7, &record), "nothing new");
/// assert!(ledger.put(8, &GeofenceRecord { dwell_s: 60, ..record }));
/// assert_eq!(ledger.iter().map(|(id, _)| id).collect::<Vec<_>>(), [8], "a name is given once");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeofenceLedger {
    entries: BTreeMap<u64, LedgerEntry>,
}

impl GeofenceLedger {
    /// All, in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u64, &LedgerEntry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// One is there from now on, in place of the one of that name. Who is inside stays so where it is
    /// the same wish under the same id. Gives whether anything is different.
    pub fn put(&mut self, geofence: u64, record: &GeofenceRecord) -> bool {
        let same_name = |entry: &LedgerEntry| {
            entry.record.name == record.name && entry.record.owner == record.owner
        };
        let before = self.entries.iter().find(|(_, entry)| same_name(entry));
        let before = before.map(|(id, _)| *id);
        let before = before.and_then(|id| self.entries.remove(&id).map(|entry| (id, entry)));
        let is_new = before
            .as_ref()
            .is_none_or(|(id, entry)| *id != geofence || entry.record != *record);
        let inside = match before {
            Some((id, entry)) if id == geofence && entry.record.is_like(record) => entry.inside,
            _ => BTreeSet::new(),
        };
        let record = record.clone();
        self.entries
            .insert(geofence, LedgerEntry { record, inside });
        is_new
    }

    /// One is no more. Gives whether it was there.
    pub fn remove(&mut self, geofence: u64) -> bool {
        self.entries.remove(&geofence).is_some()
    }

    /// Something happened at one; one that lasts for once is over then. Gives whether anything is
    /// different.
    pub fn cross(&mut self, crossing: &CrossingRecord) -> bool {
        let Some(entry) = self.entries.get_mut(&crossing.geofence) else {
            return false;
        };
        let key = (crossing.session, crossing.other);
        match crossing.kind() {
            Some(kind) if kind.is_begin() && entry.record.once => self.remove(crossing.geofence),
            Some(kind) if kind.is_begin() => entry.inside.insert(key),
            _ => entry.inside.remove(&key),
        }
    }

    /// A session is over: it is inside of nothing, and what is about it alone is over, too.
    pub fn end_session(&mut self, session: u64) {
        self.entries
            .retain(|_, entry| !entry.record.ends_with(session));
        for entry in self.entries.values_mut() {
            let is_of = |key: &(u64, u64)| key.0 == session || key.1 == session;
            entry.inside.retain(|key| !is_of(key));
        }
    }

    /// A member has these rights: alerts of who may not watch are over.
    pub fn end_alerts(&mut self, user: &str, rights: u8) {
        self.entries
            .retain(|_, entry| !entry.record.is_lost_with(user, rights));
    }

    /// Nothing can be judged any more.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geofence::record::Shape;

    fn record(owner: &str, once: bool) -> GeofenceRecord {
        GeofenceRecord {
            name: "gate".into(),
            owner: owner.into(),
            claim: 0,
            shape: Shape::Circle {
                lat_e6: 1,
                lon_e6: 2,
                radius_m: 100,
            },
            user: String::new(),
            session: 0,
            dwell_s: 0,
            once,
            created_at_ms: 1,
            expires_at_ms: 0,
        }
    }

    fn crossing(geofence: u64, kind: CrossingKind, session: u64, other: u64) -> CrossingRecord {
        CrossingRecord {
            geofence,
            name: "gate".into(),
            owner: String::new(),
            kind: kind as u8,
            session,
            user: "u".into(),
            other,
            other_user: String::new(),
            at_ms: 5,
        }
    }

    fn inside(ledger: &GeofenceLedger, id: u64) -> Vec<(u64, u64)> {
        let entry = ledger.iter().find(|(other, _)| *other == id);
        entry.map_or(Vec::new(), |(_, entry)| {
            entry.inside.iter().copied().collect()
        })
    }

    #[test]
    fn who_is_inside_is_what_was_promised() {
        let mut ledger = GeofenceLedger::default();
        ledger.put(1, &record("", false));
        assert!(ledger.cross(&crossing(1, CrossingKind::Enter, 5, 0)));
        assert!(!ledger.cross(&crossing(1, CrossingKind::Enter, 5, 0)));
        assert!(ledger.cross(&crossing(1, CrossingKind::Near, 5, 6)));
        assert!(
            !ledger.cross(&crossing(2, CrossingKind::Enter, 5, 0)),
            "not there"
        );
        assert_eq!(inside(&ledger, 1), [(5, 0), (5, 6)]);
        // The same wish again, with another end.
        ledger.put(
            1,
            &GeofenceRecord {
                expires_at_ms: 9,
                ..record("", false)
            },
        );
        assert_eq!(inside(&ledger, 1), [(5, 0), (5, 6)]);
        ledger.end_session(6);
        assert_eq!(inside(&ledger, 1), [(5, 0)]);
        // And other ones.
        ledger.put(
            1,
            &GeofenceRecord {
                dwell_s: 9,
                ..record("", false)
            },
        );
        assert_eq!((inside(&ledger, 1), ledger.iter().len()), (vec![], 1));
        ledger.put(4, &record("", false));
        assert_eq!((inside(&ledger, 4), ledger.iter().len()), (vec![], 1));
        // An alert of the same name is another thing.
        ledger.put(5, &record("ana", false));
        assert_eq!(ledger.iter().len(), 2);
        ledger.end_alerts("ana", 1);
        assert_eq!(ledger.iter().map(|(id, _)| id).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn once_is_over_with_its_first_beginning() {
        let mut ledger = GeofenceLedger::default();
        ledger.put(1, &record("", true));
        assert!(ledger.cross(&crossing(1, CrossingKind::Enter, 5, 0)));
        assert_eq!(ledger.iter().len(), 0);
        assert!(!ledger.cross(&crossing(1, CrossingKind::Exit, 5, 0)));
    }
}
