//! Everything that one shard holds of a chat because the log says so, to compare shards with each
//! other: equal offsets mean equal contents, however a mirror came to them.

use skein_wire::ids::{SessionId, Slot, UserName};
use skein_wire::request::Delivery;

use crate::chat::Chat;
use crate::journal::RowRecord;
use crate::row::Row;
use crate::table::Table;

/// What owner and mirror must agree about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatContent {
    /// Greatest offset of the chat's records that are in it.
    pub as_of: u64,
    /// Oldest offset for which ended rows are complete.
    pub horizon: u64,
    /// Heads of the table, `latest` and `every`.
    pub heads: [u64; 2],
    /// Rows with all of their parts, trails included, in order of their slots.
    pub rows: Vec<(SessionId, RowRecord)>,
    /// Slots from the newest change to the oldest.
    pub order: Vec<Slot>,
    /// Number of ended rows.
    pub tombstones: usize,
    /// Members in order of their names, and the bits of their rights.
    pub members: Vec<(UserName, u8)>,
}

impl ChatContent {
    pub(crate) fn of(chat: &Chat) -> Self {
        let table: &Table = &chat.table;
        let record = |row: &Row| (row.session(), row.record(0, Vec::new()));
        let members = chat.members.iter();
        Self {
            as_of: table.as_of(),
            horizon: table.horizon(),
            heads: [table.head(Delivery::Latest), table.head(Delivery::Every)],
            rows: table.rows().map(record).collect(),
            order: table.changed_since(0).map(Row::slot).collect(),
            tombstones: table.tombstones(),
            members: members
                .map(|(user, rights)| (user.clone(), rights.bits()))
                .collect(),
        }
    }
}
