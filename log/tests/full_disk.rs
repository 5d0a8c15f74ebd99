//! A small file system fills up under a running log, a tmpfs of 8 MiB or an ext4 in a file: no
//! SIGBUS, no lost follower. Where nothing may go, the log runs in memory, and is back on files when
//! there is space again; where checkpoints let old segments go, it goes on in their files for as
//! long as it likes. Needs the right to mount; says so loudly where it has none.

mod common;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{append_many, drain, options, payload, skip};
use rustix::fs::statvfs;
use skein_log::{Janitor, JanitorThread, Log, Options, PartitionId, WriterBackend};

const P: PartitionId = PartitionId(0);

/// Bytes that are taken away from an ext4 until there has to be space again.
const BALLAST_BYTES: usize = 24 << 20;

/// Bytes that the log leaves free where it recycles.
const RESERVE_BYTES: u64 = 1 << 20;

/// Bytes of each segment where the log recycles.
const SEGMENT_BYTES: u64 = 512 << 10;

/// What goes through the small disk where it recycles, in its own sizes.
const ROUNDS_OF_THE_DISK: u64 = 3;

/// How long the janitor may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(20);

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

/// A small disk of each kind under each backend, one after the other, also between tests: a process
/// that is started holds every lock of this one for a moment.
fn on_small_disks(run: impl Fn(&SmallDisk, WriterBackend)) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for backend in [WriterBackend::Mapped, WriterBackend::Pwrite] {
        for (name, disk) in [("tmpfs", SmallDisk::tmpfs()), ("ext4", SmallDisk::ext4())] {
            match disk {
                Some(disk) => run(&disk, backend),
                None => skip::say(
                    &format!("a full {name}"),
                    "it can't be made and mounted; needs root",
                ),
            }
        }
    }
}

#[test]
fn a_full_file_system_never_kills_and_heals_by_itself() {
    on_small_disks(fills_up);
}

#[test]
fn a_full_file_system_goes_round_in_its_files_where_checkpoints_let_old_ones_go() {
    on_small_disks(goes_round);
}

#[test]
fn a_start_on_a_disk_without_a_free_byte_takes_records() {
    on_small_disks(starts_full);
}

/// Takes every byte there is, until it is removed.
fn fill(disk: &SmallDisk) -> PathBuf {
    let path = disk.mount.join("filler");
    let mut file = fs::OpenOptions::new();
    let mut file = file.create(true).append(true).open(&path).expect("made");
    for bytes in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![1; bytes]).is_ok() && file.sync_all().is_ok() {}
    }
    path
}

fn starts_full(disk: &SmallDisk, backend: WriterBackend) {
    let path = disk.mount.join("log");
    let options = Options {
        segment_bytes_max: 1 << 20,
        writer: backend,
        ..options(2)
    };
    let fresh = PartitionId(1);
    let ballast = path.join("ballast");
    let open = |number| {
        let (log, _) = Log::open_dir(&path, options.clone(), 0, number).expect("open");
        log
    };
    let mut log = open(1);
    let mut writer = log.take_writer(P).expect("writer");
    append_many(&mut writer, 10, 1_000);
    writer.sync_now().expect("durable");
    drop((writer, log)); // As a kill: nothing is closed.
    assert!(ballast.exists());
    fill(disk);

    let mut log = open(2);
    let filler = fill(disk);
    let mut janitor = log.take_janitor().expect("janitor");
    let mut writers = [P, fresh].map(|it| log.take_writer(it).expect("writer"));
    for writer in &mut writers {
        append_many(writer, 10, 1_000);
        let (seen, gaps) = drain(&mut log.reader(writer.partition()));
        assert_eq!(seen.len() as u64, writer.appended(), "{gaps:?}");
    }
    assert!(!ballast.exists(), "it made the room");
    assert!(writers[1].degraded(), "there was no room for a segment");
    fs::remove_file(filler).expect("make space");
    janitor.work(100_000);
    append_many(&mut writers[1], 1, 1_000);
    assert!(!writers[1].degraded(), "back by itself");
    assert!(ballast.exists(), "for the next time");
    drop((writers, janitor, log));

    // Where not even that room is left it is said, and nothing is half done.
    fs::remove_file(&ballast).expect("removed");
    let filler = fill(disk);
    let mut log = open(3);
    fill(disk);
    let mut writer = log.take_writer(P).expect("writer");
    let refused = writer.append(0, &[skein_log::Record::default()]);
    assert!(refused.is_err(), "{refused:?}");
    assert!(writer.degraded());
    assert_eq!(log.stats().partitions_degraded, 1);
    fs::remove_file(filler).expect("make space");
    append_many(&mut writer, 1, 1_000);
    assert!(!writer.degraded());
    drop((writer, log));
    fs::remove_dir_all(&path).expect("removed");
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
    assert_eq!(writer.sync_now().expect("on a file"), writer.appended());
    let appended = writer.appended();
    drop((writer, janitor));
    log.close().expect("close");

    let (log, report) = Log::open_dir(&path, options, now, 2).expect("open");
    assert!(report.clean, "{report}");
    let (records, gaps) = drain(&mut log.reader(P));
    assert_eq!(gaps, [(durable + 1, back_at)], "the hole is explained");
    assert_eq!(records.last().expect("records").0, appended);
    drop(log);
    assert!(fs::read_dir(&path).expect("list").count() > 3);
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| time.as_millis() as u64)
}

