//! How batches get onto WebSockets.

use serde::{Deserialize, Deserializer, Serialize};

use crate::config::choice::choose;

/// The way of a batch from a shard to the sockets of its viewers.
///
/// ```
/// use skein_server::config::websocket_sends::WebSocketSends;
/// let sends = serde_json::from_str::<WebSocketSends>("\"io_uring\"").unwrap();
/// assert_eq!(sends, WebSocketSends::IoUring);
/// assert_eq!(WebSocketSends::default(), WebSocketSends::Auto);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WebSocketSends {
    /// Many in one system call where the kernel lets us, else one by one.
    #[default]
    Auto,
    /// Many in one system call, or no start: for who would rather know.
    IoUring,
    /// One by one: for kernels whose ring is not trusted.
    Write,
}

impl<'de> Deserialize<'de> for WebSocketSends {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let choices = [
            ("auto", Self::Auto),
            ("io_uring", Self::IoUring),
            ("write", Self::Write),
        ];
        choose(deserializer, &choices)
    }
}
