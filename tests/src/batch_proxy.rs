//! Between clients and a server: passes everything on, but for one thing that it does wrong.
//!
//! It does it to one connection that gets batches, so that whoever claims to check what viewers
//! get can be checked.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use skein_wire::kind::Kind;
use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
use skein_wire::splitter::split_first;

/// Batches of the connection that pass before the fault.
const BATCHES_BEFORE: usize = 10;

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// One message with a batch does not arrive.
    OneLost,
    /// No message with a batch arrives any more.
    AllLost,
    /// One message with a batch arrives twice.
    OneDoubled,
    /// Two messages with batches change places.
    OneSwapped,
}

/// A running proxy. It runs until the test ends.
pub struct BatchProxy {
    /// Where it listens.
    pub address: SocketAddr,
}

impl BatchProxy {
    /// Starts one in front of a server's plain WebSocket listener.
    ///
    /// # Panics
    /// If there is no port.
    pub fn start(server: SocketAddr, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("a bound port");
        let taken = Arc::new(AtomicBool::new(fault == Fault::None));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(server) else {
                    return;
                };
                join(client, upstream, fault, &taken);
            }
        });
        Self { address }
    }
}

fn join(client: TcpStream, upstream: TcpStream, fault: Fault, taken: &Arc<AtomicBool>) {
    for socket in [&client, &upstream] {
        socket.set_nodelay(true).expect("an option");
    }
    let mut up = (
        client.try_clone().expect("a handle"),
        upstream.try_clone().expect("a handle"),
    );
    thread::spawn(move || {
        // Ends with either side.
        let _ = std::io::copy(&mut up.0, &mut up.1);
        let _ = up.1.shutdown(Shutdown::Both);
    });
    let taken = Arc::clone(taken);
    thread::spawn(move || {
        let down = Down {
            from: upstream,
            to: client,
            fault,
            taken,
            is_own: false,
            batches: 0,
            held: None,
        };
        down.run();
    });
}

/// One connection's way to the client.
struct Down {
    from: TcpStream,
    to: TcpStream,
    fault: Fault,
    taken: Arc<AtomicBool>,
    /// The fault is this connection's.
    is_own: bool,
    batches: usize,
    held: Option<Vec<u8>>,
}

impl Down {
    fn run(mut self) {
        let mut pending = Vec::new();
        let mut buffer = [0; 16 * 1024];
        let mut is_upgraded = false;
        while let Ok(count @ 1..) = self.from.read(&mut buffer) {
            pending.extend_from_slice(&buffer[..count]);
            if !is_upgraded {
                let end = pending.windows(4).position(|four| four == b"\r\n\r\n");
                let Some(end) = end else { continue };
                is_upgraded = true;
                let head: Vec<u8> = pending.drain(..end + 4).collect();
                if self.to.write_all(&head).is_err() {
                    break;
                }
            }
            while let Some(length) = message_length(&pending) {
                let message: Vec<u8> = pending.drain(..length).collect();
                if self.pass(message).is_err() {
                    break;
                }
            }
        }
        let _ = self.to.shutdown(Shutdown::Both);
    }

    fn pass(&mut self, message: Vec<u8>) -> std::io::Result<()> {
        if !has_batch(&message) {
            return self.to.write_all(&message);
        }
        self.batches += 1;
        if self.batches == BATCHES_BEFORE {
            self.is_own = !self.taken.swap(true, Ordering::Relaxed);
        }
        if !self.is_own || self.batches < BATCHES_BEFORE {
            return self.to.write_all(&message);
        }
        let is_first = self.batches == BATCHES_BEFORE;
        match self.fault {
            Fault::OneLost if is_first => Ok(()),
            Fault::AllLost => Ok(()),
            Fault::OneDoubled if is_first => {
                self.to.write_all(&message)?;
                self.to.write_all(&message)
            }
            Fault::OneSwapped if is_first => {
                self.held = Some(message);
                Ok(())
            }
            _ => {
                self.to.write_all(&message)?;
                match self.held.take() {
                    Some(held) => self.to.write_all(&held),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Bytes of the first WebSocket message with its head, if it is whole. Servers do not mask.
fn message_length(pending: &[u8]) -> Option<usize> {
    let (head, length) = head(pending)?;
    (pending.len() >= head + length).then_some(head + length)
}

fn head(message: &[u8]) -> Option<(usize, usize)> {
    Some(match *message.get(1)? {
        126 => {
            let length: [u8; 2] = message.get(2..4)?.try_into().ok()?;
            (4, usize::from(u16::from_be_bytes(length)))
        }
        127 => {
            let length: [u8; 8] = message.get(2..10)?.try_into().ok()?;
            (10, u64::from_be_bytes(length) as usize)
        }
        short => (2, usize::from(short)),
    })
}

fn has_batch(message: &[u8]) -> bool {
    let Some((head, _)) = head(message) else {
        return false;
    };
    let mut frames = &message[head..];
    while let Ok(Some(frame)) = split_first(&mut frames, SERVER_FRAME_BYTES_MAX) {
        if frame.first() == Some(&(Kind::Batch as u8)) {
            return true;
        }
    }
    false
}
