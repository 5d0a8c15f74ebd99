//! What the manifests say: who depends on whom, and that versions stand in one place.

use std::collections::BTreeSet;

use crate::tree::Tree;

/// The members of the workspace, ground floor first.
pub const CRATES: &[&str] = &[
    "wire",
    "log",
    "engine",
    "client",
    "server",
    "bench/load",
    "bench",
    "bench/compare",
    "tests",
];

/// What each crate may depend on of ours.
const ALLOWED: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("log", &[]),
    ("engine", &["skein-wire"]),
    ("client", &["skein-wire"]),
    (
        "server",
        &["skein-wire", "skein-log", "skein-engine", "skein-client"],
    ),
    (
        "bench",
        &[
            "skein-wire",
            "skein-log",
            "skein-engine",
            "skein-client",
            "skein-server",
            // The client's side of a WebSocket, which both bench with.
            "skein-load",
        ],
    ),
    (
        "bench/load",
        &["skein-wire", "skein-client", "skein-server"],
    ),
    (
        "bench/compare",
        &["skein-wire", "skein-server", "skein-bench", "skein-load"],
    ),
    (
        "tests",
        &[
            "skein-wire",
            "skein-log",
            "skein-engine",
            "skein-client",
            "skein-server",
        ],
    ),
];

/// A line of a dependency table: its name and what is said about it.
struct Dependency<'a> {
    name: &'a str,
    says: &'a str,
}

/// The lines of all tables whose name ends in `dependencies`.
fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if inside && !line.starts_with('#') {
            // `bytes.workspace = true` names `bytes`; so does `bytes = { workspace = true }`.
            if let Some(end) = line.find(['.', ' ', '=']) {
                let (name, says) = line.split_at(end);
                found.push(Dependency { name, says });
            }
        }
    }
    found
}

/// Where a crate depends on one that it must not know.
pub fn directions(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for (name, allowed) in ALLOWED {
        let manifest = manifest(tree, name);
        for dependency in dependencies(manifest) {
            let ours = dependency.name.starts_with("skein-");
            if ours && !allowed.contains(&dependency.name) {
                breaches.push(format!("{name} depends on {}", dependency.name));
            }
        }
    }
    breaches
}

/// Where a member states a version, or leaves the common lints out.
pub fn versions(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for name in CRATES {
        let manifest = manifest(tree, name);
        for key in ["version", "edition", "rust-version", "license"] {
            if !manifest.contains(&format!("\n{key}.workspace = true")) {
                breaches.push(format!("{name}/Cargo.toml: {key} is not the workspace's"));
            }
        }
        if !manifest.contains("[lints]\nworkspace = true") {
            breaches.push(format!("{name}/Cargo.toml: the common lints are left out"));
        }
        for dependency in dependencies(manifest) {
            let common = dependency.says.starts_with(".workspace")
                || dependency.says.replace(' ', "").contains("workspace=true");
            if !common {
                breaches.push(format!(
                    "{name}/Cargo.toml: {} does not say `workspace = true`",
                    dependency.name
                ));
            }
        }
    }
    breaches
}

/// Where `cargo run` at the root would not mean `skein`, as the first command of the README does:
/// cargo refuses to choose between the programs of several members unless exactly one says so.
pub fn default_runs(tree: &Tree) -> Vec<String> {
    let wanted = |name: &str| match name {
        "server" => Some("default-run = \"skein\""),
        _ => None,
    };
    let said = |name| {
        let mut lines = manifest(tree, name).lines();
        lines.find(|line| line.starts_with("default-run"))
    };
    CRATES
        .iter()
        .filter(|name| said(name) != wanted(name))
        .map(|name| format!("{name}/Cargo.toml: default-run is {:?}", said(name)))
        .collect()
}

/// Dependencies without a row in the document, and rows without a dependency.
pub fn unargued(tree: &Tree) -> Vec<String> {
    let root = &tree.file("Cargo.toml").expect("the root manifest").text;
    let used: BTreeSet<&str> = dependencies(root)
        .iter()
        .map(|dependency| dependency.name)
        .filter(|name| !name.starts_with("skein-"))
        .collect();
    let page = tree.file("docs/DEPENDENCIES.md");
    let page = &page.expect("docs/DEPENDENCIES.md").text;
    let argued: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let missing = used
        .difference(&argued)
        .map(|name| format!("{name}: has no row"));
    let left = argued
        .difference(&used)
        .map(|name| format!("{name}: is no dependency"));
    missing.chain(left).collect()
}

fn manifest<'a>(tree: &'a Tree, name: &str) -> &'a str {
    let path = format!("{name}/Cargo.toml");
    &tree
        .file(&path)
        .unwrap_or_else(|| panic!("{path} is missing"))
        .text
}

#[cfg(test)]
mod tests {
    use super::dependencies;

    #[test]
    fn tables_of_all_kinds_are_read() {
        let manifest = "[dependencies]\na.workspace = true\n# b = \"1\"\n[dev-dependencies]\n\
                        c = { version = \"1\" }\n[lints]\nworkspace = true\n";
        let found = dependencies(manifest);
        let names: Vec<&str> = found.iter().map(|d| d.name).collect();
        assert_eq!(names, ["a", "c"]);
        assert!(found[0].says.starts_with(".workspace"));
        assert!(!found[1].says.contains("workspace"));
    }
}
