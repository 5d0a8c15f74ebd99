//! Where the binaries are that the tests run.
//!
//! `cargo test --workspace` builds them; a narrower command does not, and would test old ones.
//! So each is built here, aloud, when it is missing or older than the sources.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Crates that `skein` is made of.
const PARTS: &[&str] = &["wire", "log", "engine", "client", "server"];

/// Crates that `skein-load` is made of.
const LOAD_PARTS: &[&str] = &["wire", "log", "engine", "client", "server", "bench/load"];

/// A program, the crate that has it, and those that it is made of.
struct Program {
    name: &'static str,
    package: &'static str,
    parts: &'static [&'static str],
}

/// The binary under test: `SKEIN_BIN`, or the one of this build.
pub fn skein() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| match env::var_os("SKEIN_BIN") {
        Some(path) => PathBuf::from(path),
        None => current(&Program {
            name: "skein",
            package: "skein-server",
            parts: PARTS,
        }),
    })
}

/// The load generator of this build.
pub fn skein_load() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        current(&Program {
            name: "skein-load",
            package: "skein-load",
            parts: LOAD_PARTS,
        })
    })
}

/// Whether the tests, and so the binary beside them, were built without optimisation checks
/// being meaningful: figures of such a build say nothing.
pub fn is_debug() -> bool {
    !folder().ends_with("release") && env::var_os("SKEIN_BIN").is_none()
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a folder of the repository")
}

/// The target directory's folder of this profile: tests lie in `deps` below it.
fn folder() -> PathBuf {
    let own = env::current_exe().expect("the path of the running test");
    let folder = own.parent().expect("a file lies in a folder");
    let deps = folder.ends_with("deps");
    let up = if deps { folder.parent() } else { Some(folder) };
    up.expect("the profile's folder").to_owned()
}

/// The target directory.
pub fn target() -> PathBuf {
    let folder = folder();
    folder.parent().expect("the target directory").to_owned()
}

fn current(program: &Program) -> PathBuf {
    let path = folder().join(program.name);
    let built = fs::metadata(&path).and_then(|meta| meta.modified());
    match built {
        Ok(built) if built >= newest_source(program.parts) => {}
        Ok(_) => build(program, "is older than the sources"),
        Err(_) => build(program, "is not built"),
    }
    assert!(path.exists(), "{} is still missing", path.display());
    path
}

fn build(program: &Program, why: &str) {
    let Program { name, package, .. } = program;
    eprintln!("!! the binary `{name}` {why}: building it now");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    // The folder is TARGET/PROFILE; this is how a test in another target directory stays there.
    cargo.env("CARGO_TARGET_DIR", target());
    cargo.args(["build", "-p", package, "--bin", name]);
    if !is_debug() {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "the binary `{name}` does not build");
}

fn newest_source(parts: &[&str]) -> SystemTime {
    let mut newest = SystemTime::UNIX_EPOCH;
    for part in parts {
        note(&root().join(part).join("src"), &mut newest);
    }
    newest
}

fn note(path: &Path, newest: &mut SystemTime) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a readable folder").flatten() {
            note(&entry.path(), newest);
        }
    } else if let Ok(changed) = fs::metadata(path).and_then(|meta| meta.modified()) {
        *newest = changed.max(*newest);
    }
}
