//! Floor of publishing over TCP: one thread, one epoll, what one socket brings is sent to all
//! others with one `send` each, in order. No protocol, no log, no sessions, no slow viewers.
//!
//! Expected, on a virtual machine with two cores of an AMD EPYC (Zen 4), Linux 6.18, loopback: the
//! first viewer after 10 to 80 us, the last of 100 after 0.25 to 1.2 ms, the last of 1,000 after
//! 2.5 to 12 ms, the last of 10,000 after 30 to 150 ms.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// Where the first viewer's time lies on the machine above, microseconds.
pub const FIRST_EXPECTED: Range<f64> = 10.0..80.0;

/// Where the time of each viewer lies on the machine above when there are many, microseconds.
pub const EACH_EXPECTED: Range<f64> = 2.5..12.0;

/// Bytes taken from the publisher at a time.
const READ_BYTES: usize = 64 * 1024;

/// Serves until the publisher leaves: the first connection publishes, so many others view. Says
/// its port on stdout.
///
/// # Panics
/// If the kernel refuses something.
pub fn serve(viewers: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("bound").port());
    let accept = || {
        let (socket, _) = listener.accept().expect("a connection");
        socket.set_nodelay(true).expect("an option");
        socket
    };
    let mut publisher = accept();
    let mut viewers: Vec<TcpStream> = (0..viewers).map(|_| accept()).collect();
    let epoll = epoll::create(CreateFlags::CLOEXEC).expect("an epoll");
    let all = [&publisher].into_iter().chain(&viewers).enumerate();
    for (index, socket) in all {
        let data = EventData::new_u64(index as u64);
        epoll::add(&epoll, socket, data, EventFlags::IN).expect("added");
    }
    let mut events: Vec<Event> = Vec::with_capacity(256);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        events.clear();
        // Interrupted waits are tried again.
        let _ = epoll::wait(&epoll, spare_capacity(&mut events), None);
        if !events.iter().any(|event| event.data.u64() == 0) {
            continue;
        }
        let count = publisher.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            return;
        }
        for viewer in &mut viewers {
            viewer
                .write_all(&buffer[..count])
                .expect("a viewer that reads");
        }
    }
}
