//! Programs in Python: clients and judges that share no line with what they look at.
//!
//! Packages that they need are installed once into an environment of their own below the target
//! directory, in the versions that `tests/python/NAME.txt` names. What is missing is said aloud.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::binary;
use crate::skip;

/// Seconds that one connection to the package index may take, and how often it is tried again.
const INDEX: [&str; 4] = ["--timeout", "15", "--retries", "1"];

/// A file or folder of `tests/python`.
pub fn file(name: &str) -> PathBuf {
    binary::root().join("tests/python").join(name)
}

/// Whether there is a Python 3; says so if not.
pub fn is_there(what: &str) -> bool {
    let version = Command::new("python3").arg("--version").output();
    let found = version.is_ok_and(|output| output.status.success());
    if !found {
        skip::say(what, "there is no python3");
    }
    found
}

/// A command that runs the system's interpreter, which leaves nothing beside what it runs.
pub fn command() -> Command {
    quiet(Command::new("python3"))
}

/// No compiled code beside the sources: tests write into the target directory only.
fn quiet(mut python: Command) -> Command {
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// An environment with the packages of `tests/python/NAME.txt`.
pub struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// Finds it, or makes it. `None` where there is no Python or no package index: `what` is then
    /// said to be skipped.
    pub fn find(name: &str, what: &str) -> Option<Self> {
        if !is_there(what) {
            return None;
        }
        match Self::prepare(name) {
            Ok(environment) => Some(environment),
            Err(error) => {
                skip::say(what, &format!("its packages cannot be had: {error}"));
                None
            }
        }
    }

    /// A command that runs its interpreter.
    pub fn python(&self) -> Command {
        quiet(Command::new(self.folder.join("bin/python")))
    }

    /// Where files that belong to it may lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Downloads the source of one package into a folder, without what it needs.
    ///
    /// # Errors
    /// What the installer says last.
    pub fn download_source(&self, package: &str, into: &Path) -> io::Result<()> {
        let mut command = self.python();
        command.args(["-m", "pip", "download", "--quiet", "--no-deps"]);
        command.args(["--no-binary", ":all:", "--dest"]).arg(into);
        command.args(INDEX).arg(package);
        run(command).map(|_| ())
    }

    fn prepare(name: &str) -> io::Result<Self> {
        let wanted = fs::read_to_string(file(&format!("{name}.txt")))?;
        let parent = binary::target().join("python");
        fs::create_dir_all(&parent)?;
        // Tests run side by side, and in several processes.
        let lock = File::create(parent.join(format!("{name}.lock")))?;
        lock.lock()?;
        let environment = Self {
            folder: parent.join(name),
        };
        let mark = environment.folder.join("complete");
        if fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
            return Ok(environment);
        }
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"])
            .arg(&environment.folder);
        run(make)?;
        let mut install = environment.python();
        install.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        install.args(INDEX).arg("--requirement");
        install.arg(file(&format!("{name}.txt")));
        run(install)?;
        fs::write(mark, wanted)?;
        Ok(environment)
    }
}

/// Runs a command to its end.
fn run(mut command: Command) -> io::Result<Output> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    Err(io::Error::other(
        last.unwrap_or("no reason given").to_owned(),
    ))
}
