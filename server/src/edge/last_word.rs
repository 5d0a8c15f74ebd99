//! What a TCP connection without TLS hears for which there is no place: a prepared `503` that says when to come
//! again, so that a client, a proxy or a browser tells a server that is full from one that is gone.
//!
//! Nothing is read of what the peer asks, except to throw it away: a socket that is closed with bytes unread takes its
//! answer back. So a few connections a shard linger for a moment, and those beyond are closed without a word, as all are
//! whose first word would be a TLS handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use skein_wire::error::Code;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::limits::{TURNED_AWAY_LINGER_MS, TURNED_AWAY_MAX};

/// Those who are turned away come again after 1 to so many seconds, by their port: not all at once.
const RETRY_S_SPREAD: u16 = 8;

/// The last words of one shard.
#[derive(Debug)]
pub struct LastWord(Arc<Semaphore>);

impl Default for LastWord {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TURNED_AWAY_MAX)))
    }
}

impl LastWord {
    /// Answers and closes a connection that has no place, or only closes it.
    pub fn say(&self, stream: TcpStream, peer: SocketAddr) {
        let Ok(place) = Arc::clone(&self.0).try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            let linger = Duration::from_millis(TURNED_AWAY_LINGER_MS);
            // Whoever does not hear it comes again anyway.
            let _ = timeout(linger, say(stream, peer.port())).await;
            drop(place);
        });
    }
}

async fn say(mut stream: TcpStream, port: u16) -> io::Result<()> {
    stream.write_all(answer(port).as_bytes()).await?;
    stream.shutdown().await?;
    let mut asked = [0; 512];
    while stream.read(&mut asked).await? > 0 {}
    Ok(())
}

fn answer(port: u16) -> String {
    let body = format!(
        r#"{{"code":"{}","text":"the server has no room for more connections; come again"}}"#,
        Code::Busy.name()
    );
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        1 + port % RETRY_S_SPREAD,
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_whole() {
        for port in [0, 7, 8, u16::MAX] {
            let answer = answer(port);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
            let json: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(json["code"], "busy");
        }
        assert!(answer(0).contains("retry-after: 1\r\n"));
        assert!(answer(7).contains("retry-after: 8\r\n"));
    }
}
