//! The tree checks itself: what the compiler and clippy cannot see, but a reader would trip over.
//!
//! Module docs, leftovers, file length, import directions between crates and files, where
//! `unsafe` may stand, versions in one place, documents whose links lead somewhere. Each rule
//! names every place that breaks it, so that one run is enough to mend them all.

mod documents;
mod imports;
mod manifests;
mod tree;

use crate::tree::{SourceFile, Tree};

/// Lines of a Rust file. One main type per file stays far below it; above it a file has two jobs.
const FILE_LINES_MAX: usize = 800;

/// The only files that may say `unsafe`: the mapped segments, the one call that starts their
/// write-back, the ring, `sendmmsg` and the reuseport filter of the server, the mapped file that floors of benches write into, and the
/// counting allocators of tests that show that a path allocates nothing.
const UNSAFE_FILES: &[&str] = &[
    "log/src/mapping.rs",
    "log/src/storage_disk.rs",
    "server/src/edge/quic_sendmmsg.rs",
    "server/src/edge/send_ring.rs",
    "server/src/edge/steering.rs",
    "bench/floors/mapped_file.rs",
    "engine/tests/allocations.rs",
    "engine/tests/geofence_allocations.rs",
    "log/tests/no_allocation.rs",
    "server/tests/no_allocation.rs",
];

/// Marks that say "not finished". Split, so that this file does not hold them itself.
const LEFTOVERS: &[&str] = &[
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    // With a reason it says where the test does run.
    concat!("#[ig", "nore]"),
];

/// Fails with every breach on a line of its own.
fn report(rule: &str, breaches: &[String]) {
    assert!(
        breaches.is_empty(),
        "{rule}:\n  {}\n",
        breaches.join("\n  ")
    );
}

/// Collects one breach per file for which `find` has something to say.
fn each_file(tree: &Tree, find: impl Fn(&SourceFile) -> Option<String>) -> Vec<String> {
    tree.rust_files()
        .filter_map(|file| find(file).map(|what| format!("{}: {what}", file.path)))
        .collect()
}

#[test]
fn every_file_says_what_it_is() {
    let breaches = each_file(&Tree::read(), |file| {
        let first = file.text.lines().find(|line| !line.trim().is_empty());
        // A crate may open with its README instead.
        let opens =
            |line: &str| line.starts_with("//!") || line.starts_with("#![doc = include_str!");
        let documented = first.is_some_and(opens);
        (!documented).then(|| "does not open with `//!`: what it is and why".to_owned())
    });
    report(
        "every Rust file opens with its module documentation",
        &breaches,
    );
}

#[test]
fn nothing_unfinished_is_left() {
    let breaches = each_file(&Tree::read(), |file| {
        let found = file.lines_with(|line| LEFTOVERS.iter().any(|mark| line.contains(mark)));
        (!found.is_empty()).then(|| format!("a leftover on line {found:?}"))
    });
    report("finish it, or leave it out", &breaches);
}

/// What a test prints by itself is swallowed when it passes, and a variable turns the skips of one place
/// into failures.
#[test]
fn what_is_skipped_is_said_in_one_place() {
    let mark = concat!("SKIPPED", ":");
    let is_said = |line: &str| {
        let mut places = line.match_indices(mark);
        places.any(|(at, _)| !line[..at].ends_with('_'))
    };
    let breaches = each_file(&Tree::read(), |file| {
        let found = file.lines_with(is_said);
        let elsewhere = !found.is_empty() && file.path != "tests/src/skip.rs";
        elsewhere.then(|| format!("a skip of its own on line {found:?}"))
    });
    report("say so with `skip::say` of tests/src/skip.rs", &breaches);
}

#[test]
fn no_file_has_two_jobs() {
    let breaches = each_file(&Tree::read(), |file| {
        let lines = file.text.lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{lines} lines"))
    });
    report(
        &format!("a file has at most {FILE_LINES_MAX} lines; give each role a file"),
        &breaches,
    );
}

#[test]
fn unsafe_stands_in_few_places() {
    let breaches = each_file(&Tree::read(), |file| {
        if UNSAFE_FILES.contains(&file.path.as_str()) {
            return None;
        }
        let found = file.code().lines_with(tree::says_unsafe);
        (!found.is_empty()).then(|| format!("`unsafe` on line {found:?}"))
    });
    report(
        &format!("`unsafe` is allowed in {UNSAFE_FILES:?} only"),
        &breaches,
    );
}

#[test]
fn crates_import_downwards_only() {
    report(
        "the floor plan: wire <- engine, client; log alone; server joins; bench and tests import all",
        &manifests::directions(&Tree::read()),
    );
}

#[test]
fn no_two_files_import_each_other() {
    let tree = Tree::read();
    let breaches: Vec<String> = manifests::CRATES
        .iter()
        .flat_map(|name| imports::circles(&tree, &format!("{name}/src")))
        .collect();
    report(
        "files of a crate import in one direction; what two share becomes a third below both",
        &breaches,
    );
}

#[test]
fn versions_stand_in_one_place() {
    report(
        "versions and lints are stated in the root Cargo.toml only",
        &manifests::versions(&Tree::read()),
    );
}

#[test]
fn cargo_run_means_the_server() {
    report(
        "the first command of the README runs `skein`",
        &manifests::default_runs(&Tree::read()),
    );
}

#[test]
fn every_dependency_is_argued() {
    report(
        "docs/DEPENDENCIES.md has one row for each [workspace.dependencies], and no other",
        &manifests::unargued(&Tree::read()),
    );
}

#[test]
fn links_lead_somewhere() {
    report(
        "links in documents name files and headings that exist",
        &documents::dead_links(&Tree::read()),
    );
}

#[test]
fn names_of_files_are_those_of_the_tree() {
    report(
        "files that documents name in code spans exist",
        &documents::dead_names(&Tree::read()),
    );
}

#[test]
fn the_text_speaks_of_the_project_only() {
    report(
        "no paths of one machine in the tree",
        &documents::machine_paths(&Tree::read()),
    );
}
