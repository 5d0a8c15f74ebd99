//! Where results go: stdout, which whoever reads may close at any time.
//!
//! `println!` panics then, so nothing of this crate uses it. These hand the error up, and the
//! command line ends quietly ([`has_closed`]).

use std::fmt;
use std::io::{self, ErrorKind, Write};

/// Writes one line to stdout.
///
/// # Errors
/// When stdout cannot be written, as when whoever read has closed it.
pub fn say(line: impl fmt::Display) -> io::Result<()> {
    print(format_args!("{line}\n"))
}

/// Writes a text to stdout as it is, at once: a pipe must not hold it back.
///
/// # Errors
/// As [`say`].
pub fn print(text: impl fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    out.flush()
}

/// Whether a command ended because nobody reads its output any more: `skein log dump | head` has
/// read enough, which is no error. A connection that broke is another error and stays one.
pub fn has_closed(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use skein_client::error::ClientError;

    use crate::terminal::out::has_closed;

    #[test]
    fn only_a_reader_that_has_gone_is_no_error() {
        let broken = || Error::from(ErrorKind::BrokenPipe);
        assert!(has_closed(&broken().into()));
        assert!(has_closed(
            &anyhow::Error::from(broken()).context("the table")
        ));
        assert!(!has_closed(&Error::from(ErrorKind::StorageFull).into()));
        assert!(!has_closed(&ClientError::Io(broken()).into()));
        assert!(!has_closed(&anyhow::anyhow!("Broken pipe")));
    }
}
