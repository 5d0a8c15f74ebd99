//! A small file system fills up under a running log, a tmpfs of 8 MiB or an ext4 in a file: no
//! SIGBUS, no lost follower, and back to files when there is space again. Needs the right to mount; says so loudly where it has none.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{append_many, drain, options};
use skein_log::{Log, Options, PartitionId, WriterBackend};

const P: PartitionId = PartitionId(0);

/// Bytes that are taken away from an ext4 until there has to be space again.
const BALLAST_BYTES: usize = 24 << 20;

/// A mounted file system, unmounted on drop.
struct SmallDisk {
    mount: PathBuf,
    /// Takes space; there is none on a tmpfs, which is made larger instead.
    ballast: Option<PathBuf>,
    _directory: tempfile::TempDir,
}

impl SmallDisk {
    fn tmpfs() -> Option<SmallDisk> {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mount = directory.path().to_owned();
        let arguments = ["-t", "tmpfs", "-o", "size=8m", "skein-test"];
        run("mount", &arguments, &mount).then_some(SmallDisk {
            mount,
            ballast: None,
            _directory: directory,
        })
    }

    fn ext4() -> Option<SmallDisk> {
        let directory = tempfile::tempdir().expect("temporary directory");
        let (image, mount) = (
            directory.path().join("image"),
            directory.path().join("mount"),
        );
        fs::create_dir(&mount).expect("make the folder");
        let file = fs::File::create(&image).expect("make the image");
        file.set_len(40 << 20).expect("make it long");
        if !run("mkfs.ext4", &["-q", "-F", "-m", "0"], &image) {
            return None;
        }
        let image = image.to_str().expect("UTF-8").to_owned();
        if !run("mount", &["-o", "loop", &image], &mount) {
            return None;
        }
        let ballast = mount.join("ballast");
        fs::write(&ballast, vec![1; BALLAST_BYTES]).expect("fill most of it");
        Some(SmallDisk {
            mount,
            ballast: Some(ballast),
            _directory: directory,
        })
    }

    fn make_space(&self) {
        match &self.ballast {
            Some(ballast) => fs::remove_file(ballast).expect("remove the ballast"),
            None => assert!(run("mount", &["-o", "remount,size=32m"], &self.mount)),
        }
    }
}

fn run(program: &str, arguments: &[&str], last: &Path) -> bool {
    let mut command = Command::new(program);
    let output = command.args(arguments).arg(last).output();
    output.is_ok_and(|output| output.status.success())
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l"], &self.mount);
    }
}

/// One after the other: a process that is started holds every lock of this one for a moment.
#[test]
fn a_full_file_system_never_kills_and_heals_by_itself() {
    for backend in [WriterBackend::Mapped, WriterBackend::Pwrite] {
        for (name, disk) in [("tmpfs", SmallDisk::tmpfs()), ("ext4", SmallDisk::ext4())] {
            match disk {
                Some(disk) => fills_up(&disk, backend),
                None => eprintln!("SKIPPED: can't make and mount a small {name} here (needs root)"),
            }
        }
    }
}

fn fills_up(disk: &SmallDisk, backend: WriterBackend) {
    let path = disk.mount.join("log");
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
    // More than fits.
    for _ in 0..2_400 {
        append_many(&mut writer, 10, 1_000);
        now += 100;
        janitor.work(now);
        followed += drain(&mut reader).0.len() as u64;
    }
    assert!(writer.degraded(), "the disk is full");
    assert_eq!(followed, writer.appended(), "followers see everything");
    let durable = writer.durable();
    assert!(durable > 0 && durable < writer.appended());

    disk.make_space();
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
