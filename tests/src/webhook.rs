//! A receiver of webhooks: a small HTTP server that keeps what it is sent and answers as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// Longest wait for a byte of a request.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Post {
    /// Names in small letters.
    pub headers: BTreeMap<String, String>,
    /// What was in it.
    pub body: String,
    /// How it was answered.
    pub status: u16,
}

impl Post {
    /// A header; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The events in it.
    ///
    /// # Panics
    /// If the body is not as the documents say.
    pub fn events(&self) -> Vec<Value> {
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        body["events"].as_array().expect("a list").clone()
    }
}

/// The receiver. Its thread ends with the test's process.
pub struct Receiver {
    address: SocketAddr,
    is_tls: bool,
    posts: Arc<Mutex<Vec<Post>>>,
    status: Arc<AtomicU16>,
}

impl Receiver {
    /// One that answers 200, over plain HTTP.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// The same over TLS where there is a configuration.
    ///
    /// # Panics
    /// If it gets no port.
    pub fn start_with(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let receiver = Self {
            address: listener.local_addr().expect("an address"),
            is_tls: tls.is_some(),
            posts: Arc::default(),
            status: Arc::new(AtomicU16::new(200)),
        };
        let (posts, status) = (receiver.posts.clone(), receiver.status.clone());
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let _ = socket.set_read_timeout(Some(READ_TIMEOUT));
                // One after the other, as they must come.
                match &tls {
                    None => serve(socket, &posts, &status),
                    Some(config) => {
                        let connection = ServerConnection::new(config.clone());
                        let connection = connection.expect("a sound configuration");
                        serve(StreamOwned::new(connection, socket), &posts, &status);
                    }
                }
            }
        });
        receiver
    }

    /// Its address.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}/hook?key=of-this-test", self.address)
    }

    /// From now on answers are this one; 0 = it hangs up without an answer.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// All that came.
    pub fn posts(&self) -> Vec<Post> {
        self.posts.lock().expect("no panic inside").clone()
    }

    /// The events of the requests that were answered with success, in the order in which they came.
    pub fn events(&self) -> Vec<Value> {
        let posts = self.posts();
        let taken = posts.iter().filter(|post| post.status == 200);
        taken.flat_map(Post::events).collect()
    }
}

fn serve<S: Read + Write>(stream: S, posts: &Mutex<Vec<Post>>, status: &AtomicU16) {
    let mut stream = BufReader::new(stream);
    let Some((headers, body)) = request(&mut stream) else {
        return;
    };
    let status = status.load(Ordering::SeqCst);
    let post = Post {
        headers,
        body,
        status,
    };
    posts.lock().expect("no panic inside").push(post);
    if status > 0 {
        let answer =
            format!("HTTP/1.1 {status} so\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        let stream = stream.get_mut();
        let _ = stream
            .write_all(answer.as_bytes())
            .and_then(|()| stream.flush());
    }
}

fn request(stream: &mut impl BufRead) -> Option<(BTreeMap<String, String>, String)> {
    let mut line = String::new();
    // A server that stops may have connected and said nothing.
    if stream.read_line(&mut line).ok()? == 0 {
        return None;
    }
    assert!(line.starts_with("POST /hook?key=of-this-test "), "{line}");
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((headers, String::from_utf8(body).ok()?))
}

/// Answers by TLS with a certificate and a key in PEM.
///
/// # Panics
/// If they do not fit.
pub fn tls(certificate: &[u8], key: &[u8]) -> Arc<ServerConfig> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = CertificateDer::pem_slice_iter(certificate);
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_slice(key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.expect("a certificate and its key"))
}
