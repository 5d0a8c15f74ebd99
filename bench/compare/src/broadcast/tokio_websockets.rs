//! A plain broadcast server on tokio-websockets, with its default buffers.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast::Sender;
use tokio_websockets::{Error, Message, ServerBuilder};

use crate::broadcast::channel::{MESSAGES_PER_WRITE, serve};
use crate::codec::plain::VIEW;

/// The role of a child that is this server.
pub const ROLE: &str = "tokio-websockets";

/// Runs the server; for `main` in this role.
pub fn main() {
    serve(connection);
}

async fn connection(socket: TcpStream, channel: Sender<Bytes>) {
    // Who breaks the protocol or leaves is gone, and nobody else's business.
    let _ = serve_one(socket, channel).await;
}

async fn serve_one(socket: TcpStream, channel: Sender<Bytes>) -> Result<(), Error> {
    let (request, mut socket) = ServerBuilder::new().accept(socket).await?;
    if request.uri().path() != VIEW {
        while let Some(message) = socket.next().await {
            // Without a viewer nobody gets it.
            let _ = channel.send(Bytes::from(message?.into_payload()));
        }
        return Ok(());
    }
    let mut positions = channel.subscribe();
    // The subscription holds the channel; this handle would keep it open for nobody.
    drop(channel);
    socket.send(Message::binary(Bytes::new())).await?;
    while let Ok(position) = positions.recv().await {
        socket.feed(Message::binary(position)).await?;
        for _ in 1..MESSAGES_PER_WRITE {
            let Ok(position) = positions.try_recv() else {
                break;
            };
            socket.feed(Message::binary(position)).await?;
        }
        socket.flush().await?;
    }
    Ok(())
}
