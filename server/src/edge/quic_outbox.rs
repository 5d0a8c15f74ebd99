//! Packets of many connections on their way to the kernel.
//!
//! Their memory is made once and used again. While the socket is full they wait here, in order,
//! and nobody is asked for more.

use std::io;

use crate::edge::quic_packet::Packet;
use crate::limits::QUIC_PACKETS_PER_SEND_MAX;

/// What has become of the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// None is left.
    All,
    /// The socket is full.
    Blocked,
}

/// The packets.
#[derive(Debug)]
pub struct QuicOutbox {
    packets: Vec<Packet>,
    /// Those before this one wait or have left.
    filled: usize,
    /// Those before this one have left.
    left: usize,
}

impl QuicOutbox {
    /// No packets, but room for some.
    pub fn new() -> Self {
        Self {
            packets: (0..QUIC_PACKETS_PER_SEND_MAX)
                .map(|_| Packet::empty())
                .collect(),
            filled: 0,
            left: 0,
        }
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.left == self.filled
    }

    /// The next packet to be filled; `None` when all wait to be sent.
    pub fn vacant(&mut self) -> Option<&mut Packet> {
        let packet = self.packets.get_mut(self.filled)?;
        packet.bytes.clear();
        Some(packet)
    }

    /// The vacant packet has been filled.
    pub fn push(&mut self) {
        assert!(self.filled < self.packets.len(), "it was vacant");
        self.filled += 1;
    }

    /// Whether packets must be sent before there is a vacant one.
    pub fn is_full(&self) -> bool {
        self.filled == self.packets.len()
    }

    /// Throws the waiting packets of one connection away: it will find out that they are lost.
    pub fn discard(&mut self, owner: u32) {
        let mut at = self.left;
        while at < self.filled {
            match self.packets[at].owner == owner {
                true => {
                    self.packets[at..self.filled].rotate_left(1);
                    self.filled -= 1;
                }
                false => at += 1,
            }
        }
    }

    /// Sends what waits. `send` takes the first few and says how many; a packet that the kernel
    /// refuses is as good as lost on the way, and told to `refused`.
    pub fn send(
        &mut self,
        mut send: impl FnMut(&[Packet]) -> io::Result<usize>,
        mut refused: impl FnMut(&Packet, &io::Error),
    ) -> Sent {
        while !self.is_empty() {
            match send(&self.packets[self.left..self.filled]) {
                Ok(count) => self.left += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Sent::Blocked,
                Err(error) => {
                    refused(&self.packets[self.left], &error);
                    self.left += 1;
                }
            }
        }
        (self.left, self.filled) = (0, 0);
        Sent::All
    }
}

impl Default for QuicOutbox {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(owners: &[u32]) -> QuicOutbox {
        let mut outbox = QuicOutbox::new();
        for &owner in owners {
            let packet = outbox.vacant().unwrap();
            packet.owner = owner;
            outbox.push();
        }
        outbox
    }

    /// A kernel that answers as `answers` says and notes whose packets it has taken.
    fn send(
        outbox: &mut QuicOutbox,
        mut answers: Vec<io::Result<usize>>,
    ) -> (Sent, Vec<u32>, usize) {
        let (mut taken, mut refused) = (Vec::new(), 0);
        answers.reverse();
        let sent = outbox.send(
            |packets| {
                let answer = answers.pop().expect("asked no more than needed");
                if let Ok(count) = answer {
                    taken.extend(packets[..count].iter().map(|packet| packet.owner));
                }
                answer
            },
            |_, _| refused += 1,
        );
        (sent, taken, refused)
    }

    #[test]
    fn a_full_socket_keeps_the_rest_in_order() {
        let full = || Err(io::ErrorKind::WouldBlock.into());
        let mut outbox = outbox(&[1, 2, 3, 4]);
        let (sent, taken, _) = send(&mut outbox, vec![Ok(1), full()]);
        assert_eq!((sent, taken), (Sent::Blocked, vec![1]));
        outbox.discard(3);
        let (sent, taken, _) = send(&mut outbox, vec![Ok(2)]);
        assert_eq!((sent, taken), (Sent::All, vec![2, 4]));
        assert!(outbox.is_empty() && !outbox.is_full());
    }

    #[test]
    fn a_packet_that_cannot_leave_does_not_hold_the_others() {
        let bad = Err(io::ErrorKind::PermissionDenied.into());
        let again = Err(io::ErrorKind::Interrupted.into());
        let (sent, taken, refused) = send(&mut outbox(&[1, 2, 3]), vec![again, Ok(1), bad, Ok(1)]);
        assert_eq!((sent, taken, refused), (Sent::All, vec![1, 3], 1));
    }

    #[test]
    fn as_many_wait_as_one_call_takes() {
        let owners: Vec<u32> = (0..QUIC_PACKETS_PER_SEND_MAX as u32).collect();
        let mut outbox = outbox(&owners);
        assert!(outbox.is_full() && outbox.vacant().is_none());
        send(&mut outbox, vec![Ok(owners.len())]);
        assert!(outbox.vacant().is_some());
    }
}
