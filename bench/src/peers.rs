//! The near end of a crowd in another process.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::child::Child;
use crate::crowd::{CrowdSpec, Kind, Order, Published, ROLE, Ready};
use crate::pin;
use crate::stage::Streamed;

/// A crowd and its server. Both end with its value.
pub struct Peers {
    child: Child,
    /// What it said when everybody was there.
    pub ready: Ready,
}

impl Peers {
    /// Starts a server on the first core and a crowd around it on the last one.
    ///
    /// # Panics
    /// If that fails.
    pub fn start(kind: Kind, viewers: usize, sessions: usize, message_bytes: usize) -> Self {
        let spec = CrowdSpec {
            kind,
            core: pin::cores().first().copied().unwrap_or(0),
            viewers,
            sessions,
            message_bytes,
        };
        let spec = serde_json::to_string(&spec).expect("plain data");
        // A child starts on the cores of its parent.
        pin::to_all();
        let child = Child::start(ROLE, [spec.into()]);
        pin::to_last();
        let ready = read(&child.said);
        Self { child, ready }
    }

    /// Publishes a few times.
    ///
    /// # Panics
    /// If the crowd has ended.
    pub fn publish(&mut self, pause: Duration, updates: usize, times: usize) -> Published {
        self.order(Order::Publish {
            pause_us: pause.as_micros() as u64,
            updates,
            times,
        })
    }

    /// Lets all sessions move once a second for a while.
    ///
    /// # Panics
    /// If the crowd has ended, or its server has no sessions.
    pub fn stream(&mut self, seconds: u64) -> Streamed {
        let streamed: Option<Streamed> = self.order(Order::Stream { seconds });
        streamed.expect("a server with sessions")
    }

    fn order<T: DeserializeOwned>(&mut self, order: Order) -> T {
        let order = serde_json::to_string(&order).expect("plain data");
        read(&self.child.ask(&order))
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.child.dismiss();
    }
}

fn read<T: DeserializeOwned>(line: &str) -> T {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}
