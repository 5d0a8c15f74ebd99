//! Whoever looks up a public type finds an example that runs, or is told whose example shows it.

use std::fs;
use std::path::Path;

/// Types without an example of their own, and the one that shows them.
const SHOWN_BY: &[(&str, &str)] = &[
    ("AppendError", "ReadError"),
    ("CloseError", "Log"),
    ("ConsumerError", "Consumer"),
    ("InspectError", "Inspector"),
    ("MetaError", "OpenError"),
    ("OptionsError", "Options"),
    ("RewriteError", "Rewriter"),
    ("SyncError", "Operation"),
    ("TruncateError", "OpenError"),
    ("DirectoryStat", "Inspector"),
    ("PartitionStat", "Inspector"),
    ("SegmentStat", "Inspector"),
    ("Offset", "Record"),
    ("PartitionId", "Log"),
    ("RecordRef", "FileBatch"),
    ("Records", "FileBatch"),
    ("Run", "Runs"),
    ("PartitionReport", "RecoveryReport"),
    ("RewriteReport", "Rewriter"),
    ("DirectoryEntry", "Storage"),
    ("FileHandle", "Storage"),
    ("LockError", "Storage"),
    ("StoredFile", "Storage"),
];

/// The public types of the crate's root.
fn exported(root: &str) -> Vec<String> {
    let mut names = Vec::new();
    for export in root.split("pub use crate::").skip(1) {
        let list = export.split(';').next().unwrap_or_default();
        let list = list.split_once("::").map_or("", |(_, names)| names);
        let words = list.trim_matches(['{', '}']).split(',').map(str::trim);
        let is_type =
            |word: &&str| word.starts_with(char::is_uppercase) && word.contains(char::is_lowercase);
        names.extend(words.filter(is_type).map(str::to_owned));
    }
    names
}

/// The documentation in front of a type's definition.
fn documentation(sources: &[String], name: &str) -> String {
    for source in sources {
        let lines: Vec<&str> = source.lines().collect();
        let defines = |line: &&str| {
            let rest = ["pub struct ", "pub enum ", "pub trait ", "pub type "]
                .iter()
                .find_map(|word| line.strip_prefix(word));
            rest.is_some_and(|rest| {
                rest.strip_prefix(name)
                    .is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric()))
            })
        };
        if let Some(place) = lines.iter().position(defines) {
            let before = lines[..place].iter().rev();
            let text = before.take_while(|line| !line.is_empty() && **line != "}");
            return text.copied().collect::<Vec<_>>().join("\n");
        }
    }
    panic!("{name} is exported and defined nowhere");
}

#[test]
fn every_public_type_has_an_example_or_is_shown_by_another() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: &Path| fs::read_to_string(path).expect("readable");
    let names = exported(&read(&folder.join("lib.rs")));
    assert!(names.len() > 40, "{names:?}");
    let files = fs::read_dir(&folder).expect("listed").flatten();
    let sources: Vec<String> = files
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .map(|path| read(&path))
        .collect();
    for name in &names {
        let has_example = |name: &str| documentation(&sources, name).contains("```");
        let shown_by = SHOWN_BY.iter().find(|(shown, _)| shown == name);
        match shown_by {
            Some((_, by)) => {
                assert!(has_example(by), "{name} is said to be shown by {by}");
                assert!(!has_example(name), "{name} has an example of its own");
            }
            None => assert!(has_example(name), "{name} has no example"),
        }
    }
}
