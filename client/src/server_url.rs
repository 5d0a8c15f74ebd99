//! Where the server is, and by which transport: `quic://…`, `ws://…` or `wss://…`.

use std::fmt;
use std::str::FromStr;

use crate::error::ClientError;

/// A transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// QUIC, always encrypted.
    Quic,
    /// WebSocket without encryption: loopback, or behind a proxy.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

/// Address of a server.
///
/// ```
/// use skein_client::server_url::{Scheme, ServerUrl};
/// let url: ServerUrl = "quic://[::1]:4433".parse().unwrap();
/// assert_eq!((url.scheme, url.host.as_str(), url.port), (Scheme::Quic, "::1", 4433));
/// let url: ServerUrl = "wss://skein.example".parse().unwrap();
/// assert_eq!((url.port, url.path.as_str()), (443, "/v1/ws"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// How.
    pub scheme: Scheme,
    /// Name or address, without brackets.
    pub host: String,
    /// Port; 4433, 80 or 443 where none is given.
    pub port: u16,
    /// Path of the WebSocket, `/v1/ws` where none is given. Not used by QUIC.
    pub path: String,
}

/// Path of the WebSocket.
const PATH: &str = "/v1/ws";

impl FromStr for ServerUrl {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| bad(text, "it has no scheme"))?;
        let (scheme, port_usual) = match scheme {
            "quic" => (Scheme::Quic, 4433),
            "ws" => (Scheme::Ws, 80),
            "wss" => (Scheme::Wss, 443),
            "http" => return Err(bad(text, "the WebSocket of an http:// server is ws://")),
            "https" => return Err(bad(text, "the WebSocket of an https:// server is wss://")),
            _ => return Err(bad(text, "its scheme is not known")),
        };
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, format!("/{path}")),
            None => (rest, String::new()),
        };
        let (host, port) = split_port(authority).ok_or_else(|| bad(text, "its port is wrong"))?;
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "@/?#[]".contains(c)) {
            return Err(bad(text, "its host is wrong"));
        }
        if path.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
            return Err(bad(text, "its path is wrong"));
        }
        if scheme == Scheme::Quic && path.len() > 1 {
            return Err(bad(text, "a quic:// address has no path"));
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port: port.unwrap_or(port_usual),
            path: if path.len() > 1 {
                path
            } else {
                PATH.to_owned()
            },
        })
    }
}

impl ServerUrl {
    /// `host:port`, with brackets where they belong.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether the transport is encrypted and needs to know whom to trust.
    pub fn is_encrypted(&self) -> bool {
        self.scheme != Scheme::Ws
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path) = match self.scheme {
            Scheme::Quic => ("quic", ""),
            Scheme::Ws => ("ws", self.path.as_str()),
            Scheme::Wss => ("wss", self.path.as_str()),
        };
        write!(f, "{scheme}://{}{path}", self.authority())
    }
}

/// Host and port of `host`, `host:port`, `[v6]` or `[v6]:port`.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            match after {
                "" => (host, None),
                after => (host, Some(after.strip_prefix(':')?)),
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    match port {
        None => Some((host, None)),
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            let port = port.parse().ok().filter(|port| *port != 0)?;
            Some((host, Some(port)))
        }
        Some(_) => None,
    }
}

fn bad(text: &str, why: &str) -> ClientError {
    ClientError::Url(format!(
        "`{text}` is not the address of a server ({why}); write quic://HOST:PORT, ws://HOST:PORT or wss://HOST:PORT"
    ))
}

#[cfg(test)]
mod tests {
    use crate::server_url::ServerUrl;

    #[test]
    fn addresses_are_read_with_their_usual_ports() {
        for (text, shown) in [
            ("quic://127.0.0.1:4433", "quic://127.0.0.1:4433"),
            ("quic://localhost", "quic://localhost:4433"),
            ("quic://localhost/", "quic://localhost:4433"),
            ("ws://127.0.0.1:8080", "ws://127.0.0.1:8080/v1/ws"),
            ("ws://127.0.0.1:8080/", "ws://127.0.0.1:8080/v1/ws"),
            (
                "wss://a.example/geo/ws?x=1",
                "wss://a.example:443/geo/ws?x=1",
            ),
            ("wss://[2001:db8::1]", "wss://[2001:db8::1]:443/v1/ws"),
            ("quic://[::1]:9", "quic://[::1]:9"),
        ] {
            let url: ServerUrl = text.parse().expect(text);
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse::<ServerUrl>().expect(shown), url, "{shown}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_hint() {
        for text in [
            "",
            "localhost:4433",
            "http://a",
            "https://a:1",
            "ftp://a",
            "quic://",
            "quic://:1",
            "quic://a:0",
            "quic://a:65536",
            "quic://a:+1",
            "quic://a:b",
            "quic://a/path",
            "ws://user@a",
            "ws://a b",
            "quic://[::1",
            "quic://[::1]4433",
            "quic://[a]:1",
            "ws://a/b c",
            "quic://::1",
        ] {
            let error = text.parse::<ServerUrl>().expect_err(text).to_string();
            assert!(error.contains("quic://HOST:PORT"), "{error}");
        }
    }
}
