//! As much of HTTP/1.1 as a client of one connection needs: a request with a body, its answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that is kept.
pub struct HttpClient {
    socket: TcpStream,
    host: SocketAddr,
    pending: Vec<u8>,
    buffer: Vec<u8>,
}

impl HttpClient {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn connect(to: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(to).with_context(|| format!("connecting to {to}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            host: to,
            pending: Vec::new(),
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Sends a request with a JSON body; [`Self::finish`] waits for its answer.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn begin(&mut self, method: &str, path: &str, body: &[u8]) -> Result<()> {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            self.host,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        Ok(self.socket.write_all(&request)?)
    }

    /// The body of the answer.
    ///
    /// # Errors
    /// If the server refuses or leaves.
    pub fn finish(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(answer) = Answer::cut(&self.pending)? {
                let body = answer.body;
                self.pending.drain(..answer.end);
                if !(200..300).contains(&answer.status) {
                    let said = String::from_utf8_lossy(&body);
                    bail!("the server answered {}: {said}", answer.status);
                }
                return Ok(body);
            }
            let count = self.socket.read(&mut self.buffer)?;
            if count == 0 {
                bail!("the server closed before its answer was whole");
            }
            self.pending.extend_from_slice(&self.buffer[..count]);
        }
    }

    /// A request and its answer.
    ///
    /// # Errors
    /// As both halves.
    pub fn call(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        self.begin(method, path, body)?;
        self.finish()
    }
}

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: Vec<u8>,
    /// Bytes of all of it on the wire.
    end: usize,
}

impl Answer {
    /// `None` if it is not whole yet.
    fn cut(input: &[u8]) -> Result<Option<Self>> {
        let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = std::str::from_utf8(&input[..end])?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.context("a status line")?.parse()?;
        let header = |wanted: &str| {
            let named = |line: &&str| {
                let (name, _) = line.split_once(':').unwrap_or_default();
                name.eq_ignore_ascii_case(wanted)
            };
            let line = head.split("\r\n").find(named)?;
            Some(line.split_once(':')?.1.trim())
        };
        let body_at = end + 4;
        let whole = match (header("content-length"), header("transfer-encoding")) {
            (Some(length), _) => plain_body(input, body_at, length.parse()?),
            (None, Some("chunked")) => chunked_body(input, body_at)?,
            (None, None) if status == 204 => Some((Vec::new(), body_at)),
            _ => bail!("an answer without a length"),
        };
        Ok(whole.map(|(body, end)| Self { status, body, end }))
    }
}

/// A body of known length, and where it ends.
fn plain_body(input: &[u8], at: usize, length: usize) -> Option<(Vec<u8>, usize)> {
    let end = at.checked_add(length)?;
    Some((input.get(at..end)?.to_vec(), end))
}

/// A body in pieces with their lengths in front, and where it ends. Trailers are not understood.
fn chunked_body(input: &[u8], mut at: usize) -> Result<Option<(Vec<u8>, usize)>> {
    let mut body = Vec::new();
    loop {
        let rest = input.get(at..).unwrap_or_default();
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let length = std::str::from_utf8(&rest[..line])?;
        let length = usize::from_str_radix(length.trim(), 16).context("a length of a piece")?;
        let Some(piece) = rest.get(line + 2..line + 2 + length + 2) else {
            return Ok(None);
        };
        body.extend_from_slice(&piece[..length]);
        at += line + 2 + length + 2;
        if length == 0 {
            return Ok(Some((body, at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;

    #[test]
    fn an_answer_is_cut_when_it_is_whole() {
        let text = b"HTTP/1.1 200 OK\r\nX: y\r\ncontent-length: 3\r\n\r\nabcHTTP";
        for length in 0..text.len() - 4 {
            assert_eq!(Answer::cut(&text[..length]).expect("readable"), None);
        }
        let answer = Answer::cut(text).expect("readable").expect("whole");
        assert_eq!((answer.status, &answer.body[..]), (200, &b"abc"[..]));
        assert_eq!(answer.end, text.len() - 4);
    }

    #[test]
    fn an_answer_in_pieces_is_put_together() {
        let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                     3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nHTTP";
        for length in 0..text.len() - 4 {
            assert_eq!(Answer::cut(&text[..length]).expect("readable"), None);
        }
        let answer = Answer::cut(text).expect("readable").expect("whole");
        assert_eq!(&answer.body[..], b"abc0123456789");
        assert_eq!(answer.end, text.len() - 4);
    }

    #[test]
    fn an_answer_of_unknown_length_is_refused() {
        assert!(Answer::cut(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
