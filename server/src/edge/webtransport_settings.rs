//! Settings of HTTP/3: what we say, and what a client must and must not say.
//!
//! Browsers speak several drafts of WebTransport at once, so the switches of all of them are set;
//! what a draft does not know it skips.

use skein_wire::varint;

use crate::edge::webtransport_fault::{FRAME_ERROR, Fault, SETTINGS_ERROR};
use crate::edge::webtransport_sections::put;
use crate::limits::WEBTRANSPORT_FRAME_BYTES_MAX;

/// Kind of the frame.
pub const SETTINGS: u64 = 0x04;

const MAX_FIELD_SECTION_SIZE: u64 = 0x06;
const ENABLE_CONNECT_PROTOCOL: u64 = 0x08;
const H3_DATAGRAM: u64 = 0x33;
/// As in draft 4 of datagrams, which Chromium says beside the number of the RFC.
const H3_DATAGRAM_DRAFT: u64 = 0xff_d277;
/// WebTransport, drafts 2 to 6.
const ENABLE_WEBTRANSPORT: u64 = 0x2b60_3742;
/// Sessions of a connection, drafts 2 to 6.
const WEBTRANSPORT_MAX_SESSIONS_DRAFT: u64 = 0x2b60_3743;
/// Sessions of a connection, drafts 7 to 13.
const WEBTRANSPORT_MAX_SESSIONS: u64 = 0xc671_706a;

/// Sessions that a connection may have: who wants a second one opens a second connection.
const SESSIONS: u64 = 1;

/// Our settings. The table of QPACK has no room, which is what saying nothing means.
const OURS: [(u64, u64); 7] = [
    (MAX_FIELD_SECTION_SIZE, WEBTRANSPORT_FRAME_BYTES_MAX as u64),
    (ENABLE_CONNECT_PROTOCOL, 1),
    (H3_DATAGRAM, 1),
    (H3_DATAGRAM_DRAFT, 1),
    (ENABLE_WEBTRANSPORT, 1),
    (WEBTRANSPORT_MAX_SESSIONS_DRAFT, SESSIONS),
    (WEBTRANSPORT_MAX_SESSIONS, SESSIONS),
];

/// All that our control stream ever says: its type and our settings.
pub fn opening() -> Vec<u8> {
    let mut settings = Vec::new();
    for (id, value) in OURS {
        varint::put(&mut settings, id);
        varint::put(&mut settings, value);
    }
    let mut bytes = vec![0x00];
    put(&mut bytes, SETTINGS, &settings);
    bytes
}

/// What of a client's settings matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// It takes datagrams.
    pub datagrams: bool,
}

/// Reads the value of a settings frame.
///
/// # Errors
/// When it ends within a setting, says one twice or one that HTTP/2 had, or a switch is neither on
/// nor off.
pub fn read(value: &[u8]) -> Result<ClientSettings, Fault> {
    let mut rest = value;
    let mut found = ClientSettings::default();
    let mut seen = Vec::new();
    while !rest.is_empty() {
        let mut number = || {
            varint::get(&mut rest)
                .map_err(|_| Fault::new(FRAME_ERROR, "the settings end within a setting"))
        };
        let (id, value) = (number()?, number()?);
        if seen.contains(&id) {
            return Err(Fault::new(SETTINGS_ERROR, "a setting is said twice"));
        }
        seen.push(id);
        judge(id, value)?;
        found.datagrams |= matches!(id, H3_DATAGRAM | H3_DATAGRAM_DRAFT) && value == 1;
    }
    Ok(found)
}

fn judge(id: u64, value: u64) -> Result<(), Fault> {
    match id {
        0x00 | 0x02..=0x05 => Err(Fault::new(
            SETTINGS_ERROR,
            "a setting of HTTP/2 has no place here",
        )),
        ENABLE_CONNECT_PROTOCOL | H3_DATAGRAM if value > 1 => {
            Err(Fault::new(SETTINGS_ERROR, "a switch is neither 0 nor 1"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(u64, u64)]) -> Vec<u8> {
        let mut value = Vec::new();
        for &(id, number) in pairs {
            varint::put(&mut value, id);
            varint::put(&mut value, number);
        }
        value
    }

    #[test]
    fn datagrams_are_on_where_one_of_the_numbers_says_so() {
        for (pairs, datagrams) in [
            (&[][..], false),
            (&[(H3_DATAGRAM, 0)], false),
            (&[(H3_DATAGRAM, 1)], true),
            (
                &[(1, 65_536), (H3_DATAGRAM_DRAFT, 1), (0x40 * 0x1f + 0x21, 9)],
                true,
            ),
        ] {
            assert_eq!(read(&settings(pairs)), Ok(ClientSettings { datagrams }));
        }
    }

    #[test]
    fn settings_that_cannot_be_are_a_fault() {
        for (pairs, code) in [
            (&[(2, 0)][..], SETTINGS_ERROR),
            (&[(5, 0)], SETTINGS_ERROR),
            (&[(H3_DATAGRAM, 2)], SETTINGS_ERROR),
            (&[(ENABLE_CONNECT_PROTOCOL, 2)], SETTINGS_ERROR),
            (&[(7, 1), (7, 1)], SETTINGS_ERROR),
        ] {
            assert_eq!(read(&settings(pairs)).unwrap_err().code, code, "{pairs:?}");
        }
        assert_eq!(read(&[7]).unwrap_err().code, FRAME_ERROR);
        assert_eq!(read(&[0x40]).unwrap_err().code, FRAME_ERROR);
    }
}
