//! The numbers and names of the protocol, each a type of its own so that they never mix.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Code, WireError};
use crate::limits::{CHAT_NAME_BYTES_MAX, GEOFENCE_NAME_BYTES_MAX, USER_NAME_BYTES_MAX};
use crate::varint;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// A chat's number: assigned once when the chat is first named, never reused, the same on
    /// every connection. The log calls it `key`.
    ChatHandle(u32)
);
number!(
    /// Connection-local number of a session bound to this connection (senders only).
    ShareNumber(u32)
);
number!(
    /// A session's place in a chat's table. Appears only towards viewers.
    Slot(u32)
);
number!(
    /// A sender's own count of its points within one session; only greater ones move a marker.
    Counter(u64)
);
number!(
    /// Client-chosen number that ties an answer to its request; 0 means "the connection".
    RequestNumber(u32)
);
number!(
    /// Which part of a chat is meant: 0 = all of it, else the number of a view, given by `Viewing`.
    Cell(u64)
);

/// A live share by one member in one chat. Random, so that it says nothing; knowing one grants nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for SessionId {
    type Err = WireError;
    fn from_str(s: &str) -> Result<Self, WireError> {
        let ok = s.len() == 16 && s.bytes().all(|b| b.is_ascii_hexdigit());
        match (ok, u64::from_str_radix(s, 16)) {
            (true, Ok(id)) => Ok(Self(id)),
            _ => Err(WireError::new(
                Code::BadName,
                "a session id is 16 hexadecimal digits",
            )),
        }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:expr, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks length and characters.
            ///
            /// # Errors
            /// `bad_name` when empty, too long or with control characters.
            pub fn new(text: &str) -> Result<Self, WireError> {
                if text.is_empty() || text.len() > $max || text.chars().any(char::is_control) {
                    return Err(WireError::new(
                        Code::BadName,
                        concat!("a ", $what, " has 1 to 128 bytes and no control characters"),
                    ));
                }
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = WireError;
            fn from_str(s: &str) -> Result<Self, WireError> {
                Self::new(s)
            }
        }
    };
}

name!(
    /// A chat's name, as the chat service knows it.
    ChatName,
    CHAT_NAME_BYTES_MAX,
    "chat name"
);
name!(
    /// A member's name, as the token's subject says it.
    UserName,
    USER_NAME_BYTES_MAX,
    "user name"
);
name!(
    /// A geofence's name, unique in its chat; an alert's, unique among those of its member there.
    GeofenceName,
    GEOFENCE_NAME_BYTES_MAX,
    "name of a geofence or an alert"
);

/// The offset up to which a viewer has everything, with the log and the epoch it belongs to.
///
/// Opaque to clients; the text form is `logid-epoch-offset`.
///
/// ```
/// use skein_wire::ids::Cursor;
/// let cursor = Cursor { log: 0xabc, epoch: 3, offset: 77 };
/// assert_eq!(cursor.to_string(), "0000000000000abc-3-77");
/// assert_eq!("0000000000000abc-3-77".parse::<Cursor>().unwrap(), cursor);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Identity of the log; a cursor of another log gets a full batch.
    pub log: u64,
    /// Writer count of the partition when the cursor was given.
    pub epoch: u32,
    /// Offset in the chat's partition; 0 = has nothing.
    pub offset: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}-{}", self.log, self.epoch, self.offset)
    }
}

impl FromStr for Cursor {
    type Err = WireError;
    fn from_str(s: &str) -> Result<Self, WireError> {
        let bad = || WireError::new(Code::BadCursor, "a cursor looks like logid-epoch-offset");
        let mut parts = s.split('-');
        let (Some(log), Some(epoch), Some(offset), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        // The number parsers would take a sign, which no cursor has.
        if log.len() != 16 || s.contains('+') {
            return Err(bad());
        }
        let cursor = Self {
            log: u64::from_str_radix(log, 16).map_err(|_| bad())?,
            epoch: epoch.parse().map_err(|_| bad())?,
            offset: offset.parse().map_err(|_| bad())?,
        };
        if cursor.offset > varint::MAX {
            return Err(bad());
        }
        Ok(cursor)
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Code;
    use crate::ids::{ChatName, Cursor, SessionId};

    #[test]
    fn cursors_that_are_not_ours_are_refused() {
        for text in [
            "",
            "-",
            "0000000000000abc-3",
            "0000000000000abc-3-7-1",
            "abc-3-7",
            "0000000000000abc-4294967296-7",
            "0000000000000abc-3-4611686018427387904",
            "0000000000000abc-+3-7",
            "+000000000000abc-3-7",
            "0000000000000abc-3--7",
            "000000000000000g-3-7",
        ] {
            let error = text.parse::<Cursor>().expect_err(text);
            assert_eq!(error.code, Code::BadCursor, "{text}");
        }
    }

    #[test]
    fn a_session_id_is_sixteen_digits_and_nothing_else() {
        let id = SessionId(0xabc);
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in [
            "abc",
            "+000000000000abc",
            "0000000000000abcd",
            "000000000000000g",
        ] {
            assert!(text.parse::<SessionId>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_bounded_in_bytes_and_free_of_control_characters() {
        assert!(ChatName::new(&"a".repeat(128)).is_ok());
        for text in ["", "a\nb", "\u{7f}", &"a".repeat(129), &"\u{e4}".repeat(65)] {
            assert_eq!(ChatName::new(text).expect_err(text).code, Code::BadName);
        }
    }
}
