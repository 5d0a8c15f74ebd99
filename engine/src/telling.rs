//! A crossing on its way to the viewers of a shard, some of them per pass.

use skein_wire::update::Crossing;

use crate::ids::ConnectionId;

/// One crossing and who is still to be told.
#[derive(Debug)]
pub(crate) struct Telling {
    pub crossing: Crossing,
    pub audience: Vec<ConnectionId>,
}
