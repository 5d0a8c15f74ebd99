//! What a person sees at a terminal: output that may be closed, names that are safe to print, the table of a
//! watched chat with its points opened.

pub mod key_file;
pub mod out;
pub mod who_text;

pub mod unsealing;

pub mod watch_table;
