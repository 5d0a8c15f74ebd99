//! A WebTransport session over a QUIC connection, the client's half of it: the little HTTP/3 of
//! `docs/PROTOCOL.md` by hand, from its RFCs (9114, 9204, 9220, 9297), without the server's library for it.
//!
//! It knows nothing of frames of the protocol: it opens streams, names the session in front of what goes out,
//! takes that off what comes in, and reads how the session ends.

use bytes::Bytes;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt, WriteError};
use skein_wire::varint;

use crate::peer::{CLOSE_BASE, Closed};

/// The protocol of the connection below.
pub const ALPN: &[u8] = b"h3";

/// The session is named by the first bidirectional stream: that of its request.
const SESSION: u64 = 0;

const CONTROL_STREAM: u64 = 0x00;
const SESSION_UNI: u64 = 0x54;
const SESSION_BIDI: u64 = 0x41;

const DATA: u64 = 0x00;
const HEADERS: u64 = 0x01;
const SETTINGS: u64 = 0x04;
const CLOSE_SESSION: u64 = 0x2843;

const SETTING_DATAGRAM: u64 = 0x33;
const SETTING_WEBTRANSPORT: u64 = 0x2b60_3742;

/// `:status 200` is entry 25 of the fixed table, behind the two bytes in front of all fields.
const STATUS_200: [u8; 3] = [0, 0, 0xc0 | 25];

/// Good order, in HTTP/3: the session has said how it ends before.
pub const NO_ERROR: VarInt = VarInt::from_u32(0x100);

/// An open session.
pub struct WebSession {
    /// Streams that live as long as the session: one that is dropped is ended.
    _control: SendStream,
    _request: SendStream,
    answer: RecvStream,
    /// What came on the answer's stream and is not whole.
    partial: Vec<u8>,
    server_control: Option<RecvStream>,
    end: Option<Closed>,
}

impl WebSession {
    /// Opens a session and its control stream.
    ///
    /// # Errors
    /// How the connection ended instead.
    ///
    /// # Panics
    /// If the request is answered with anything but 200.
    pub async fn open(
        connection: &Connection,
        authority: &str,
    ) -> Result<(Self, SendStream, RecvStream), ConnectionError> {
        let mut control = connection.open_uni().await?;
        say(&mut control, &settings()).await?;
        let (mut request, answer) = connection.open_bi().await?;
        say(&mut request, &connect(authority)).await?;
        let mut session = Self {
            _control: control,
            _request: request,
            answer,
            partial: Vec::new(),
            server_control: None,
            end: None,
        };
        let (kind, fields) = session.next_frame(connection).await?;
        assert_eq!(kind, HEADERS, "the answer to a request");
        assert!(fields.starts_with(&STATUS_200), "refused: {fields:?}");
        let (mut send, receive) = connection.open_bi().await?;
        say(&mut send, &head(SESSION_BIDI)).await?;
        Ok((session, send, receive))
    }

    /// The bytes of a unidirectional stream of this session.
    pub fn stream(bytes: &[u8]) -> Vec<u8> {
        [&head(SESSION_UNI), bytes].concat()
    }

    /// The bytes of a datagram of this session.
    pub fn datagram(bytes: &[u8]) -> Vec<u8> {
        let mut whole = number(SESSION / 4);
        whole.extend_from_slice(bytes);
        whole
    }

    /// What a datagram carries for this session.
    ///
    /// # Panics
    /// If it is another session's.
    pub fn of_datagram(bytes: Bytes) -> Bytes {
        without(bytes, &number(SESSION / 4))
    }

    /// What a unidirectional stream of the server carries for this session; nothing where it is HTTP/3's own
    /// control stream, which goes on.
    ///
    /// # Errors
    /// When the stream was reset, or the connection ended.
    ///
    /// # Panics
    /// If it is anybody else's.
    pub async fn of_stream(
        &mut self,
        mut stream: RecvStream,
        len_max: usize,
    ) -> Result<Bytes, quinn::ReadToEndError> {
        let mut first = [0];
        if stream.read_exact(&mut first).await.is_err() {
            return Ok(Bytes::new());
        }
        if first[0] == CONTROL_STREAM as u8 {
            let before = self.server_control.replace(stream);
            assert!(before.is_none(), "a second control stream of HTTP/3");
            return Ok(Bytes::new());
        }
        let rest = stream.read_to_end(len_max).await?;
        let whole = [&first[..], &rest].concat();
        Ok(without(whole.into(), &head(SESSION_UNI)))
    }

