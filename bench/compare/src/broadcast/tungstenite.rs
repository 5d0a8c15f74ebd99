//! A plain broadcast server on tokio-tungstenite, with its default buffers.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast::Sender;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::broadcast::channel::{MESSAGES_PER_WRITE, serve};
use crate::codec::plain::VIEW;

/// The role of a child that is this server.
pub const ROLE: &str = "tungstenite";

/// Runs the server; for `main` in this role.
pub fn main() {
    serve(connection);
}

async fn connection(socket: TcpStream, channel: Sender<Bytes>) {
    // Who breaks the protocol or leaves is gone, and nobody else's business.
    let _ = serve_one(socket, channel).await;
}

// The type of the callback is the library's.
#[allow(clippy::result_large_err)]
async fn serve_one(socket: TcpStream, channel: Sender<Bytes>) -> Result<(), Error> {
    let mut views = false;
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        views = request.uri().path() == VIEW;
        Ok(response)
    };
    let mut socket = accept_hdr_async(socket, look).await?;
    if !views {
        while let Some(message) = socket.next().await {
            if let Message::Binary(position) = message? {
                // Without a viewer nobody gets it.
                let _ = channel.send(position);
            }
        }
        return Ok(());
    }
    let mut positions = channel.subscribe();
    // The subscription holds the channel; this handle would keep it open for nobody.
    drop(channel);
    socket.send(Message::Binary(Bytes::new())).await?;
    while let Ok(position) = positions.recv().await {
        socket.feed(Message::Binary(position)).await?;
        for _ in 1..MESSAGES_PER_WRITE {
            let Ok(position) = positions.try_recv() else {
                break;
            };
            socket.feed(Message::Binary(position)).await?;
        }
        socket.flush().await?;
    }
    Ok(())
}
