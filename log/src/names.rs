//! Names of the files in a data directory. One flat directory, so that one directory sync covers
//! every file made, renamed or removed before it.

use crate::position::{Offset, PartitionId};

/// Identity of the directory: log id, partitions, version.
pub(crate) const IDENTITY: &str = "skein-log";

/// There while, and only while, everything is durable and nobody writes.
pub(crate) const CLEAN_MARK: &str = "clean";

/// How far quiet partitions are durable.
pub(crate) const DURABLE_MARKS: &str = "durable";

/// Suffix of a small file that is being written.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// What a file of the directory is, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Identity,
    CleanMark,
    DurableMarks,
    State(PartitionId),
    Segment(PartitionId, Offset),
    /// Prepared; may be in use already if the process ended before it was renamed.
    Spare,
    /// A segment rebuilt from a damaged one, not in place yet.
    Salvage(PartitionId, Offset),
    /// Damaged; kept for people.
    Quarantine,
    Temporary,
    Foreign,
}

pub(crate) fn segment(partition: PartitionId, base: Offset) -> String {
    format!("p{:05}-{base:020}.seg", partition.0)
}

pub(crate) fn salvage(partition: PartitionId, base: Offset) -> String {
    format!("p{:05}-{base:020}.salvage", partition.0)
}

pub(crate) fn spare(number: u64) -> String {
    format!("spare-{number:016x}.seg")
}

pub(crate) fn state(partition: PartitionId) -> String {
    format!("p{:05}.state", partition.0)
}

pub(crate) fn quarantine(name: &str, number: u64) -> String {
    format!("{name}.{number:08x}.quarantine")
}

/// What a name says.
pub(crate) fn kind(name: &str) -> FileKind {
    if name == IDENTITY {
        return FileKind::Identity;
    }
    if name == CLEAN_MARK {
        return FileKind::CleanMark;
    }
    if name == DURABLE_MARKS {
        return FileKind::DurableMarks;
    }
    if name.ends_with(".quarantine") {
        return FileKind::Quarantine;
    }
    if name.ends_with(TEMPORARY_SUFFIX) {
        return FileKind::Temporary;
    }
    if name.starts_with("spare-") && name.ends_with(".seg") {
        return FileKind::Spare;
    }
    partition_file(name).unwrap_or(FileKind::Foreign)
}

fn partition_file(name: &str) -> Option<FileKind> {
    let rest = name.strip_prefix('p')?;
    let (number, rest) = (rest.get(..5)?, rest.get(5..)?);
    let partition = PartitionId(digits(number)?.try_into().ok()?);
    if rest == ".state" {
        return Some(FileKind::State(partition));
    }
    let (base, suffix) = rest.strip_prefix('-')?.split_once('.')?;
    let base = if base.len() == 20 {
        digits(base)?
    } else {
        return None;
    };
    match suffix {
        "seg" => Some(FileKind::Segment(partition, base)),
        "salvage" => Some(FileKind::Salvage(partition, base)),
        _ => None,
    }
}

fn digits(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_are() {
        let partition = PartitionId(7);
        assert_eq!(
            kind(&segment(partition, 42)),
            FileKind::Segment(partition, 42)
        );
        assert_eq!(
            kind(&salvage(partition, 42)),
            FileKind::Salvage(partition, 42)
        );
        assert_eq!(kind(&state(partition)), FileKind::State(partition));
        assert_eq!(kind(&spare(3)), FileKind::Spare);
        assert_eq!(
            kind(&quarantine(&segment(partition, 1), 2)),
            FileKind::Quarantine
        );
        assert_eq!(kind("skein-log"), FileKind::Identity);
        for foreign in [
            "notes.txt",
            "p0001.state",
            "p00001-1.seg",
            "pä0001.state",
            "p99999.state",
        ] {
            assert_eq!(kind(foreign), FileKind::Foreign, "{foreign}");
        }
    }
}
