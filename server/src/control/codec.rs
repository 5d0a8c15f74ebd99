//! Commands and checkpoints as bytes: the only importer of bincode.
//!
//! ```text
//!  0          1          2
//!  +----------+----------+--------------------------------------------+
//!  | format 1 | schema 5 | bincode 1: fixed-size integers, little end |
//!  +----------+----------+--------------------------------------------+
//! ```
//!
//! Format 1 is what bincode 1.3.3 and wincode both write; another codec would be format 2. Every
//! call has a limit, trailing bytes are refused, and bytes come from records whose length and
//! checksum the log has checked. Decoding is total: any bytes give a value or an error.

use bincode::Options as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use skein_engine::command::Command;
use skein_engine::control_state::ControlState;
use skein_engine::control_state::v1::ControlStateV1;
use skein_engine::control_state::v3::ControlStateV3;
use skein_engine::control_state::v4::ControlStateV4;

use crate::control::limits::{COMMAND_BYTES_MAX, STATE_BYTES_MAX};

/// How the bytes behind the first two are written.
pub const FORMAT: u8 = 1;

/// Which fields they have. Grows when [`Command`] or [`ControlState`] changes. Commands of schema 1
/// are the first ones of today's; states up to schema 4 have fewer fields. Up to schema 2 the commands
/// about a session's end did not say whose it was.
pub const SCHEMA: u8 = 5;

/// The oldest schema that is read.
const SCHEMA_FIRST: u8 = 1;

/// The last schema whose states have no sealed chats.
const SCHEMA_UNSEALED: u8 = 3;

/// The one schema whose states have sealed chats and no geofences.
const SCHEMA_UNFENCED: u8 = 4;

/// The last schema whose `ExtendSession` and `EndSession` end before the name of the user.
const SCHEMA_NAMELESS: u8 = 2;

/// The numbers of these two commands, as bytes.
const NAMELESS: [[u8; 4]; 2] = [3u32.to_le_bytes(), 4u32.to_le_bytes()];

/// An empty text: its length.
const NO_NAME: [u8; 8] = [0; 8];

/// Why bytes are no value, or a value has no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Fewer than two bytes.
    #[error("the record is empty")]
    Empty,
    /// Written by a newer program.
    #[error("format {format} schema {schema} is not known here; use a newer program")]
    Unknown {
        /// First byte.
        format: u8,
        /// Second byte.
        schema: u8,
    },
    /// Not a value of this type, or bytes behind it.
    #[error("the record does not hold what it should")]
    Malformed,
    /// Larger than any value may be.
    #[error("larger than {0} bytes")]
    TooLarge(usize),
}

/// A command as the payload of a record.
///
/// # Errors
/// When it is larger than any proper command.
///
/// ```
/// use skein_engine::command::Command;
/// use skein_server::control::codec::{decode_command, encode_command};
/// let command = Command::RemoveMember { chat: "hike".into(), user: "ana".into() };
/// let bytes = encode_command(&command).unwrap();
/// assert_eq!(decode_command(&bytes), Ok(command));
/// ```
pub fn encode_command(command: &Command) -> Result<Vec<u8>, CodecError> {
    encode(command, COMMAND_BYTES_MAX)
}

/// A command from the payload of a record.
///
/// # Errors
/// When the bytes are no command.
pub fn decode_command(bytes: &[u8]) -> Result<Command, CodecError> {
    let (schema, body) = opened(bytes, COMMAND_BYTES_MAX)?;
    let is_nameless = NAMELESS.iter().any(|number| body.starts_with(number));
    if schema <= SCHEMA_NAMELESS && is_nameless {
        let whole = [body, &NO_NAME].concat();
        return decode(&whole, COMMAND_BYTES_MAX);
    }
    decode(body, COMMAND_BYTES_MAX)
}

/// A control state as the content of a checkpoint.
///
/// # Errors
/// When it is larger than a checkpoint may be.
pub fn encode_state(state: &ControlState) -> Result<Vec<u8>, CodecError> {
    encode(state, STATE_BYTES_MAX)
}

/// A control state from the content of a checkpoint.
///
/// # Errors
/// When the bytes are no control state.
pub fn decode_state(bytes: &[u8]) -> Result<ControlState, CodecError> {
    let (schema, body) = opened(bytes, STATE_BYTES_MAX)?;
    match schema {
        SCHEMA_FIRST => decode::<ControlStateV1>(body, STATE_BYTES_MAX).map(Into::into),
        ..=SCHEMA_UNSEALED => decode::<ControlStateV3>(body, STATE_BYTES_MAX).map(Into::into),
        SCHEMA_UNFENCED => decode::<ControlStateV4>(body, STATE_BYTES_MAX).map(Into::into),
        _ => decode(body, STATE_BYTES_MAX),
    }
}

