//! A way between clients and a server over UDP that can be cut for a while, lose what it carries and be long.
//!
//! One thread, whatever the number of clients. What is lost follows from a seed and the order in which
//! datagrams come. None overtakes another.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;
use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::sim::random::Random;

/// Longest datagram that passes, bytes: what an Ethernet carries, and some more.
const DATAGRAM_BYTES: usize = 2_048;

/// Bytes that the end towards the clients asks the kernel to keep: all of them answer at the same moment.
const FRONT_BYTES: usize = 4 * 1024 * 1024;

/// Datagrams under way in one direction. More are lost, as in any network.
const UNDER_WAY_MAX: usize = 65_536;

/// What a way does to what it carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Nothing passes.
    pub is_cut: bool,
    /// Datagrams lost of a hundred, in each direction.
    pub loss_percent: u64,
    /// How long each is under way, in each direction.
    pub delay: Duration,
}

/// A running way. It ends with its value.
pub struct UdpLink {
    /// Where clients send to.
    pub address: SocketAddr,
    weather: Arc<Mutex<Weather>>,
    /// Dropped at the end.
    over: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl UdpLink {
    /// Begins to pass on what comes, at once and all of it.
    ///
    /// # Panics
    /// If there is no port.
    pub fn start(server: SocketAddr) -> Self {
        Self::start_in(server, Weather::default(), 0)
    }

    /// The same in some weather, with losses by `seed`.
    ///
    /// # Panics
    /// If there is no port.
    pub fn start_in(server: SocketAddr, weather: Weather, seed: u64) -> Self {
        let front = front().expect("a port");
        let address = front.local_addr().expect("a bound port");
        let weather = Arc::new(Mutex::new(weather));
        let (over, end) = oneshot::channel();
        let of_thread = Arc::clone(&weather);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default())
                .expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = pass_on(front, server, of_thread, seed) => {}
                    _ = end => {}
                }
            });
        });
        Self {
            address,
            weather,
            over: Some(over),
            thread: Some(thread),
        }
    }

    /// Lets nothing through, or what the weather lets through.
    pub fn cut(&self, cut: bool) {
        lock(&self.weather).is_cut = cut;
    }

    /// Changes the weather.
    pub fn set(&self, weather: Weather) {
        *lock(&self.weather) = weather;
    }
}

impl Drop for UdpLink {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            // What it says is printed already.
            let _ = thread.join();
        }
    }
}

fn lock(weather: &Mutex<Weather>) -> std::sync::MutexGuard<'_, Weather> {
    weather.lock().unwrap_or_else(PoisonError::into_inner)
}

fn front() -> std::io::Result<StdSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // A wish: the kernel clamps it.
    let _ = socket.set_recv_buffer_size(FRONT_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    Ok(socket.into())
}

/// From the clients to the server; each client has a socket there.
async fn pass_on(front: StdSocket, server: SocketAddr, weather: Arc<Mutex<Weather>>, seed: u64) {
    let front = Rc::new(UdpSocket::from_std(front).expect("a socket"));
    let up = Direction::start(Arc::clone(&weather), seed);
    let down = Rc::new(Direction::start(weather, seed.wrapping_add(1)));
    let mut clients: HashMap<SocketAddr, Rc<UdpSocket>> = HashMap::new();
    let mut bytes = [0; DATAGRAM_BYTES];
    loop {
        let Ok((len, client)) = front.recv_from(&mut bytes).await else {
            continue;
        };
        let back = match clients.get(&client) {
            Some(back) => Rc::clone(back),
            None => {
                let back = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
                back.connect(server).await.expect("an address");
                let back = Rc::new(back);
                clients.insert(client, Rc::clone(&back));
                let way = (Rc::clone(&back), Rc::clone(&front), Rc::clone(&down));
                tokio::task::spawn_local(pass_back(way, client));
                back
            }
        };
        up.carry(&bytes[..len], back, None);
    }
}

/// From the server to one client.
async fn pass_back(
    (back, front, down): (Rc<UdpSocket>, Rc<UdpSocket>, Rc<Direction>),
    client: SocketAddr,
) {
    let mut bytes = [0; DATAGRAM_BYTES];
    loop {
        // A server that is down says so once for each datagram.
        if let Ok(len) = back.recv(&mut bytes).await {
            down.carry(&bytes[..len], Rc::clone(&front), Some(client));
        }
    }
}

/// A datagram under way.
struct Carried {
    due: Instant,
    bytes: Vec<u8>,
    by: Rc<UdpSocket>,
    /// `None` where the socket is connected.
    to: Option<SocketAddr>,
}

/// One direction of the way.
struct Direction {
    weather: Arc<Mutex<Weather>>,
    random: std::cell::RefCell<Random>,
    line: mpsc::Sender<Carried>,
}

impl Direction {
    fn start(weather: Arc<Mutex<Weather>>, seed: u64) -> Self {
        let (line, arriving) = mpsc::channel(UNDER_WAY_MAX);
        tokio::task::spawn_local(arrive(arriving));
        Self {
            weather,
            random: Random::new(seed).into(),
            line,
        }
    }

    fn carry(&self, bytes: &[u8], by: Rc<UdpSocket>, to: Option<SocketAddr>) {
        let weather = *lock(&self.weather);
        let is_lost = self.random.borrow_mut().percent(weather.loss_percent);
        if is_lost || weather.is_cut {
            return;
        }
        let carried = Carried {
            due: Instant::now() + weather.delay,
            bytes: bytes.to_vec(),
            by,
            to,
        };
        // More than fits is lost.
        let _ = self.line.try_send(carried);
    }
}

async fn arrive(mut arriving: mpsc::Receiver<Carried>) {
    while let Some(carried) = arriving.recv().await {
        sleep_until(carried.due).await;
        // Who is down takes nothing.
        let _ = match carried.to {
            Some(to) => carried.by.send_to(&carried.bytes, to).await,
            None => carried.by.send(&carried.bytes).await,
        };
    }
}
