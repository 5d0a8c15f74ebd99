//! Errors of the client: whose fault, and what now.

use std::io;

use skein_wire::error::{Code, WireError};

/// Why a viewer or sender ended, or could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server's address is not well-formed: the caller's fault.
    #[error("{0}")]
    Url(String),
    /// The trust settings cannot be used: the caller's fault.
    #[error("{0}")]
    Trust(String),
    /// The server refuses; the text says what to do next.
    #[error("the server refuses ({code}): {text}")]
    Refused {
        /// Why.
        code: Code,
        /// What to do next.
        text: String,
    },
    /// The server's bytes are not frames of this protocol: the server's fault.
    #[error("the server does not speak this protocol ({0}); is it a skein server of this version?")]
    Protocol(WireError),
    /// No connection; trying again may help.
    #[error("no connection to the server: {0}")]
    Io(#[from] io::Error),
    /// The server closed the connection; trying again may help.
    #[error("the server closed the connection ({code}): {text}")]
    Closed {
        /// Why.
        code: Code,
        /// What to do next.
        text: String,
        /// When to come back, milliseconds.
        retry_after_ms: u64,
    },
}

impl ClientError {
    /// What happened, without the advice that a server's texts end with (`…; reconnect …`): for a
    /// person whose client comes back by itself.
    ///
    /// ```
    /// use skein_client::error::ClientError;
    /// use skein_wire::error::Code;
    /// let text = "the server is shutting down; reconnect with your cursor".to_owned();
    /// let error = ClientError::Closed { code: Code::GoingAway, text, retry_after_ms: 500 };
    /// assert_eq!(
    ///     error.reason(),
    ///     "the server closed the connection (going_away): the server is shutting down"
    /// );
    /// ```
    pub fn reason(&self) -> String {
        let mut text = self.to_string();
        if matches!(self, Self::Closed { .. })
            && let Some(end) = text.find("; ")
        {
            text.truncate(end);
        }
        text
    }

    /// Whether a new attempt may succeed without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Url(_) | Self::Trust(_) | Self::Protocol(_) => false,
            Self::Refused { code, .. } | Self::Closed { code, .. } => is_transient(*code),
            Self::Io(_) => true,
        }
    }
}

/// Whether the server may decide otherwise later, with nothing changed on this side.
pub fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::Ok
            | Code::GoingAway
            | Code::IdleViewer
            | Code::Deadline
            | Code::Busy
            | Code::NotDurable
            | Code::Recovering
            | Code::NotAppliedEverywhere
            | Code::RateLimited
            | Code::Internal
            | Code::MembershipRevoked
    )
}
