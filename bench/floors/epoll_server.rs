//! Floor of publishing over TCP: one thread, one epoll, what one socket brings is sent to all
//! others with one `send` each, in order. No protocol, no log, no sessions, no slow viewers.
//!
//! Expected, on a virtual machine with two cores of an AMD EPYC (Zen 4 or 5), Linux 6.18, loopback, the
//! core asleep before each publication: the first viewer after 80 to 200 us (median), the last of
//! 100 after 0.55 to 1.1 ms, the last of 1,000 after 5 to 10 ms; 120,000 to 240,000 deliveries per
//! second of processor time to 1,000 viewers, 110,000 to 220,000 to 10,000.
//!
//! On one of an Intel Xeon: the first viewer after the same time, the last of 100 after 0.28 to
//! 0.56 ms, the last of 1,000 after 2.4 to 4.8 ms; 200,000 to 400,000 deliveries, and 145,000 to 290,000.
//!
//! High percentiles are what neighbours take of a shared machine, and as wide as that.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::floors::expected::Expected;

/// Where the first viewer's time lies on the machine above, microseconds: the median.
pub const FIRST_P50: Expected = Expected::anywhere(80.0..200.0);
/// Its 99th percentile.
pub const FIRST_P99: Expected = Expected::anywhere(150.0..700.0);
/// Its 99.9th percentile.
pub const FIRST_P999: Expected = Expected::anywhere(170.0..3_800.0);
/// Where the time of the last of 100 viewers lies, microseconds: the median.
pub const LAST_100_P50: Expected = Expected::new(550.0..1_100.0, 280.0..560.0);
/// Its 99th percentile.
pub const LAST_100_P99: Expected = Expected::new(900.0..1_800.0, 800.0..1_600.0);
/// Its 99.9th percentile.
pub const LAST_100_P999: Expected = Expected::anywhere(1_000.0..5_000.0);
/// Where the time of the last of 1,000 viewers lies, microseconds: the median.
pub const LAST_1000_P50: Expected = Expected::new(5_000.0..10_000.0, 2_400.0..4_800.0);
/// Its 99th percentile.
pub const LAST_1000_P99: Expected = Expected::new(7_500.0..15_000.0, 4_200.0..8_400.0);
/// Its 99.9th percentile.
pub const LAST_1000_P999: Expected = Expected::new(8_000.0..16_000.0, 4_300.0..8_600.0);
/// Where the deliveries per second of processor time to 1,000 viewers lie.
pub const FANOUT_1K: Expected = Expected::new(120e3..240e3, 200e3..400e3);
/// Where they lie with 10,000 viewers.
pub const FANOUT_10K: Expected = Expected::new(110e3..220e3, 145e3..290e3);

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
