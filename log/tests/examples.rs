//! Whoever looks up a public type finds an example that runs, or is told whose example shows it.

use std::fs;
use std::path::Path;

/// Types without an example of their own, and the one whose example has their name.
const SHOWN_BY: &[(&str, &str)] = &[("PartitionId", "Log")];

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
            let mut text: Vec<&str> = text.copied().collect();
            text.reverse();
            return text.join("\n");
        }
    }
    panic!("{name} is exported and defined nowhere");
}

/// The blocks of code in a documentation that are run, with their lines in the order of the text.
fn example(documentation: &str) -> String {
    let lines = documentation
        .lines()
        .map(|line| line.trim_start_matches('/'));
    let (mut runs, mut fenced, mut code) = (false, false, String::new());
    for line in lines.map(str::trim) {
        if let Some(mode) = line.strip_prefix("```") {
            fenced = !fenced;
            runs = fenced && mode.is_empty();
        } else if runs {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

/// Whether a text has this name as a word of its own.
fn names_word(text: &str, name: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|word| word == name)
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
        let example = example(&documentation(&sources, name));
        let shown_by = SHOWN_BY.iter().find(|(shown, _)| shown == name);
        match shown_by {
            Some((_, by)) => {
                let other = self::example(&documentation(&sources, by));
                assert!(names_word(&other, name), "{by}'s example has no {name}");
                assert!(example.is_empty(), "{name} has an example of its own");
            }
            None => assert!(!example.is_empty(), "{name} has no example that runs"),
        }
    }
}
