//! What the plain servers share: one runtime on one thread, a listener, the broadcast channel.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::broadcast;
use tokio::task::LocalSet;

/// Messages that a viewer may be behind: more than senders ever have on the way.
pub const CHANNEL_MESSAGES: usize = 4_096;

/// Messages that are put into one write when they wait already.
pub const MESSAGES_PER_WRITE: usize = 256;

/// Runs a server: says its port on stdout, and serves each connection by a task.
///
/// # Panics
/// If the system has no port or no runtime.
pub fn serve<M, F>(connection: fn(TcpStream, broadcast::Sender<M>) -> F)
where
    M: Clone + 'static,
    F: Future<Output = ()> + 'static,
{
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await;
        let listener = listener.expect("a port");
        println!("{}", listener.local_addr().expect("bound").port());
        let (channel, _) = broadcast::channel(CHANNEL_MESSAGES);
        while let Ok((socket, _)) = listener.accept().await {
            // A delay of small segments would only make it look worse.
            let _ = socket.set_nodelay(true);
            tokio::task::spawn_local(connection(socket, channel.clone()));
        }
    });
}
