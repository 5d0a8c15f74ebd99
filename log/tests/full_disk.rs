//! A file system of 8 MiB fills up under a running log: no SIGBUS, no lost follower, and back to
//! files when there is space again. Needs the right to mount; says so loudly where it has none.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{append_many, drain, options};
use skein_log::{Log, Options, PartitionId, WriterBackend};

const P: PartitionId = PartitionId(0);

/// A mounted tmpfs, unmounted on drop.
struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "skein-test"])
            .arg(directory.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(SmallDisk { directory }),
            _ => None,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.directory.path())
            .status();
    }
}

/// One after the other: a process that `mount` is started from holds every lock for a moment.
#[test]
fn a_full_file_system_never_kills_and_heals_by_itself() {
    fills_up(WriterBackend::Mapped);
    fills_up(WriterBackend::Pwrite);
}

fn fills_up(backend: WriterBackend) {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: can't mount a tmpfs here (needs root)");
        return;
    };
    let path = disk.path().join("log");
    let options = Options {
        segment_bytes_max: 1 << 20,
        writer: backend,
        ..options(1)
    };
    let (mut log, _) = Log::open_dir(&path, options.clone(), 0, 1).expect("open");
    let mut writer = log.take_writer(P).expect("writer");
    let mut janitor = log.take_janitor().expect("janitor");
    let mut reader = log.reader(P);
    let mut followed = 0;
    let mut now = 0;
    // Twice what fits.
    for _ in 0..1_600 {
        append_many(&mut writer, 10, 1_000);
        now += 100;
        janitor.work(now);
        followed += drain(&mut reader).0.len() as u64;
    }
    assert!(writer.degraded(), "the disk is full");
    assert_eq!(followed, writer.appended(), "followers see everything");
    let durable = writer.durable();
    assert!(durable > 0 && durable < writer.appended());

    let remounted = Command::new("mount")
        .args(["-o", "remount,size=32m"])
        .arg(disk.path())
        .status();
    assert!(remounted.expect("mount").success());
    now += 10_000;
    janitor.work(now);
    let back_at = writer.next_offset();
    append_many(&mut writer, 10, 1_000);
    assert!(!writer.degraded(), "back by itself");
    assert_eq!(writer.sync_now(now).expect("on a file"), writer.appended());
    let appended = writer.appended();
    drop((writer, janitor));
    log.close(now).expect("close");

    let (log, report) = Log::open_dir(&path, options, now, 2).expect("open");
    assert!(report.clean, "{report}");
    let (records, gaps) = drain(&mut log.reader(P));
    assert_eq!(gaps, [(durable + 1, back_at)], "the hole is explained");
    assert_eq!(records.last().expect("records").0, appended);
    drop(log);
    assert!(fs::read_dir(&path).expect("list").count() > 3);
}
