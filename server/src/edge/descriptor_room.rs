//! Up to where connections may take the process' descriptors: what is left is for its files.
//!
//! The kernel gives out the lowest number that is free. So the number of a new connection's descriptor says
//! how many are taken, and nothing needs to be counted.

use std::os::fd::{AsRawFd, RawFd};

use rustix::process::{Resource, getrlimit};

use crate::limits::DESCRIPTORS_RESERVED;

/// Where few descriptors are to be had, files get one of so many.
const RESERVED_PART: u64 = 4;

/// What one kind of connection may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorRoom {
    /// The first number that is left to others.
    end: u64,
}

impl DescriptorRoom {
    /// For clients: the reserve is not theirs.
    pub fn of_clients() -> Self {
        let limit = limit();
        Self {
            end: limit - reserved(limit),
        }
    }

    /// For callers of the control API, who are to be heard when clients have taken all that they may: half
    /// of the reserve too.
    pub fn of_control() -> Self {
        let limit = limit();
        Self {
            end: limit - reserved(limit) / 2,
        }
    }

    /// Whether a connection that was just accepted may stay.
    pub fn has(self, connection: &impl AsRawFd) -> bool {
        self.has_number(connection.as_raw_fd())
    }

    fn has_number(self, number: RawFd) -> bool {
        u64::try_from(number).is_ok_and(|number| number < self.end)
    }
}

fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn reserved(limit: u64) -> u64 {
    DESCRIPTORS_RESERVED.min(limit / RESERVED_PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_a_reserve() {
        assert_eq!(reserved(1_000_000), DESCRIPTORS_RESERVED);
        assert_eq!(reserved(100), 25);
        assert_eq!(reserved(0), 0);
        let room = DescriptorRoom { end: 7 };
        assert!(room.has_number(6) && !room.has_number(7));
        let (clients, control) = (DescriptorRoom::of_clients(), DescriptorRoom::of_control());
        assert!(clients.end < control.end && control.end < limit());
    }
}
