//! A small file system in memory under a folder, to be filled up to the last byte. Needs the right to mount.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::skip;

/// A mounted file system, unmounted with its value.
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Puts one of so many MiB under a folder that is there, with what is in it. `None`: this machine does
    /// not let us, and that is said.
    pub fn under(what: &str, folder: &Path, mib: u64) -> Option<Self> {
        let aside = folder.with_extension("aside");
        fs::rename(folder, &aside).expect("the folder is ours");
        fs::create_dir(folder).expect("a folder in its place");
        let size = format!("size={mib}m,mode=700");
        let mounted = run("mount", &["-t", "tmpfs", "-o", &size, "skein-test"], folder);
        let disk = mounted.then(|| Self {
            folder: folder.to_owned(),
        });
        let from = aside.join(".").display().to_string();
        assert!(run("cp", &["-a", &from], folder), "its files are copied");
        if disk.is_none() {
            skip::say(what, "a small file system cannot be mounted; needs root");
        }
        disk
    }

    /// Takes every byte that is left.
    pub fn fill(&self) {
        let mut filler = OpenOptions::new();
        let filler = filler.create(true).append(true).open(self.filler());
        let mut filler = filler.expect("a file takes no space");
        for bytes in [1 << 16, 1 << 12, 1] {
            while filler.write_all(&vec![1; bytes]).is_ok() {}
        }
    }

    /// Gives it back.
    pub fn empty(&self) {
        fs::remove_file(self.filler()).expect("the filler is there");
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l"], &self.folder);
    }
}

fn run(program: &str, arguments: &[&str], last: &Path) -> bool {
    let mut command = Command::new(program);
    let output = command.args(arguments).arg(last).output();
    output.is_ok_and(|output| output.status.success())
}
