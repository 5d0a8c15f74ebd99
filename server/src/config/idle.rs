//! What a shard does while it has nothing to do.

use serde::{Deserialize, Deserializer, Serialize};

use crate::config::choice::choose;

/// How a shard waits.
///
/// A core that sleeps has to be woken, and comes back with cold caches; one that polls costs all
/// of itself, whether or not there is anything to do.
///
/// ```
/// use skein_server::config::idle::Idle;
/// assert_eq!(serde_json::from_str::<Idle>("\"spin\"").unwrap(), Idle::Spin);
/// assert_eq!(Idle::default(), Idle::Sleep);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Idle {
    /// Sleeps until something wakes it.
    #[default]
    Sleep,
    /// Polls for ever: for deployments where latency is worth a core for each shard.
    Spin,
    /// Polls for a moment after each pass, then sleeps: a burst pays for one wake-up only.
    Adaptive,
}

impl<'de> Deserialize<'de> for Idle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let choices = [
            ("sleep", Self::Sleep),
            ("spin", Self::Spin),
            ("adaptive", Self::Adaptive),
        ];
        choose(deserializer, &choices)
    }
}
