//! A socket of a QUIC client that can fall silent: who loses the network says no goodbye.

use std::fmt::Debug;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// A socket, and whether what it is to send is lost.
#[derive(Debug)]
pub struct MuteSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    is_mute: AtomicBool,
}

impl MuteSocket {
    /// One that still talks.
    pub fn new(socket: Arc<dyn AsyncUdpSocket>) -> Arc<Self> {
        let is_mute = AtomicBool::new(false);
        Arc::new(Self { socket, is_mute })
    }

    /// From now on nothing leaves.
    pub fn mute(&self) {
        self.is_mute.store(true, Ordering::Relaxed);
    }
}

impl AsyncUdpSocket for MuteSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit) -> io::Result<()> {
        match self.is_mute.load(Ordering::Relaxed) {
            true => Ok(()),
            false => self.socket.try_send(transmit),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}
