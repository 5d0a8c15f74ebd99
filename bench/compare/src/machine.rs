//! Where and what was measured: a figure without it says nothing.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};
use skein_bench::pin;

use crate::peer::{peers_folder, program};

/// A machine, as far as it decides how fast things are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Version of the kernel.
    pub kernel: String,
    /// Memory, GiB.
    pub memory_gib: u64,
    /// What the peers' programs say of their versions.
    #[serde(default)]
    pub programs: Vec<String>,
}

/// The peers' programs, and how each is asked for its version.
const PROGRAMS: [(&str, &str); 5] = [
    ("redis-server", "--version"),
    ("nats-server", "--version"),
    ("mosquitto", "-h"),
    ("centrifugo", "version"),
    ("java", "-version"),
];

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let kib = value_of(&memory, "MemTotal").and_then(|text| {
            let kib = text.strip_suffix(" kB")?;
            kib.parse::<u64>().ok()
        });
        Self {
            cpu: value_of(&cpus, "model name")
                .unwrap_or("unknown")
                .to_owned(),
            cores: pin::cores().len(),
            kernel: kernel.trim().to_owned(),
            memory_gib: (kib.unwrap_or_default() + (1 << 19)) >> 20,
            programs: PROGRAMS
                .iter()
                .filter_map(|(name, ask)| version(name, ask))
                .collect(),
        }
    }
}

/// The first line of what a program says of itself; `None`: it is not installed.
fn version(name: &str, ask: &str) -> Option<String> {
    let program = program(name).unwrap_or_else(|| peers_folder().join(name).join(name));
    let output = Command::new(program).arg(ask).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    let line = String::from_utf8_lossy(&said)
        .lines()
        .next()?
        .trim()
        .to_owned();
    // What a table's cell cannot hold does not occur in a version.
    Some(line.replace('|', " "))
}

/// The value of the first line `key : value`.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::value_of;

    #[test]
    fn values_are_found_by_their_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU: fast\nMemTotal:  3 kB\n";
        assert_eq!(value_of(text, "model name"), Some("Some CPU: fast"));
        assert_eq!(value_of(text, "MemTotal"), Some("3 kB"));
        assert_eq!(value_of(text, "none"), None);
    }
}