fn bytes_free(disk: &SmallDisk) -> u64 {
    let stat = statvfs(&disk.mount).expect("a file system");
    stat.f_bavail * stat.f_frsize
}

/// A log with the janitor's real threads, whose owner writes checkpoints and asks before it appends.
struct Ours {
    log: Log,
    writer: skein_log::Writer,
    janitor: JanitorThread,
    lost: Arc<AtomicU64>,
}

impl Ours {
    fn open(path: &Path, options: Options) -> Ours {
        let (mut log, _) = Log::open_dir(path, options, now_ms(), 1).expect("open");
        let lost = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&lost);
        log.on_lost(Box::new(move |_, first, last| {
            told.fetch_add(last + 1 - first, Ordering::SeqCst);
        }));
        let writer = log.take_writer(P).expect("writer");
        let janitor: Janitor = log.take_janitor().expect("janitor");
        let janitor = JanitorThread::spawn(janitor, now_ms, |_| {}).expect("threads");
        Ours {
            log,
            writer,
            janitor,
            lost,
        }
    }

    /// One record, once the janitor has what it needs.
    fn append(&mut self, bytes: usize) {
        let stamp = self.writer.next_offset();
        let bytes = payload(stamp, bytes);
        let record = [skein_log::Record {
            payload: &bytes,
            ..skein_log::Record::default()
        }];
        let began = Instant::now();
        while !self.writer.is_ready_for(now_ms(), &record) {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.log.stats());
            thread::sleep(Duration::from_millis(1));
        }
        self.writer.append(now_ms(), &record).expect("append");
    }

    /// What has no file can't become durable, so waiting for that is waiting for ever.
    fn wait_until_durable(&self) {
        let began = Instant::now();
        while self.writer.durable() < self.writer.appended() {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.log.stats());
            assert!(!self.writer.degraded(), "{:?}", self.log.stats());
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn close(self) {
        drop(self.writer);
        drop(self.janitor.stop());
        self.log.close().expect("close");
    }
}

/// Several times what the disk holds goes through it: below the reserve retention is shortened to
/// what the checkpoint needs, and the oldest files become the next ones.
fn goes_round(disk: &SmallDisk, backend: WriterBackend) {
    let path = disk.mount.join("log");
    // Of one size, so that any of them can be the next one.
    let options = Options {
        segment_bytes_min: SEGMENT_BYTES,
        segment_bytes_max: SEGMENT_BYTES,
        disk_reserve_bytes: RESERVE_BYTES,
        writer: backend,
        ..options(1)
    };
    assert!(options.retention_needs_checkpoint);
    let records = ROUNDS_OF_THE_DISK * bytes_free(disk) / 1_000;
    let mut ours = Ours::open(&path, options.clone());
    let mut reader = ours.log.reader(P);
    let (mut followed, mut least_free) = (0, u64::MAX);
    while ours.writer.appended() < records {
        for _ in 0..150 {
            ours.append(1_000);
        }
        let begin = ours.writer.next_offset();
        ours.append(64);
        ours.writer.set_checkpoint(begin, begin);
        let (read, gaps) = drain(&mut reader);
        assert!(gaps.is_empty(), "a follower at the tail misses nothing");
        followed += read.len() as u64;
        ours.wait_until_durable();
        least_free = least_free.min(bytes_free(disk));
    }
    let (stats, appended) = (ours.log.stats(), ours.writer.appended());
    assert!(stats.spares_recycled > 3, "{backend:?}: {stats:?}");
    assert!(stats.segments_dropped >= stats.spares_recycled, "{stats:?}");
    assert_eq!(
        (stats.segments_in_memory, stats.partitions_degraded),
        (0, 0)
    );
    assert_eq!(ours.lost.load(Ordering::SeqCst), 0, "nothing is lost");
    assert_eq!(followed, appended, "followers see everything");
    // The small files take a little of it for a moment.
    assert!(least_free > RESERVE_BYTES / 2, "{least_free} bytes left");
    let begin = ours.writer.checkpoint().expect("durable");
    ours.close();

    let (log, report) = Log::open_dir(&path, options, now_ms(), 2).expect("open");
    assert!(report.clean && !report.is_corrupt(), "{report}");
    let mut reader = log.reader(P);
    reader.set_verify(true);
    assert!(reader.first_offset() <= begin);
    reader.seek(reader.first_offset());
    let (records, gaps) = drain(&mut reader);
    assert!(gaps.is_empty(), "{gaps:?}");
    assert_eq!(records.last().expect("records").0, appended);
    for (offset, bytes) in records {
        assert_eq!(bytes, payload(offset, bytes.len()), "offset {offset}");
    }
}
