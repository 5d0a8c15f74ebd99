//! Plain broadcast servers: what anybody writes in an afternoon with a well-kept library. What a
//! sender sends goes to every viewer, and that is all: no sessions, no access, no log, no slow
//! viewers.

pub mod channel;

pub mod tokio_websockets;
pub mod tungstenite;