    /// Waits until the session is closed.
    ///
    /// # Errors
    /// When the connection ends before it says how.
    pub async fn closed(&mut self, connection: &Connection) -> Result<Closed, ConnectionError> {
        loop {
            if let Some(end) = &self.end {
                return Ok(end.clone());
            }
            let (kind, value) = self.next_frame(connection).await?;
            assert_eq!(kind, DATA, "a frame of an open session");
            let mut rest = value.as_slice();
            while let Some((CLOSE_SESSION, value)) = section(&mut rest) {
                let (code, text) = value.split_first_chunk().expect("a code");
                let code = u16::try_from(u32::from_be_bytes(*code)).unwrap_or(u16::MAX);
                let text = String::from_utf8_lossy(text).into_owned();
                let code = CLOSE_BASE + code;
                self.end = Some(Closed { code, text });
            }
        }
    }

    /// How a connection ended that is lost: as the session said, if it said so.
    ///
    /// # Errors
    /// As it was, when the session said nothing.
    pub async fn of_lost(
        &mut self,
        connection: &Connection,
        lost: ConnectionError,
    ) -> Result<Closed, ConnectionError> {
        match &lost {
            // What had come is still there to be read.
            ConnectionError::ApplicationClosed(close) if close.error_code == NO_ERROR => {
                self.closed(connection).await
            }
            _ => Err(lost),
        }
    }

    /// The next whole frame on the stream of the request.
    async fn next_frame(
        &mut self,
        connection: &Connection,
    ) -> Result<(u64, Vec<u8>), ConnectionError> {
        loop {
            let mut rest = self.partial.as_slice();
            if let Some((kind, value)) = section(&mut rest) {
                let value = value.to_vec();
                self.partial.drain(..self.partial.len() - rest.len());
                return Ok((kind, value));
            }
            let mut piece = [0; 1024];
            match self.answer.read(&mut piece).await {
                Ok(Some(count)) => self.partial.extend_from_slice(&piece[..count]),
                Ok(None) | Err(_) => return Err(connection.closed().await),
            }
        }
    }
}

async fn say(stream: &mut SendStream, bytes: &[u8]) -> Result<(), ConnectionError> {
    stream.write_all(bytes).await.map_err(|error| match error {
        WriteError::ConnectionLost(lost) => lost,
        other => panic!("a stream of HTTP/3: {other}"),
    })
}

fn settings() -> Vec<u8> {
    let pairs = [SETTING_DATAGRAM, 1, SETTING_WEBTRANSPORT, 1];
    let mut bytes = number(CONTROL_STREAM);
    put(&mut bytes, SETTINGS, &pairs.map(number).concat());
    bytes
}

/// The request, its fields as literals without a table (RFC 9204, section 4.5.6).
fn connect(authority: &str) -> Vec<u8> {
    let mut fields = vec![0, 0];
    for (name, value) in [
        (":method", "CONNECT"),
        (":protocol", "webtransport"),
        (":scheme", "https"),
        (":authority", authority),
        (":path", "/v1/wt"),
    ] {
        // Three bits hold the length of a name that is shorter than 7.
        match name.len() {
            short @ ..7 => fields.push(0x20 | short as u8),
            long => fields.extend([0x27, (long - 7) as u8]),
        }
        fields.extend_from_slice(name.as_bytes());
        assert!(value.len() < 127, "the length is one byte");
        fields.push(value.len() as u8);
        fields.extend_from_slice(value.as_bytes());
    }
    let mut frame = Vec::new();
    put(&mut frame, HEADERS, &fields);
    frame
}

fn head(kind: u64) -> Vec<u8> {
    [number(kind), number(SESSION)].concat()
}

fn number(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::put(&mut bytes, value);
    bytes
}

fn put(bytes: &mut Vec<u8>, kind: u64, value: &[u8]) {
    varint::put(bytes, kind);
    varint::put(bytes, value.len() as u64);
    bytes.extend_from_slice(value);
}

/// A whole (kind, length, value) at the front; `rest` is what follows it.
fn section<'a>(rest: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let mut at = *rest;
    let kind = varint::get(&mut at).ok()?;
    let len = usize::try_from(varint::get(&mut at).ok()?).ok()?;
    let (value, behind) = at.split_at_checked(len)?;
    *rest = behind;
    Some((kind, value))
}

fn without(bytes: Bytes, front: &[u8]) -> Bytes {
    assert!(bytes.starts_with(front), "not of this session: {bytes:?}");
    bytes.slice(front.len()..)
}
