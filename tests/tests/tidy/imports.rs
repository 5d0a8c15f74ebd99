//! Which file of a crate imports which, and whether that goes round in a circle, between files or between folders.
//!
//! Reads `crate::`, `self::` and `super::` paths, in `use` trees and in place. A `mod` line is
//! no import: a parent may list its children. Test modules may import what they like.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{SourceFile, Tree, strip};

/// Edges by path.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Describes each circle between the files below `folder`, and between the folders that they lie in.
pub fn circles(tree: &Tree, folder: &str) -> Vec<String> {
    let files = file_graph(tree, folder);
    let folders = folder_graph(&files);
    [files, folders]
        .iter()
        .flat_map(find_circles)
        .map(|circle| format!("{folder}: {}", circle.join(" -> ")))
        .collect()
}

/// Which file imports which.
fn file_graph(tree: &Tree, folder: &str) -> Graph {
    let inside = format!("{folder}/");
    let files: Vec<&SourceFile> = tree
        .rust_files()
        .filter(|file| file.path.starts_with(&inside))
        .collect();
    let names: BTreeSet<&str> = files.iter().map(|f| &f.path[inside.len()..]).collect();
    let mut graph = Graph::new();
    for file in &files {
        let name = &file.path[inside.len()..];
        let targets = imports(&file.text, &module_of(name))
            .iter()
            .filter_map(|path| resolve(path, &names))
            .filter(|target| target != name)
            .collect();
        graph.insert(name.to_owned(), targets);
    }
    graph
}

/// The same for the folders right below the root; a file there is one with the folder of its name.
fn folder_graph(files: &Graph) -> Graph {
    let mut graph = Graph::new();
    for (file, targets) in files {
        let folder = folder_of(file);
        let others = targets.iter().map(|target| folder_of(target));
        let imported = graph.entry(folder.to_owned()).or_default();
        imported.extend(others.filter(|other| *other != folder).map(str::to_owned));
    }
    graph
}

/// `a` of `a/b.rs`, and of `a.rs`.
fn folder_of(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or(file);
    first.trim_end_matches(".rs")
}

/// The module path of a file: `a/b.rs` and `a/b/mod.rs` are `[a, b]`, a root is `[]`.
fn module_of(name: &str) -> Vec<String> {
    let stem = name.trim_end_matches(".rs");
    let mut parts: Vec<String> = stem.split('/').map(str::to_owned).collect();
    let last = parts.last().map(String::as_str);
    if last == Some("mod") || (parts.len() == 1 && matches!(last, Some("lib" | "main"))) {
        parts.pop();
    }
    parts
}

/// The file that holds a path: the longest beginning of it that is a module, or the root.
fn resolve(path: &[String], names: &BTreeSet<&str>) -> Option<String> {
    for length in (1..=path.len()).rev() {
        let module = path[..length].join("/");
        for name in [format!("{module}.rs"), format!("{module}/mod.rs")] {
            if names.contains(name.as_str()) {
                return Some(name);
            }
        }
    }
    names.contains("lib.rs").then(|| "lib.rs".to_owned())
}

/// Every path into the own crate that the text of module `own` uses, as segments from the root.
fn imports(text: &str, own: &[String]) -> Vec<Vec<String>> {
    let code = without_tests(&strip(text));
    let tokens = tokenize(&code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let separated = tokens.get(at + 1).is_some_and(|t| t == "::");
        // The tail of a longer path, or `pub(crate)`, is not the beginning of one.
        let begins = at == 0 || tokens[at - 1] != "::";
        let base = match tokens[at].as_str() {
            "crate" => Some(Vec::new()),
            "self" => Some(own.to_vec()),
            "super" => Some(own[..own.len().saturating_sub(1)].to_vec()),
            _ => None,
        };
        match base {
            Some(base) if separated && begins => {
                at = read_tree(&tokens, at + 2, base, &mut found);
            }
            _ => at += 1,
        }
    }
    found
}

/// Reads `a::{b, c::d}` from `at` under `base` and returns where it ends.
fn read_tree(
    tokens: &[String],
    mut at: usize,
    mut base: Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|t| t != "}") {
                    let before = at;
                    at = read_tree(tokens, at, base.clone(), found);
                    if tokens.get(at).is_some_and(|t| t == ",") || at == before {
                        at += 1;
                    }
                }
                return at + 1;
            }
            Some("super") => {
                base.pop();
            }
            Some("self" | "*") => {}
            Some(word) if is_word(word) => base.push(word.to_owned()),
            _ => {
                found.push(base);
                return at;
            }
        }
        at += 1;
        if tokens.get(at).is_some_and(|t| t == "::") {
            at += 1;
            continue;
        }
        found.push(base);
        // A renamed import: `a as b`.
        if tokens.get(at).is_some_and(|t| t == "as") {
            at += 2;
        }
        return at;
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Words, `::` and single other characters.
fn tokenize(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut token = c.to_string();
        if is_word(&token) {
            while let Some(more) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                token.push(more);
            }
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            token.push(':');
        }
        tokens.push(token);
    }
    tokens
}

