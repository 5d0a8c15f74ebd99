//! A readable file of named values and their bytes, compared or rewritten.
//!
//! ```text
//! == name
//! ; the value, one or more lines
//! 05 0d 88 …
//! ```

#![allow(
    clippy::disallowed_methods,
    reason = "tests of a crate without I/O still read their files and their switch"
)]
#![allow(
    dead_code,
    reason = "each test file uses the part that it needs of this module"
)]

use std::fmt::Write;
use std::path::PathBuf;

/// The switch that rewrites golden files and generated tables.
pub const BLESS: &str = "SKEIN_BLESS";

/// Whether golden files and tables are to be rewritten.
pub fn blessing() -> bool {
    std::env::var(BLESS).is_ok_and(|value| value == "1")
}

/// The place of a golden file.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// Compares `text` with a file, or rewrites it when [`blessing`].
pub fn compare(path: &std::path::Path, text: &str) {
    if blessing() {
        std::fs::write(path, text).expect("the file can be written");
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        there == text,
        "{} differs at line {}; if that is meant, run with {BLESS}=1",
        path.display(),
        1 + there
            .lines()
            .zip(text.lines())
            .take_while(|(a, b)| a == b)
            .count()
    );
}

/// One golden file and what it should hold.
pub struct GoldenFile {
    path: PathBuf,
    text: String,
}

impl GoldenFile {
    /// Of the folder `golden`.
    pub fn open(name: &str) -> Self {
        Self {
            path: path(name),
            text: String::new(),
        }
    }

    /// Adds a sample.
    pub fn check(&mut self, name: &str, value: &str, bytes: &[u8]) {
        writeln!(self.text, "== {name}").expect("memory");
        for line in value.lines() {
            writeln!(self.text, "; {line}").expect("memory");
        }
        for line in bytes.chunks(16) {
            let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(self.text, "{}", hex.join(" ")).expect("memory");
        }
        self.text.push('\n');
    }

    /// Compares the whole file.
    pub fn close(self) {
        compare(&self.path, &self.text);
    }
}
