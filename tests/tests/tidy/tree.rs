//! The files of the repository as text, read once per check.
//!
//! Walks the directory instead of asking git, so that an unpacked archive is checked too.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold nothing of ours.
const FOREIGN: &[&str] = &["target", "node_modules", "proptest-regressions"];

/// One file: its path relative to the root, with `/`, and its text.
pub struct SourceFile {
    /// Relative to the root.
    pub path: String,
    /// Everything in it.
    pub text: String,
}

impl SourceFile {
    /// Numbers of the lines, from 1, for which `matches` says yes.
    pub fn lines_with(&self, matches: impl Fn(&str) -> bool) -> Vec<usize> {
        let numbered = self.text.lines().enumerate();
        numbered
            .filter(|(_, line)| matches(line))
            .map(|(index, _)| index + 1)
            .collect()
    }

    /// The same file without comments and string literals; lines keep their numbers.
    pub fn code(&self) -> SourceFile {
        SourceFile {
            path: self.path.clone(),
            text: strip(&self.text),
        }
    }
}

/// All text files below the root.
pub struct Tree {
    /// Where it lies.
    pub root: PathBuf,
    files: Vec<SourceFile>,
}

impl Tree {
    /// Reads the repository that this test was built from.
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the tests are a folder of the repository")
            .to_owned();
        let mut files = Vec::new();
        walk(&root, &root, &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        assert!(files.len() > 20, "read only {} files", files.len());
        Self { root, files }
    }

    /// The Rust files.
    pub fn rust_files(&self) -> impl Iterator<Item = &SourceFile> {
        self.with_extension(".rs")
    }

    /// The files whose name ends so.
    pub fn with_extension<'a>(&'a self, end: &'a str) -> impl Iterator<Item = &'a SourceFile> {
        self.files
            .iter()
            .filter(move |file| file.path.ends_with(end))
    }

    /// Every file.
    pub fn all(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter()
    }

    /// One file by its path.
    pub fn file(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<SourceFile>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hidden = name.starts_with('.') && name != ".ci";
        if hidden || FOREIGN.contains(&name.as_ref()) {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, files);
        } else if let Ok(text) = fs::read_to_string(&path) {
            // What is not UTF-8 (fixtures, pictures) has no lines to check.
            let relative = path.strip_prefix(root).expect("walked from the root");
            files.push(SourceFile {
                path: relative.to_string_lossy().into_owned(),
                text,
            });
        }
    }
}

/// Whether a line of code (comments and strings taken out) uses the keyword.
pub fn says_unsafe(line: &str) -> bool {
    let word = concat!("un", "safe");
    let boundary = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        boundary(line[..at].chars().next_back()) && boundary(line[at + word.len()..].chars().next())
    })
}

/// Takes comments and literals out, newlines stay. Knows nested block comments, raw strings,
/// character literals and lifetimes: enough for code that rustfmt has been over.
pub fn strip(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let next = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => line_end(&chars, at),
            ('/', Some('*')) => block_end(&chars, at),
            ('"', _) => string_end(&chars, at + 1),
            ('r', Some('"' | '#')) if !joined(&chars, at) => match raw_end(&chars, at + 1) {
                Some(end) => end,
                None => at,
            },
            ('\'', _) => char_end(&chars, at),
            _ => at,
        };
        if next == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..next].iter().filter(|c| **c == '\n'));
            at = next;
        }
    }
    out
}

/// Whether the character before makes this one part of a longer word.
fn joined(chars: &[char], at: usize) -> bool {
    // `br"…"` is a raw string too.
    let before = at.checked_sub(1).map(|i| chars[i]);
    before.is_some_and(|c| (c.is_alphanumeric() || c == '_') && c != 'b')
}

fn line_end(chars: &[char], at: usize) -> usize {
    let rest = chars[at..].iter().position(|c| *c == '\n');
    rest.map_or(chars.len(), |n| at + n)
}

fn block_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of a raw string whose hashes or quote begin at `at`; `None` for a raw identifier.
fn raw_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    let mut quote = at + hashes;
    if chars.get(quote) != Some(&'"') {
        return None;
    }
    loop {
        quote += 1 + chars[quote + 1..].iter().position(|c| *c == '"')?;
        let closed = chars[quote + 1..]
            .iter()
            .take(hashes)
            .filter(|c| **c == '#')
            .count();
        if closed == hashes {
            return Some(quote + 1 + hashes);
        }
    }
}

/// The end of a character literal, or `at` for a lifetime.
fn char_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => {
            // Past the escaped character, which may be a quote itself.
            let close = chars.iter().skip(at + 3).position(|c| *c == '\'');
            close.map_or(chars.len(), |n| at + 3 + n + 1)
        }
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::{says_unsafe, strip};

    #[test]
    fn literals_and_comments_are_taken_out() {
        let cases = [
            ("a // b\nc", "a \nc"),
            ("a /* b /* c */\n d */ e", "a \n e"),
            (r#"f("x\"y") + 1"#, "f() + 1"),
            ("r#\"a\"b\"# + r#type", " + r#type"),
            (r"['\'', '\\', 'x', '\u{1F}'] &'a str", "[, , , ] &'a str"),
            ("br\"x\" for\"y\"", "b for"),
        ];
        for (input, expected) in cases {
            assert_eq!(strip(input), expected, "{input}");
        }
    }

    #[test]
    fn the_keyword_is_told_from_longer_words() {
        let keyword = concat!("un", "safe");
        assert!(says_unsafe(&format!("{keyword} {{ x }}")));
        assert!(says_unsafe(&format!("pub {keyword} fn")));
        assert!(!says_unsafe(&format!("deny({keyword}_op_in_{keyword}_fn)")));
    }
}
