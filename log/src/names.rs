//! Names of the files in a data directory. One flat directory, so that one directory sync covers
//! every file made, renamed or removed before it.

use crate::position::{Offset, PartitionId};

/// Identity of the directory: log id, partitions, version.
pub(crate) const IDENTITY: &str = "skein-log";

/// There while, and only while, everything is durable and nobody writes.
pub(crate) const CLEAN_MARK: &str = "clean";

/// How far quiet partitions are durable.
pub(crate) const DURABLE_MARKS: &str = "durable";

/// Holds space back for small files.
pub(crate) const BALLAST: &str = "ballast";

/// Prefix of the file with the places of a consumer.
const CONSUMER_PREFIX: &str = "consumer-";

/// Suffix of a small file that is being written.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// What a file of the directory is, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Identity,
    CleanMark,
    DurableMarks,
    Ballast,
    Consumer(String),
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

pub(crate) fn consumer(name: &str) -> String {
    format!("{CONSUMER_PREFIX}{name}")
}

/// Bytes that the name of a consumer may have.
pub(crate) fn is_consumer_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
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
    if name == BALLAST {
        return FileKind::Ballast;
    }
    if let Some(consumer) = name.strip_prefix(CONSUMER_PREFIX)
        && !consumer.is_empty()
        && consumer.bytes().all(is_consumer_byte)
    {
        return FileKind::Consumer(consumer.to_owned());
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
        assert_eq!(kind(DURABLE_MARKS), FileKind::DurableMarks);
        assert_eq!(kind(BALLAST), FileKind::Ballast);
        assert_eq!(kind(&consumer("a-1")), FileKind::Consumer("a-1".into()));
        assert_eq!(kind("consumer-a.tmp"), FileKind::Temporary);
        for foreign in [
            "consumer-",
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
