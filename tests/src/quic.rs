//! A viewer by QUIC: asynchronous, many in one process, with the tests' own table.
//!
//! It does what `docs/PROTOCOL.md` asks of a viewer and no more: hello, watch, apply, complain
//! when something is missing, ask when it is quiet.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, IdleTimeout, RecvStream, Runtime as _,
    SendStream, TokioRuntime, TransportConfig,
};
use skein_wire::batch::Batch;
use skein_wire::frame::decode_update;
use skein_wire::ids::{Cell, ChatHandle, Cursor, RequestNumber};
use skein_wire::limits::{ALPN, SERVER_FRAME_BYTES_MAX, VERSION};
use skein_wire::request::{CursorReport, Delivery, Hello, Request, Token, Watch};
use skein_wire::splitter::{Splitter, split_first_shared};
use skein_wire::update::{Update, Watching};
use tokio::time::{Instant, sleep_until};

use crate::mute_socket::MuteSocket;
use crate::peer::{encoded, name};
use crate::table::{Applied, Table};

/// A frozen process must not lose its connections by its own clock.
const IDLE_TIMEOUT: Duration = Duration::from_secs(180);

/// Pause between two complaints: far above a round trip on one machine.
const COMPLAINT: Duration = Duration::from_millis(100);

/// Pause between two keep-alives of a quiet viewer.
pub const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Any port of this machine.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Bytes of one server stream: a batch in all its pages.
const STREAM_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An endpoint with a socket of its own.
///
/// # Errors
/// What the socket says.
///
/// # Panics
/// If the TLS configuration is unfit for QUIC: a fault of the build.
pub fn endpoint() -> std::io::Result<Endpoint> {
    endpoint_for(ALPN)
}

/// The same for another protocol than ours.
///
/// # Errors
/// What the socket says.
///
/// # Panics
/// If the TLS configuration is unfit for QUIC: a fault of the build.
pub fn endpoint_for(alpn: &[u8]) -> std::io::Result<Endpoint> {
    let mut endpoint = Endpoint::client(ANYWHERE)?;
    endpoint.set_default_client_config(config_for(alpn));
    Ok(endpoint)
}

fn config_for(alpn: &[u8]) -> ClientConfig {
    let tls = crate::tls::any_certificate(alpn);
    let crypto = QuicClientConfig::try_from(tls).expect("TLS 1.3 is there");
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(IdleTimeout::try_from(IDLE_TIMEOUT).expect("in range")));
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    config
}

/// An endpoint that can fall silent.
fn mutable_endpoint() -> std::io::Result<(Endpoint, Arc<MuteSocket>)> {
    let runtime = Arc::new(TokioRuntime);
    let socket = MuteSocket::new(runtime.wrap_udp_socket(UdpSocket::bind(ANYWHERE)?)?);
    let config = EndpointConfig::default();
    let mut endpoint = Endpoint::new_with_abstract_socket(config, None, socket.clone(), runtime)?;
    endpoint.set_default_client_config(config_for(ALPN));
    Ok((endpoint, socket))
}

/// What a viewer wants, on each of its connections.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where the server, or a way to it, is.
    pub to: SocketAddr,
    /// Who it is.
    pub token: String,
    /// What it watches.
    pub chat: String,
    /// How.
    pub delivery: Delivery,
    /// Pause between two keep-alives while it is quiet; [`KEEP_ALIVE`] is what clients do.
    pub keep_alive: Duration,
}

/// What a viewer takes along from one connection to the next.
#[derive(Debug, Default)]
pub struct Known {
    /// Whose offsets the cursor is made of.
    log: u64,
    /// What it saw.
    pub table: Table,
}

impl Known {
    fn cursor(&self) -> Option<Cursor> {
        (self.table.cursor > 0).then_some(Cursor {
            log: self.log,
            epoch: self.table.epoch,
            offset: self.table.cursor,
        })
    }
}