fn options(bytes_max: usize) -> impl bincode::Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_little_endian()
        .with_limit(bytes_max as u64)
        .reject_trailing_bytes()
}

fn encode<T: Serialize>(value: &T, bytes_max: usize) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![FORMAT, SCHEMA];
    options(bytes_max)
        .serialize_into(&mut bytes, value)
        .map_err(|_| CodecError::TooLarge(bytes_max))?;
    Ok(bytes)
}

/// The schema of a value and its bytes.
fn opened(bytes: &[u8], bytes_max: usize) -> Result<(u8, &[u8]), CodecError> {
    let [format, schema, body @ ..] = bytes else {
        return Err(CodecError::Empty);
    };
    if *format != FORMAT || !(SCHEMA_FIRST..=SCHEMA).contains(schema) {
        let (format, schema) = (*format, *schema);
        return Err(CodecError::Unknown { format, schema });
    }
    if body.len() > bytes_max {
        return Err(CodecError::TooLarge(bytes_max));
    }
    Ok((*schema, body))
}

fn decode<T: DeserializeOwned>(body: &[u8], bytes_max: usize) -> Result<T, CodecError> {
    options(bytes_max)
        .deserialize(body)
        .map_err(|_| CodecError::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skein_engine::command::Command;
    use skein_engine::control_state::ControlState;
    use skein_engine::geofence::ledger::CrossingRecord;
    use skein_engine::geofence::record::{GeofenceRecord, Shape};
    use skein_engine::guest::GuestRecord;

    use crate::control::codec::{
        CodecError, decode_command, decode_state, encode_command, encode_state,
    };
    use crate::control::limits::COMMAND_BYTES_MAX;

    /// One of each, with its golden form: what is on a disk must be read for ever.
    fn golden() -> Vec<(Command, &'static str)> {
        let chat = || "c".to_owned();
        let user = || "u".to_owned();
        vec![
            (
                Command::PutMember {
                    chat: chat(),
                    user: user(),
                    rights: 3,
                },
                "0105 00000000 0100000000000000 63 0100000000000000 75 03",
            ),
            (
                Command::RemoveMember {
                    chat: chat(),
                    user: user(),
                },
                "0105 01000000 0100000000000000 63 0100000000000000 75",
            ),
            (
                Command::StartSession {
                    chat: chat(),
                    session: 7,
                    user: user(),
                    started_at_ms: 1,
                    expires_at_ms: 2,
                    duration_s: 3,
                    idempotency_key: "k".to_owned(),
                    sealed: true,
                },
                "0105 02000000 0100000000000000 63 0700000000000000 0100000000000000 75 \
                 0100000000000000 0200000000000000 03000000 0100000000000000 6b 01",
            ),
            (
                Command::ExtendSession {
                    chat: chat(),
                    session: 7,
                    expires_at_ms: 9,
                    user: user(),
                },
                "0105 03000000 0100000000000000 63 0700000000000000 0900000000000000 \
                 0100000000000000 75",
            ),
            (
                Command::EndSession {
                    chat: chat(),
                    session: 7,
                    state: 4,
                    at_ms: 9,
                    user: user(),
                },
                "0105 04000000 0100000000000000 63 0700000000000000 04 0900000000000000 \
                 0100000000000000 75",
            ),
            (
                Command::NameChat { chat: chat() },
                "0105 05000000 0100000000000000 63",
            ),
            (
                Command::PutMembers {
                    chat: chat(),
                    members: vec![(user(), 1), ("v".to_owned(), 2)],
                },
                "0105 06000000 0100000000000000 63 0200000000000000 \
                 0100000000000000 75 01 0100000000000000 76 02",
            ),
            (
                Command::PutGuest {
                    chat: chat(),
                    guest: 9,
                    record: GuestRecord {
                        session: 7,
                        last_only: true,
                        grid_m: 500,
                        viewers_max: 3,
                        created_at_ms: 1,
                        expires_at_ms: 2,
                        label: "l".to_owned(),
                    },
                },
                "0105 07000000 0100000000000000 63 0900000000000000 0700000000000000 01 f4010000 \
                 03000000 0100000000000000 0200000000000000 0100000000000000 6c",
            ),
            (
                Command::RemoveGuest {
                    chat: chat(),
                    guest: 9,
                },
                "0105 08000000 0100000000000000 63 0900000000000000",
            ),
            (
                Command::SealChat {
                    chat: chat(),
                    sealed: true,
                },
                "0105 09000000 0100000000000000 63 01",
            ),
            (
                Command::PutGeofence {
                    chat: chat(),
                    geofence: 9,
                    record: geofence(Shape::Circle {
                        lat_e6: 1,
                        lon_e6: -1,
                        radius_m: 100,
                    }),
                },
                "0105 0a000000 0100000000000000 63 0900000000000000 0100000000000000 67 \
                 0100000000000000 6f 02 00000000 01000000 ffffffff 64000000 0100000000000000 75 \
                 0700000000000000 3c000000 01 0100000000000000 0200000000000000",
            ),
            (
                Command::PutGeofence {
                    chat: chat(),
                    geofence: 9,
                    record: geofence(Shape::Polygon(vec![(1, 2), (3, 4), (-1, 0)])),
                },
                "0105 0a000000 0100000000000000 63 0900000000000000 0100000000000000 67 \
                 0100000000000000 6f 02 01000000 0300000000000000 01000000 02000000 03000000 \
                 04000000 ffffffff 00000000 0100000000000000 75 \
                 0700000000000000 3c000000 01 0100000000000000 0200000000000000",
            ),
            (
                Command::PutGeofence {
                    chat: chat(),
                    geofence: 9,
                    record: geofence(Shape::Around {
                        session: 5,
                        near_m: 200,
                    }),
                },
                "0105 0a000000 0100000000000000 63 0900000000000000 0100000000000000 67 \
                 0100000000000000 6f 02 02000000 0500000000000000 c8000000 0100000000000000 75 \
                 0700000000000000 3c000000 01 0100000000000000 0200000000000000",
            ),
            (
                Command::RemoveGeofence {
                    chat: chat(),
                    geofence: 9,
                    name: "g".to_owned(),
                    owner: "o".to_owned(),
                },
                "0105 0b000000 0100000000000000 63 0900000000000000 0100000000000000 67 \
                 0100000000000000 6f",
            ),
            (
                Command::Cross {
                    chat: chat(),
                    crossing: CrossingRecord {
                        geofence: 9,
                        name: "g".to_owned(),
                        owner: "o".to_owned(),
                        kind: 3,
                        session: 7,
                        user: user(),
                        other: 8,
                        other_user: "v".to_owned(),
                        at_ms: 5,
                    },
                },
                "0105 0c000000 0100000000000000 63 0900000000000000 0100000000000000 67 \
                 0100000000000000 6f 03 0700000000000000 0100000000000000 75 0800000000000000 \
                 0100000000000000 76 0500000000000000",
            ),
        ]
    }

    fn geofence(shape: Shape) -> GeofenceRecord {
        GeofenceRecord {
            name: "g".to_owned(),
            owner: "o".to_owned(),
            claim: 2,
            shape,
            user: "u".to_owned(),
            session: 7,
            dwell_s: 60,
            once: true,
            created_at_ms: 1,
            expires_at_ms: 2,
        }
    }

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    #[test]
    fn commands_have_the_golden_bytes() {
        for (command, hex) in golden() {
            assert_eq!(encode_command(&command).unwrap(), unhex(hex), "{command:?}");
            assert_eq!(decode_command(&unhex(hex)), Ok(command));
        }
    }

    #[test]
    fn commands_of_older_schemas_are_read() {
        let nameless = |command: &mut Command| match command {
            Command::ExtendSession { user, .. } | Command::EndSession { user, .. } => {
                user.clear();
                true
            }
            _ => false,
        };
        for (schema, known) in [("0101", 5), ("0102", 9), ("0103", 9), ("0104", 10)] {
            for (mut command, hex) in golden().into_iter().take(known) {
                let mut old = hex.replacen("0105", schema, 1);
                if schema < "0103" && nameless(&mut command) {
                    old = old.replace("0100000000000000 75", "");
                }
                assert_eq!(decode_command(&unhex(&old)), Ok(command), "{old}");
            }
        }
    }

    /// A chat `c` with handle 1, member `u`, session 7 and one key, as schema 1 wrote it.
    #[test]
    fn a_state_of_schema_1_is_read() {
        let old = unhex(
            "0101 0200000000000000 01000000 0100000000000000 0100000000000000 63 01000000 \
             0100000000000000 0100000000000000 75 03 \
             0100000000000000 0700000000000000 0100000000000000 75 0100000000000000 \
             0200000000000000 01 \
             0100000000000000 0100000000000000 75 0100000000000000 0100000000000000 6b \
             0700000000000000 03000000 01 0200000000000000 0100000000000000",
        );
        let state = decode_state(&old).expect("a state");
        let chat = state.chat("c").expect("the chat");
        assert_eq!((state.applied_index(), chat.handle.0), (2, 1));
        assert_eq!(chat.members["u"], 3);
        assert_eq!(chat.sessions[&7].expires_at_ms, 2);
        assert_eq!(chat.key("u", "k").map(|key| key.session), Some(7));
        assert_eq!((chat.members_version, chat.guests.len()), (0, 0));
    }

    /// The same chat with a version and a link, as the schemas 2 and 3 wrote it.
    #[test]
    fn a_state_without_sealed_chats_is_read() {
        for schema in ["0102", "0103"] {
            let old = unhex(&format!(
                "{schema} 0200000000000000 01000000 0100000000000000 0100000000000000 63 01000000 \
                 0100000000000000 0100000000000000 75 03 \
                 0000000000000000 0000000000000000 0000000000000000 0500000000000000 \
                 0100000000000000 0900000000000000 0700000000000000 01 f4010000 \
                 03000000 0100000000000000 0200000000000000 0100000000000000 6c",
            ));
            let state = decode_state(&old).expect("a state");
            let chat = state.chat("c").expect("the chat");
            assert_eq!((chat.members_version, chat.guests[&9].grid_m), (5, 500));
            assert!(!chat.sealed);
        }
    }

    /// The same chat, sealed, as schema 4 wrote it.
    #[test]
    fn a_state_without_geofences_is_read() {
        let old = unhex(
            "0104 0200000000000000 01000000 0100000000000000 0100000000000000 63 01000000 \
             0100000000000000 0100000000000000 75 03 \
             0000000000000000 0000000000000000 0000000000000000 0500000000000000 \
             0000000000000000 01",
        );
        let state = decode_state(&old).expect("a state");
        let chat = state.chat("c").expect("the chat");
        assert!(chat.sealed);
        assert_eq!((chat.members["u"], chat.geofences.iter().len()), (3, 0));
    }

    #[test]
    fn a_state_survives_its_bytes() {
        let mut state = ControlState::default();
        for (index, (command, _)) in golden().into_iter().enumerate() {
            state.apply(index as u64 + 1, &command);
        }
        assert!(state.chat("c").is_some_and(|chat| chat.sealed));
        // A sealed chat takes no geofence.
        let opened = Command::SealChat {
            chat: "c".to_owned(),
            sealed: false,
        };
        state.apply(99, &opened);
        let (fenced, _) = golden().swap_remove(11);
        state.apply(100, &fenced);
        assert_eq!(
            state.chat("c").map(|chat| chat.geofences.iter().len()),
            Some(1)
        );
        let bytes = encode_state(&state).unwrap();
        assert_eq!(decode_state(&bytes).as_ref(), Ok(&state));
        for cut in 0..bytes.len() {
            assert!(decode_state(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn foreign_and_broken_bytes_are_refused() {
        let good = unhex(golden()[0].1);
        let changed = |index: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[index] = byte;
            bytes
        };
        let longer = [good.as_slice(), &[0]].concat();
        // A name that claims 2^64 - 1 bytes must not be allocated.
        let huge = [&good[..6], &[0xff; 8]].concat();
        for (bytes, expect) in [
            (vec![], CodecError::Empty),
            (vec![1], CodecError::Empty),
            (
                changed(0, 2),
                CodecError::Unknown {
                    format: 2,
                    schema: 5,
                },
            ),
            (
                changed(1, 9),
                CodecError::Unknown {
                    format: 1,
                    schema: 9,
                },
            ),
            (changed(2, 77), CodecError::Malformed),
            (longer, CodecError::Malformed),
            (huge, CodecError::Malformed),
            (good[..good.len() - 1].to_vec(), CodecError::Malformed),
            (vec![1; 50_000], CodecError::TooLarge(COMMAND_BYTES_MAX)),
        ] {
            assert_eq!(decode_command(&bytes), Err(expect), "{bytes:?}");
        }
    }

    #[test]
    fn a_command_beyond_its_limit_is_refused() {
        let command = Command::RemoveMember {
            chat: "c".repeat(2 * COMMAND_BYTES_MAX),
            user: String::new(),
        };
        let too_large = CodecError::TooLarge(COMMAND_BYTES_MAX);
        assert_eq!(encode_command(&command), Err(too_large));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = decode_command(&bytes);
            bytes.splice(0..0, [1, 1]);
            let _ = decode_command(&bytes);
            let _ = decode_state(&bytes);
        }
    }
}
