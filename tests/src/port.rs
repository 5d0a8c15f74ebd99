//! Ports that stay a test's own while nobody listens on them.
//!
//! A server that is to come back at its old address must find the port free. One of the kernel's choice is not safe
//! for that long: while the server is down, the kernel may give it to any other socket, a connection of a neighbour's
//! client among them. So a test takes its ports below the range that the kernel chooses from, and the tests agree on
//! who has which by locked files, which a dead process gives back.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below 32,768, where Linux begins to choose by itself unless told otherwise.
const RANGE: Range<u16> = 12_000..32_000;

/// Odd and without a factor in common with the number of ports, so that its multiples visit all of them; large, so
/// that the processes of a test run, which have neighbouring numbers, begin far apart.
const STRIDE: u32 = 7_919;

/// A port of the loopback address, claimed until its value is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _claim: File,
}

impl Port {
    /// Claims one that nobody has bound, neither for TCP nor for UDP.
    ///
    /// # Panics
    /// If the folder for the claims cannot be written, or no port is left.
    pub fn claim() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let folder = std::env::temp_dir().join("skein-test-ports");
        fs::create_dir_all(&folder).expect("a folder for the claims of ports");
        let many = u32::from(RANGE.end - RANGE.start);
        (0..many)
            .find_map(|_| {
                let turn = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
                let place = (process::id().wrapping_mul(STRIDE).wrapping_add(turn)) % many;
                let number = RANGE.start + u16::try_from(place).expect("within the range");
                let claim = OpenOptions::new()
                    .create(true)
                    .truncate(false)
                    .write(true)
                    .open(folder.join(number.to_string()))
                    .expect("a claim can be written");
                (claim.try_lock().is_ok() && is_free(number)).then_some(Self {
                    number,
                    _claim: claim,
                })
            })
            .expect("a free port")
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

fn is_free(number: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, number);
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

#[cfg(test)]
mod tests {
    use super::Port;
    use std::collections::BTreeSet;
    use std::net::UdpSocket;

    #[test]
    fn nobody_gets_a_port_twice() {
        let ports: Vec<Port> = (0..200).map(|_| Port::claim()).collect();
        let numbers: BTreeSet<_> = ports.iter().map(Port::address).collect();
        assert_eq!(numbers.len(), ports.len());
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let taken = Port::claim();
        let socket = UdpSocket::bind(taken.address()).expect("it is free");
        let number = taken.number;
        drop(taken);
        assert!(!super::is_free(number));
        drop(socket);
        assert!(super::is_free(number));
    }
}
