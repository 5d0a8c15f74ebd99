//! Which source was measured: a figure without it says nothing.

use std::process::Command;

/// The commit that is checked out, with a `+` if files differ from it; empty outside a repository.
pub fn commit() -> String {
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return String::new();
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    match changed.is_some_and(|text| !text.is_empty()) {
        true => format!("{commit}+"),
        false => commit,
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let folder = env!("CARGO_MANIFEST_DIR");
    let mut git = Command::new("git");
    let output = git.arg("-C").arg(folder).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
