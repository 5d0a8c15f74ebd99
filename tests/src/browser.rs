//! A headless Chromium and the pages that it opens: a client that shares no line with the server.
//!
//! A page lies in `tests/browser`, is served from a port of its own, and tells what it sees by
//! posting lines to where it came from.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::binary;
use crate::process::Process;
use crate::skip;

/// Names under which systems have it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Longest wait for a byte of a request of the browser.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Lines that a failed test shows of what its pages told.
const LINES_SHOWN: usize = 20;

/// Finds the browser, or says that `what` is skipped.
pub fn find(what: &str) -> Option<PathBuf> {
    if let Some(path) = env::var_os("SKEIN_CHROMIUM") {
        return Some(PathBuf::from(path));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path);
    let found = places
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .find(|place| place.is_file());
    if found.is_none() {
        skip::say(
            what,
            "there is no Chromium; install it, or name it in SKEIN_CHROMIUM",
        );
    }
    found
}

/// Pages of one origin, and what they tell.
pub struct Pages {
    address: SocketAddr,
    told: Arc<Mutex<Vec<Value>>>,
}

impl Pages {
    /// Serves them. The thread ends with the test's process.
    ///
    /// # Panics
    /// If it gets no port.
    pub fn serve() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let pages = Self {
            address: listener.local_addr().expect("an address"),
            told: Arc::default(),
        };
        let told = Arc::clone(&pages.told);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let told = Arc::clone(&told);
                // A browser opens connections ahead of what it asks.
                thread::spawn(move || serve(socket, &told));
            }
        });
        pages
    }

    /// What a server has to list for these pages.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that they have told so far.
    pub fn told(&self) -> Vec<Value> {
        self.told.lock().expect("no panic inside").clone()
    }

    /// The same of one kind.
    pub fn told_of(&self, kind: &str) -> Vec<Value> {
        let told = self.told();
        told.into_iter()
            .filter(|line| line["type"] == kind)
            .collect()
    }

    fn address_of(&self, asked: &[(&str, &str)]) -> String {
        let asked: Vec<_> = asked
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        format!("{}/page.html?{}", self.origin(), asked.join("&"))
    }
}

/// A failed test shows what its pages told, but for points.
impl Drop for Pages {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        let told = self.told();
        eprintln!(
            "---- pages of {}: {} lines; first of them, without points:",
            self.origin(),
            told.len()
        );
        for line in told
            .iter()
            .filter(|line| line["type"] != "point")
            .take(LINES_SHOWN)
        {
            eprintln!("{line}");
        }
    }
}

/// A running browser with one page. Dies with its value.
pub struct Browser {
    /// The process.
    pub process: Process,
    _profile: TempDir,
}

impl Browser {
    /// Opens a page, which is asked to do what the pairs say.
    ///
    /// # Panics
    /// If it does not start.
    pub fn open(program: &PathBuf, pages: &Pages, asked: &[(&str, &str)]) -> Self {
        let profile = tempfile::Builder::new()
            .prefix("skein-browser-")
            .tempdir()
            .expect("a temporary directory");
        let mut command = Command::new(program);
        command.args([
            "--headless=new",
            // Tests run as root in containers, where its sandbox does not start.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-background-timer-throttling",
            "--no-first-run",
            // It stays until it is told to go.
            "--remote-debugging-port=0",
        ]);
        let mut folder = std::ffi::OsString::from("--user-data-dir=");
        folder.push(profile.path());
        command.arg(folder).arg(pages.address_of(asked));
        Self {
            process: Process::start("chromium", command),
            _profile: profile,
        }
    }
}

fn serve(socket: TcpStream, told: &Mutex<Vec<Value>>) {
    let _ = socket.set_read_timeout(Some(READ_TIMEOUT));
    let mut stream = BufReader::new(socket);
    // A browser that goes leaves requests half written.
    while let Ok(Some((path, body))) = request(&mut stream) {
        let (status, kind, content) = match path.as_str() {
            "/say" => {
                let lines = body.lines();
                let read = lines.map(|line| serde_json::from_str(line).expect("a JSON line"));
                told.lock().expect("no panic inside").extend(read);
                (200, "text/plain", Vec::new())
            }
            path => page(path),
        };
        let head = format!(
            "HTTP/1.1 {status} so\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            content.len()
        );
        let socket = stream.get_mut();
        if socket
            .write_all(&[head.as_bytes(), &content].concat())
            .is_err()
        {
            return;
        }
    }
}

fn page(path: &str) -> (u16, &'static str, Vec<u8>) {
    let name = path.trim_start_matches('/');
    let kind = match name.rsplit('.').next() {
        Some("js") => "text/javascript",
        _ => "text/html",
    };
    let is_name = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._".contains(c));
    let read = is_name.then(|| fs::read(binary::root().join("tests/browser").join(name)));
    match read {
        Some(Ok(content)) => (200, kind, content),
        _ => (404, "text/plain", Vec::new()),
    }
}

/// The path, without its query, and the body.
fn request(stream: &mut impl BufRead) -> io::Result<Option<(String, String)>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length");
    let length: usize = length.and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some((path, String::from_utf8_lossy(&body).into_owned())))
}