/// One connection that watches one chat.
pub struct QuicViewer {
    socket: Arc<MuteSocket>,
    keep_alive: Duration,
    /// The cursor with which it came.
    came_with: u64,
    log: u64,
    connection: Connection,
    control: SendStream,
    updates: RecvStream,
    splitter: Splitter,
    watching: Option<Watching>,
    /// Batches that came before the answer to the watch: streams and datagrams overtake it.
    early: Vec<Bytes>,
    complaint_due: Option<Instant>,
    complained: Instant,
    /// What it knows.
    pub table: Table,
    /// Batches that were applied since the count was last taken.
    pub batches: u64,
    /// Full batches that it got although it came with a cursor.
    pub snapshots: u64,
}

/// What woke a viewer.
enum Woken {
    Control(Bytes),
    Datagram(Bytes),
    Stream(RecvStream),
    Due,
}

impl QuicViewer {
    /// Connects, says hello and asks for what is new, from a socket of its own.
    ///
    /// # Errors
    /// Whatever keeps it from getting that far, as text; what it knows stays where it is.
    pub async fn connect(wish: &Wish, known: &mut Known) -> Result<Self, String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let (endpoint, socket) = mutable_endpoint().map_err(|e| text(&e))?;
        let connecting = endpoint.connect(wish.to, "localhost");
        let connection = connecting.map_err(|e| text(&e))?;
        let connection = connection.await.map_err(|e| text(&e))?;
        let (mut control, updates) = connection.open_bi().await.map_err(|e| text(&e))?;
        let hello = Request::Hello(Hello {
            version: VERSION,
            token: Token(wish.token.clone()),
            client: "skein-tests".to_owned(),
        });
        let watch = Request::Watch(Watch {
            request: RequestNumber(1),
            chat: name(&wish.chat),
            session: None,
            view: None,
            cursor: known.cursor(),
            delivery: wish.delivery,
            trail: 0,
            interval_ms: 0,
        });
        let bytes = encoded(&[hello, watch]);
        control.write_all(&bytes).await.map_err(|e| text(&e))?;
        let Known { log, table } = std::mem::take(known);
        Ok(Self {
            socket,
            keep_alive: wish.keep_alive,
            came_with: table.cursor,
            log,
            connection,
            control,
            updates,
            splitter: Splitter::new(SERVER_FRAME_BYTES_MAX),
            watching: None,
            early: Vec::new(),
            complaint_due: None,
            complained: Instant::now(),
            table,
            batches: 0,
            snapshots: 0,
        })
    }

    /// Is gone without a word, and keeps what it knows.
    pub fn vanish(self) -> Known {
        self.socket.mute();
        Known {
            log: self.log,
            table: self.table,
        }
    }

    /// Whether the watch was accepted.
    pub fn is_watching(&self) -> bool {
        self.watching.is_some()
    }

    /// Takes one thing that comes in, or the next thing that is due.
    ///
    /// # Errors
    /// The end of the connection or of the watch, as text.
    pub async fn step(&mut self) -> Result<(), String> {
        let keep_alive = self.complained + self.keep_alive;
        let due = self.complaint_due.unwrap_or(keep_alive);
        let mut piece = [0; 4096];
        let woken = tokio::select! {
            read = self.updates.read(&mut piece) => match read {
                Ok(Some(count)) => Woken::Control(Bytes::copy_from_slice(&piece[..count])),
                Ok(None) => return Err("the control stream ended".to_owned()),
                Err(e) => return Err(e.to_string()),
            },
            datagram = self.connection.read_datagram() => {
                Woken::Datagram(datagram.map_err(|e| e.to_string())?)
            }
            stream = self.connection.accept_uni() => {
                Woken::Stream(stream.map_err(|e| e.to_string())?)
            }
            () = sleep_until(due) => Woken::Due,
        };
        match woken {
            Woken::Control(bytes) => {
                self.splitter.push(&bytes);
                while let Some(frame) = self.splitter.next_frame().map_err(|e| e.to_string())? {
                    self.take(frame)?;
                }
                Ok(())
            }
            Woken::Datagram(bytes) => self.take_all(bytes),
            Woken::Stream(stream) => {
                let bytes = self.read_whole(stream).await?;
                self.take_all(bytes)
            }
            Woken::Due => self.report().await,
        }
    }

    /// Reads a stream to its end, and keeps the connection alive meanwhile: what was lost while this
    /// process was frozen is sent again at once when the server hears from it, and only after a
    /// long back-off when it does not.
    async fn read_whole(&mut self, mut stream: RecvStream) -> Result<Bytes, String> {
        let whole = stream.read_to_end(STREAM_BYTES_MAX);
        tokio::pin!(whole);
        loop {
            tokio::select! {
                bytes = &mut whole => return Ok(bytes.map_err(|e| e.to_string())?.into()),
                () = sleep_until(self.complained + self.keep_alive) => self.report().await?,
            }
        }
    }

    fn take_all(&mut self, mut bytes: Bytes) -> Result<(), String> {
        loop {
            let frame = split_first_shared(&mut bytes, SERVER_FRAME_BYTES_MAX);
            match frame.map_err(|e| e.to_string())? {
                Some(frame) => self.take(frame)?,
                None => return Ok(()),
            }
        }
    }

    fn take(&mut self, frame: Bytes) -> Result<(), String> {
        match decode_update(frame).map_err(|e| e.to_string())? {
            Some(Update::Welcome(welcome)) => {
                self.log = welcome.log;
                Ok(())
            }
            Some(Update::Watching(watching)) => {
                if watching.from != self.came_with {
                    return Err(format!("a cursor was not taken: {watching:?}"));
                }
                // Another one than before where the server has crashed.
                self.table.epoch = watching.epoch;
                self.watching = Some(watching);
                for body in std::mem::take(&mut self.early) {
                    self.apply(&body)?;
                }
                Ok(())
            }
            Some(Update::Batch(body)) if self.watching.is_none() => {
                self.early.push(body);
                Ok(())
            }
            Some(Update::Batch(body)) => self.apply(&body),
            Some(Update::Head(head)) => {
                if head.to > self.table.cursor {
                    self.complain();
                }
                Ok(())
            }
            Some(Update::Refused(refused)) => Err(format!("{}: {}", refused.code, refused.text)),
            Some(Update::Goodbye(goodbye)) => Err(format!("{}: {}", goodbye.code, goodbye.text)),
            Some(Update::WatchEnded(ended)) => Err(ended.code.to_string()),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, body: &Bytes) -> Result<(), String> {
        let batch = Batch::decode(body).map_err(|e| e.to_string())?;
        self.snapshots += u64::from(self.came_with > 0 && batch.header.from == 0);
        match self.table.apply(batch) {
            Applied::Yes => {
                self.batches += 1;
                self.complaint_due = None;
            }
            Applied::Gap => self.complain(),
            Applied::Old | Applied::Page => {}
        }
        Ok(())
    }

    fn complain(&mut self) {
        let earliest = (self.complained + COMPLAINT).max(Instant::now());
        self.complaint_due.get_or_insert(earliest);
    }

    async fn report(&mut self) -> Result<(), String> {
        self.complained = Instant::now();
        // Until a batch heals the gap, the complaint is repeated.
        if self.complaint_due.is_some() {
            self.complaint_due = Some(self.complained + COMPLAINT);
        }
        let mut requests = vec![Request::Ping(self.batches)];
        if let Some(watching) = &self.watching {
            requests.push(Request::Cursor(self.cursor(watching.chat)));
        }
        let sent = self.control.write_all(&encoded(&requests)).await;
        sent.map_err(|e| e.to_string())
    }

    fn cursor(&self, chat: ChatHandle) -> CursorReport {
        CursorReport {
            chat,
            cell: Cell(0),
            epoch: self.table.epoch,
            offset: self.table.cursor,
        }
    }
}