/// Cuts test-only items out: from `#[cfg(test)]` to the end of the block that follows.
fn without_tests(code: &str) -> String {
    let mark = "#[cfg(test)]";
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(mark) {
        out.push_str(&rest[..at]);
        rest = &rest[at + mark.len()..];
        rest = &rest[item_end(rest)..];
    }
    out + rest
}

/// Where an item ends: at its `;`, or at the brace that closes its block.
fn item_end(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// One circle for each file that can reach itself and is the first of its circle by name.
fn find_circles(graph: &Graph) -> Vec<Vec<String>> {
    graph
        .keys()
        .filter_map(|start| way_back(graph, start))
        .filter(|circle| circle.iter().all(|name| *name >= circle[0]))
        .collect()
}

/// The shortest way from a file back to itself.
fn way_back(graph: &Graph, start: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.to_owned()]];
    let mut seen = BTreeSet::new();
    let mut next = 0;
    while next < ways.len() {
        let way = ways[next].clone();
        next += 1;
        for target in graph.get(&way[way.len() - 1]).into_iter().flatten() {
            if target == start {
                return Some([way, vec![start.to_owned()]].concat());
            }
            if seen.insert(target) {
                ways.push([way.clone(), vec![target.clone()]].concat());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Graph, find_circles, folder_graph, imports, module_of, resolve};

    fn paths(text: &str) -> Vec<String> {
        let own = ["a".to_owned(), "b".to_owned()];
        imports(text, &own).iter().map(|p| p.join("::")).collect()
    }

    #[test]
    fn paths_are_read_wherever_they_stand() {
        let cases: &[(&str, &[&str])] = &[
            ("use crate::segment::Segment;", &["segment::Segment"]),
            (
                "use crate::{x::{Y, z::W as V}, q::*};",
                &["x::Y", "x::z::W", "q"],
            ),
            (
                "use super::c::D; use self::e::F;",
                &["a::c::D", "a::b::e::F"],
            ),
            ("fn f() { crate::limits::check(1) }", &["limits::check"]),
            ("pub(crate) fn f() {} // crate::x::Y", &[]),
            ("use std::fmt; use $crate::x;", &["x"]),
            (
                "#[cfg(test)]\nmod tests { use crate::x::Y; fn f() {} }\nuse crate::z::W;",
                &["z::W"],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(paths(text), *expected, "{text}");
        }
    }

    #[test]
    fn a_path_is_found_in_its_file() {
        let names = ["lib.rs", "a.rs", "a/b.rs", "c/mod.rs"]
            .into_iter()
            .collect();
        let cases = [
            ("a::b::X", "a/b.rs"),
            ("a::X", "a.rs"),
            ("c::X", "c/mod.rs"),
            ("X", "lib.rs"),
        ];
        for (path, file) in cases {
            let path: Vec<String> = path.split("::").map(str::to_owned).collect();
            assert_eq!(resolve(&path, &names).as_deref(), Some(file));
        }
        assert_eq!(module_of("a/b.rs"), ["a", "b"]);
        assert_eq!(module_of("c/mod.rs"), ["c"]);
        assert!(module_of("lib.rs").is_empty());
    }

    #[test]
    fn a_circle_is_found_and_a_line_is_not() {
        let graph = |edges: &[(&str, &str)]| {
            let mut graph = Graph::new();
            for (from, to) in edges {
                let targets = graph.entry((*from).to_owned()).or_default();
                targets.insert((*to).to_owned());
            }
            graph
        };
        assert!(find_circles(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
        let found = find_circles(&graph(&[("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")]));
        assert_eq!(found, [["a", "b", "c", "a"]]);

        let files = graph(&[
            ("a/1.rs", "b/1.rs"),
            ("b/2.rs", "a.rs"),
            ("a/1.rs", "a/2.rs"),
        ]);
        assert!(find_circles(&files).is_empty(), "no file reaches itself");
        let folders = find_circles(&folder_graph(&files));
        assert_eq!(folders, [["a", "b", "a"]], "but a folder does");
    }
}
