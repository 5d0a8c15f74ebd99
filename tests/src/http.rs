//! A tiny blocking HTTP/1.1 client, for the control and public APIs: one request a connection, or one
//! after the other on a [`Line`].

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longest wait for a byte of the answer.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A request that is still to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

impl Response {
    /// The body as JSON; `Null` when it is not.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// # Panics
    /// If the status is not 2xx.
    pub fn expect_success(self, what: &str) -> Self {
        assert!((200..300).contains(&self.status), "{what}: {self:?}");
        self
    }
}

impl Request {
    /// A request of this method, without a body.
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a bearer token.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.text(&body.to_string())
    }

    /// With any text that claims to be JSON.
    #[must_use]
    pub fn text(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self.header("content-type", "application/json")
    }

    /// Sends it and reads the answer.
    ///
    /// # Errors
    /// What the socket says, or that the answer is not HTTP.
    pub fn try_send(&self, to: SocketAddr) -> std::io::Result<Response> {
        let mut socket = TcpStream::connect(to)?;
        socket.set_read_timeout(Some(READ_TIMEOUT))?;
        socket.write_all(self.bytes(to, "close").as_bytes())?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer)?;
        parse(&answer).ok_or_else(|| {
            let shown = String::from_utf8_lossy(&answer).into_owned();
            std::io::Error::other(format!("not an HTTP answer: {shown:?}"))
        })
    }

    /// Sends it and reads the answer.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn send(&self, to: SocketAddr) -> Response {
        self.try_send(to)
            .unwrap_or_else(|e| panic!("{} {} to {to}: {e}", self.method, self.path))
    }

    fn bytes(&self, to: SocketAddr, connection: &str) -> String {
        let body = self.body.as_deref().unwrap_or("");
        let mut text = format!(
            "{} {} HTTP/1.1\r\nhost: {to}\r\nconnection: {connection}\r\ncontent-length: {}\r\n",
            self.method,
            self.path,
            body.len()
        );
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text + "\r\n" + body
    }
}

/// A connection that takes one request after the other.
pub struct Line {
    socket: TcpStream,
    to: SocketAddr,
}

impl Line {
    /// Opens it.
    ///
    /// # Errors
    /// What the socket says.
    pub fn open(to: SocketAddr) -> std::io::Result<Self> {
        let socket = TcpStream::connect(to)?;
        socket.set_read_timeout(Some(READ_TIMEOUT))?;
        Ok(Self { socket, to })
    }

    /// Sends a request and reads the answer, which must say its length.
    ///
    /// # Errors
    /// What the socket says, or that there is no whole answer.
    pub fn send(&mut self, request: &Request) -> std::io::Result<Response> {
        let bytes = request.bytes(self.to, "keep-alive");
        self.socket.write_all(bytes.as_bytes())?;
        let mut answer = Vec::new();
        while !is_whole(&answer) {
            let mut piece = [0; 4096];
            match self.socket.read(&mut piece)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => answer.extend_from_slice(&piece[..count]),
            }
        }
        parse(&answer).ok_or_else(|| std::io::Error::other("not an HTTP answer"))
    }
}

/// Whether head and body are there.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|w| w == b"\r\n\r\n") else {
        return false;
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse::<usize>().ok());
    answer.len() >= head + 4 + length.unwrap_or(0)
}

fn parse(answer: &[u8]) -> Option<Response> {
    let head_end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..head_end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = &answer[head_end + 4..];
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked {
        unchunk(body)?
    } else {
        body.to_vec()
    };
    Some(Response {
        status,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line_end = body.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&body[..line_end]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        body = &body[line_end + 2..];
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(..size)?);
        body = body.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use crate::http::parse;

    #[test]
    fn answers_of_both_kinds_are_read() {
        let plain = parse(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno").unwrap();
        assert_eq!((plain.status, plain.body.as_str()), (404, "no"));
        let chunked =
            parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n");
        assert_eq!(chunked.unwrap().body, "abcd");
        assert!(parse(b"nonsense").is_none());
    }
}
