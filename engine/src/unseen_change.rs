//! A change of members that a relay has been told and has not answered yet.

use skein_wire::ids::ChatHandle;

use crate::time::Timestamp;

/// See the module's text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnseenChange {
    pub chat: ChatHandle,
    pub offset: u64,
    /// The relay is late after this.
    pub until: Timestamp,
}
