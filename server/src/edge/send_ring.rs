//! Many sends on many sockets in one system call, by an io_uring.
//!
//! The ring is filled, submitted and emptied within one call of [`SendRing::send`], so that nothing
//! of the caller's is in the kernel's hands outside of it: neither bytes, which might be freed, nor
//! descriptors, which might be closed and given to somebody else. That costs no waiting: a send
//! that must not block is over when it has been submitted.
//!
//! The kernel says of each send what `send` would have said: bytes taken, full, broken. A ring
//! that the kernel refuses later is given up for good; what it has not sent is told as interrupted.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use io_uring::{IoUring, opcode, squeue, types};

use crate::limits::WEBSOCKET_SENDS_MAX;

/// A peer that is gone is an answer and no signal; a full socket is, too.
const FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;

/// A ring of one thread: the one that makes it.
pub struct SendRing {
    /// None: given up.
    ring: Option<IoUring>,
    /// What is sent now. Kept for its memory.
    entries: Vec<squeue::Entry>,
    /// What became of each.
    outcomes: Vec<io::Result<usize>>,
}

impl fmt::Debug for SendRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendRing").finish_non_exhaustive()
    }
}

impl SendRing {
    /// A ring that has sent a byte.
    ///
    /// # Errors
    /// When the kernel has no io_uring with deferred task work (before 6.1), or does not let this
    /// process use it (`kernel.io_uring_disabled`, a filter of system calls).
    pub fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            // One thread has it, so that the kernel needs no lock and interrupts nobody.
            .setup_single_issuer()
            .setup_defer_taskrun()
            // One send that fails does not keep those behind it.
            .setup_submit_all()
            .build(WEBSOCKET_SENDS_MAX as u32)?;
        let mut ring = Self {
            ring: Some(ring),
            entries: Vec::with_capacity(WEBSOCKET_SENDS_MAX),
            outcomes: Vec::with_capacity(WEBSOCKET_SENDS_MAX),
        };
        ring.send_a_byte()?;
        Ok(ring)
    }

    /// Whether the kernel has not refused it yet.
    pub fn is_alive(&self) -> bool {
        self.ring.is_some()
    }

    /// Sends each of them in order, at most [`WEBSOCKET_SENDS_MAX`], and never waits for a peer.
    pub fn send<'a>(&mut self, sends: impl Iterator<Item = (BorrowedFd<'a>, &'a [u8])>) {
        if let Err(error) = self.try_send(sends) {
            tracing::error!(%error, "io_uring has failed; WebSockets are written one by one from here on");
        }
    }

    /// What became of each that was sent last: how many bytes were taken or why none; `Interrupted`
    /// of those that it did not come to.
    pub fn outcomes(&self) -> &[io::Result<usize>] {
        &self.outcomes
    }

    fn try_send<'a>(
        &mut self,
        sends: impl Iterator<Item = (BorrowedFd<'a>, &'a [u8])>,
    ) -> io::Result<()> {
        self.entries.clear();
        self.outcomes.clear();
        for (fd, bytes) in sends {
            let entry = opcode::Send::new(
                types::Fd(fd.as_raw_fd()),
                bytes.as_ptr(),
                u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            );
            let index = self.outcomes.len() as u64;
            self.entries
                .push(entry.flags(FLAGS).build().user_data(index));
            self.outcomes.push(Err(ErrorKind::Interrupted.into()));
        }
        let Some(ring) = &mut self.ring else {
            return Ok(());
        };
        // SAFETY: each entry names a descriptor and bytes that are borrowed for `'a`, which is
        // longer than this call, with their true length or less. The kernel only reads the bytes,
        // and `complete` does not return before it has ended all that it has taken. What it has
        // not taken is dropped with the ring below, so that no later call submits it.
        unsafe { ring.submission().push_multiple(&self.entries) }
            .expect("no more sends than the ring has room for");
        let completed = complete(ring, &mut self.outcomes);
        if completed.is_err() {
            self.ring = None;
        }
        completed
    }

    fn send_a_byte(&mut self) -> io::Result<()> {
        let (ours, _theirs) = UnixStream::pair()?;
        self.try_send([(ours.as_fd(), &[0][..])].into_iter())?;
        match self.outcomes.pop() {
            Some(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Submits all that is in the ring and gathers what became of it. On an error the kernel has ended
/// what it took, and the rest is still in the ring.
fn complete(ring: &mut IoUring, outcomes: &mut [io::Result<usize>]) -> io::Result<()> {
    let mut left = outcomes.len();
    while left > 0 {
        let entered = ring.submit_and_wait(left);
        left -= reap(ring, outcomes);
        match entered {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if ring.submission().len() == left => return Err(error),
            // Some are still in the kernel's hands; it is asked again until they are not.
            Err(_) => {}
        }
    }
    Ok(())
}

/// Takes out what the kernel has ended; how many that were.
fn reap(ring: &mut IoUring, outcomes: &mut [io::Result<usize>]) -> usize {
    let mut count = 0;
    for ended in ring.completion() {
        // A negative result is the error's number.
        outcomes[ended.user_data() as usize] = usize::try_from(ended.result())
            .map_err(|_| io::Error::from_raw_os_error(-ended.result()));
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::skip;

    /// A ring, unless this kernel gives none.
    fn ring() -> Option<SendRing> {
        SendRing::new()
            .inspect_err(|error| skip::say("a ring", &error.to_string()))
            .ok()
    }

    fn pairs<const N: usize>() -> [(UnixStream, UnixStream); N] {
        std::array::from_fn(|_| UnixStream::pair().unwrap())
    }

    #[test]
    fn each_socket_gets_its_bytes() {
        let Some(mut ring) = ring() else { return };
        let pairs = pairs::<WEBSOCKET_SENDS_MAX>();
        for round in 0..3 {
            let bytes: Vec<Vec<u8>> = (0..pairs.len()).map(|at| vec![at as u8; at + 1]).collect();
            let sends = pairs.iter().zip(&bytes);
            ring.send(sends.map(|((ours, _), bytes)| (ours.as_fd(), &bytes[..])));
            for (((_, theirs), bytes), outcome) in pairs.iter().zip(&bytes).zip(ring.outcomes()) {
                assert_eq!(*outcome.as_ref().unwrap(), bytes.len(), "round {round}");
                let mut got = vec![0; bytes.len()];
                { theirs }.read_exact(&mut got).unwrap();
                assert_eq!(got, *bytes);
            }
        }
    }

    #[test]
    fn a_full_and_a_broken_socket_are_told_and_the_others_are_served() {
        let Some(mut ring) = ring() else { return };
        let [(small, mut reader), (broken, peer), (whole, mut last)] = pairs();
        drop(peer);
        let large = vec![7; 4 << 20];
        let send = |ring: &mut SendRing| {
            let sends = [(&small, &large[..]), (&broken, b"x"), (&whole, b"y")];
            ring.send(sends.map(|(to, bytes)| (to.as_fd(), bytes)).into_iter());
            let kinds = ring.outcomes().iter().map(|outcome| match outcome {
                Ok(count) => Ok(*count),
                Err(error) => Err(error.kind()),
            });
            kinds.collect::<Vec<_>>()
        };
        let first = send(&mut ring);
        let taken = first[0].unwrap();
        assert!(0 < taken && taken < large.len(), "in part: {taken}");
        assert_eq!(first[1..], [Err(ErrorKind::BrokenPipe), Ok(1)]);
        assert_eq!(send(&mut ring)[0], Err(ErrorKind::WouldBlock));
        let mut got = vec![0; taken];
        reader.read_exact(&mut got).unwrap();
        assert_eq!(got, large[..taken]);
        last.read_exact(&mut [0; 2]).unwrap();
        assert!(ring.is_alive());
    }

    #[test]
    fn a_ring_that_the_kernel_refuses_is_given_up() {
        let Some(mut ring) = ring() else { return };
        // It belongs to the thread that made it.
        let elsewhere = std::thread::spawn(move || {
            let [(ours, _theirs)] = pairs();
            let send = |ring: &mut SendRing| {
                ring.send([(ours.as_fd(), &b"x"[..])].into_iter());
                let outcome = ring.outcomes()[0].as_ref();
                assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Interrupted);
                assert!(!ring.is_alive());
            };
            send(&mut ring);
            send(&mut ring);
        });
        elsewhere.join().unwrap();
    }
}
