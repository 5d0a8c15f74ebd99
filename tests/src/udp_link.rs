//! A way between a client and a server over UDP that can be cut for a while.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Longest datagram that passes.
const DATAGRAM_BYTES: usize = 65_536;

/// How long a thread waits for a datagram before it looks whether the test is over.
const LOOK: Duration = Duration::from_millis(100);

/// A running way. It ends with its value.
pub struct UdpLink {
    /// Where clients send to.
    pub address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
}

impl UdpLink {
    /// Begins to pass on what comes.
    ///
    /// # Panics
    /// If there is no port.
    pub fn start(server: SocketAddr) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").expect("a port"));
        front.set_read_timeout(Some(LOOK)).expect("an option");
        let address = front.local_addr().expect("a bound port");
        let (is_cut, is_over) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (cut, over) = (is_cut.clone(), is_over.clone());
        thread::spawn(move || pass_on(&front, server, &cut, &over));
        Self {
            address,
            is_cut,
            is_over,
        }
    }

    /// Lets nothing through, or everything.
    pub fn cut(&self, cut: bool) {
        self.is_cut.store(cut, Ordering::SeqCst);
    }
}

impl Drop for UdpLink {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

fn pass_on(
    front: &Arc<UdpSocket>,
    server: SocketAddr,
    cut: &Arc<AtomicBool>,
    over: &Arc<AtomicBool>,
) {
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut bytes = vec![0; DATAGRAM_BYTES];
    while !over.load(Ordering::SeqCst) {
        let Ok((len, client)) = front.recv_from(&mut bytes) else {
            continue;
        };
        if cut.load(Ordering::SeqCst) {
            continue;
        }
        let back = clients.entry(client).or_insert_with(|| {
            let back = Arc::new(UdpSocket::bind("127.0.0.1:0").expect("a port"));
            back.connect(server).expect("an address");
            back.set_read_timeout(Some(LOOK)).expect("an option");
            let (front, from) = (front.clone(), back.clone());
            let (cut, over) = (cut.clone(), over.clone());
            thread::spawn(move || pass_back(&front, &from, client, &cut, &over));
            back
        });
        // A server that is down takes nothing.
        let _ = back.send(&bytes[..len]);
    }
}

fn pass_back(
    front: &UdpSocket,
    from: &UdpSocket,
    client: SocketAddr,
    cut: &AtomicBool,
    over: &AtomicBool,
) {
    let mut bytes = vec![0; DATAGRAM_BYTES];
    while !over.load(Ordering::SeqCst) {
        let Ok(len) = from.recv(&mut bytes) else {
            // An error of a server that is down comes at once, again and again.
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        if !cut.load(Ordering::SeqCst) {
            let _ = front.send_to(&bytes[..len], client);
        }
    }
}
