//! The documents: links that lead somewhere, and no traces of one machine.

use std::path::{Component, Path, PathBuf};

use crate::tree::{SourceFile, Tree};

/// Beginnings of paths that exist on one machine only. Split, so that this file passes.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
];

/// Links to files or headings that are not there.
pub fn dead_links(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for page in tree.with_extension(".md") {
        for link in links(&page.text) {
            let elsewhere = link.contains("://") || link.starts_with("mailto:");
            if !elsewhere && !leads_somewhere(tree, page, link) {
                breaches.push(format!("{}: {link}", page.path));
            }
        }
    }
    breaches
}

/// Top folders, as the names of files in code spans begin.
const FOLDERS: &[&str] = &[
    "wire/", "log/", "engine/", "server/", "client/", "bench/", "tests/", "docs/",
];

/// What such a name ends with; others are folders, patterns, or files of a data directory.
const EXTENSIONS: &[&str] = &["rs", "md", "py", "sh", "toml"];

/// Names of files of the tree in code spans that are not there.
pub fn dead_names(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for page in tree.with_extension(".md") {
        for name in prose(&page.text).flat_map(code_spans) {
            if names_file(name) && !tree.root.join(name).exists() {
                breaches.push(format!("{}: {name}", page.path));
            }
        }
    }
    breaches
}

fn names_file(span: &str) -> bool {
    let is_pattern = span.contains(['{', '*', ' ', '…']);
    let extension = Path::new(span).extension().and_then(|it| it.to_str());
    !is_pattern
        && FOLDERS.iter().any(|folder| span.starts_with(folder))
        && extension.is_some_and(|it| EXTENSIONS.contains(&it))
}

/// What stands between single backquotes.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn leads_somewhere(tree: &Tree, page: &SourceFile, link: &str) -> bool {
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
    let target = if path.is_empty() {
        PathBuf::from(&page.path)
    } else {
        flatten(&folder.join(path))
    };
    if !tree.root.join(&target).exists() {
        return false;
    }
    let text = tree.file(&target.to_string_lossy());
    heading.is_empty() || text.is_some_and(|file| headings(&file.text).any(|h| h == heading))
}

/// Takes `..` and `.` out of a relative path.
fn flatten(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

/// The lines outside fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence && !line.starts_with("    ")
    })
}

/// Targets of inline links, outside code.
fn links(text: &str) -> impl Iterator<Item = &str> {
    prose(text).flat_map(|line| {
        line.match_indices("](").filter_map(|(at, _)| {
            let in_code = line[..at].matches('`').count() % 2 == 1;
            let rest = &line[at + 2..];
            let target = rest.split([')', ' ']).next();
            target.filter(|_| !in_code)
        })
    })
}

/// The names by which headings are linked.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
}

/// Files that name a place of one machine.
pub fn machine_paths(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in tree.all().filter(|file| file.path != "Cargo.lock") {
        let lines = file.lines_with(|line| MACHINE_PATHS.iter().any(|p| names_path(line, p)));
        if !lines.is_empty() {
            breaches.push(format!("{}: line {lines:?}", file.path));
        }
    }
    breaches
}

/// Whether the line has this path at the beginning of a word.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "./~-_}".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::{code_spans, headings, links, names_file, names_path};

    #[test]
    fn links_and_headings_are_read() {
        let text = "see [a](x.md) and `[b](y)`\n```\n[c](z)\n```\n## The *big* plan: now\n";
        assert_eq!(links(text).collect::<Vec<_>>(), ["x.md"]);
        assert_eq!(headings(text).collect::<Vec<_>>(), ["the-big-plan-now"]);
    }

    #[test]
    fn names_of_files_are_told_from_other_code() {
        let line = "see `log/src/lib.rs`, `log/clean`, `log/src/{a,b}.rs` and `cargo x`";
        let files: Vec<&str> = code_spans(line).filter(|span| names_file(span)).collect();
        assert_eq!(files, ["log/src/lib.rs"]);
    }

    #[test]
    fn a_path_of_a_machine_is_told_from_ours() {
        let path = concat!("/wo", "rk/");
        assert!(names_path(&format!("cd {path}main"), path));
        assert!(!names_path(&format!("target{path}x"), path));
    }
}
