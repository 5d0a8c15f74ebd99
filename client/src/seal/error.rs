//! Why a point was not sealed or not opened, and whose fault that is.

/// Why keys or points cannot be used for sealing: the caller's fault, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The operating system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoRandom,
    /// A counter was sealed before, or a greater one was: its nonce must not be used again.
    #[error("counter {counter} was used before; counters only grow")]
    CounterUsed {
        /// Which.
        counter: u64,
    },
    /// The library refused.
    #[error("the cipher refused")]
    Cipher,
    /// A text is not a key.
    #[error("line {line}: {what}")]
    BadKey {
        /// Which line of the text, from 1.
        line: usize,
        /// What is wrong with it; nothing of the key itself.
        what: &'static str,
    },
}

/// Why a blob was not opened. A viewer shows it beside the point and goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OpenError {
    /// The bytes are not a blob of this format: the sender's fault.
    #[error("not a sealed point of this format")]
    Malformed,
    /// The blob names a suite that is not known here.
    #[error("sealed with suite {0}, which is not known here; use a newer program")]
    UnknownSuite(u8),
    /// No key of this epoch: it has not come yet, or was never meant for this viewer.
    #[error("no key of epoch {epoch}; ask for it in the chat")]
    UnknownKey {
        /// Which.
        epoch: u32,
    },
    /// The tag is wrong: another key, changed bytes, or a blob of another chat, session, counter or
    /// time. Nobody can tell which.
    #[error("not sealed with this key for this place: wrong key, or the point was tampered with")]
    NotAuthentic,
    /// The counter was opened before, or is too old to know.
    #[error("seen before")]
    Replayed,
    /// Well sealed, but no point: the fault of somebody who has the key.
    #[error("what was sealed is not a point")]
    NotAPoint,
}

impl OpenError {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownSuite(_) => "unknown_suite",
            Self::UnknownKey { .. } => "unknown_key",
            Self::NotAuthentic => "not_authentic",
            Self::Replayed => "replayed",
            Self::NotAPoint => "not_a_point",
        }
    }
}
