//! WebSockets on their way from the HTTP stage to the shard that will serve them.

use bytes::Bytes;
use rustls::ServerConnection;
use std::net::TcpStream;
use tokio::sync::mpsc;

use crate::edge::waker::ShardWaker;
use crate::limits::ARRIVALS_MAX;

/// A socket that the HTTP library has upgraded and given back.
#[derive(Debug)]
pub struct Upgraded {
    /// The socket.
    pub stream: TcpStream,
    /// Its TLS state, unless plain.
    pub tls: Option<Box<ServerConnection>>,
    /// What came right behind the request.
    pub early: Bytes,
}

/// The end that the shard has.
#[derive(Debug)]
pub struct Arrivals {
    upgraded: mpsc::Receiver<Upgraded>,
}

/// The end that the HTTP stage has.
#[derive(Clone, Debug)]
pub struct ArrivalsSender {
    upgraded: mpsc::Sender<Upgraded>,
    waker: ShardWaker,
}

impl Arrivals {
    /// Both ends of the way to the shard that `waker` wakes.
    pub fn channel(waker: ShardWaker) -> (ArrivalsSender, Self) {
        let (sender, upgraded) = mpsc::channel(ARRIVALS_MAX);
        let sender = ArrivalsSender {
            upgraded: sender,
            waker,
        };
        (sender, Self { upgraded })
    }

    /// Takes one.
    pub fn pop(&mut self) -> Option<Upgraded> {
        self.upgraded.try_recv().ok()
    }

    /// Whether one waits.
    pub fn has_input(&self) -> bool {
        !self.upgraded.is_empty()
    }
}

impl ArrivalsSender {
    /// Hands one over, waiting for room. It is closed when the shard is gone.
    pub async fn send(&self, upgraded: Upgraded) {
        if self.upgraded.send(upgraded).await.is_ok() {
            self.waker.wake();
        }
    }
}
