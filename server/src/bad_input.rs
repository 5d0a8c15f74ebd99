//! Bad input and what is said about it: one list for tests and documents.
//!
//! The lists stand beside what they test (`config::bad_inputs`, `http::bad_inputs`,
//! `cli::bad_inputs`); `docs/ERRORS.md` is made from them, and a test compares.

/// One bad input.
#[derive(Clone, Copy, Debug)]
pub struct BadInput {
    /// What is bad about it, in words.
    pub what: &'static str,
    /// The input, in a form that the list's test understands.
    pub input: &'static str,
    /// The documented code, the exit code, or the configuration key.
    pub code: &'static str,
    /// A part of what is said.
    pub text: &'static str,
}

impl BadInput {
    /// One line of a list.
    pub const fn new(
        what: &'static str,
        input: &'static str,
        code: &'static str,
        text: &'static str,
    ) -> Self {
        Self {
            what,
            input,
            code,
            text,
        }
    }
}
