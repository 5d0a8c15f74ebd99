//! One suite over every storage: what the log relies on holds for each of them.

use std::io::ErrorKind;
use std::sync::Arc;

use skein_log::{CachePieces, DiskStorage, LockError, MemoryStorage, Storage};

const BYTES: usize = 64 << 10;

fn each(check: impl Fn(Arc<dyn Storage>)) {
    check(MemoryStorage::new());
    let directory = tempfile::tempdir().expect("temporary directory");
    check(DiskStorage::new(directory.path().join("log")).expect("disk storage"));
}

#[test]
fn small_files_come_back_whole_and_are_replaced_by_rename() {
    each(|storage| {
        storage.write("a", b"one").expect("write");
        storage.write("a", b"second").expect("overwrite");
        storage.write("b.tmp", b"three").expect("write");
        storage.rename("b.tmp", "a").expect("rename over");
        storage.sync_directory().expect("sync directory");
        assert_eq!(storage.read("a", 5).expect("read"), b"three");
        assert_eq!(
            storage.read("a", 4).expect_err("too long").kind(),
            ErrorKind::InvalidData
        );
        assert_eq!(
            storage.read("b.tmp", 9).expect_err("gone").kind(),
            ErrorKind::NotFound
        );
        let names: Vec<_> = storage
            .list()
            .expect("list")
            .into_iter()
            .map(|e| e.name)
            .collect();
        assert_eq!(names, ["a"]);
    });
}

#[test]
fn a_created_file_has_its_length_and_is_never_made_twice() {
    each(|storage| {
        let file = storage.create("x", BYTES, BYTES - 1024).expect("create");
        assert_eq!(file.mapping.len(), BYTES);
        for pieces in [CachePieces::Pages, CachePieces::Large] {
            file.handle.populate(0..BYTES, pieces);
        }
        file.handle.write_back(0..BYTES);
        file.handle.zero(4096..BYTES).expect("zero");
        file.handle.sync().expect("sync");
        let error = storage
            .create("x", BYTES, BYTES - 1024)
            .expect_err("exists");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(storage.list().expect("list")[0].bytes, BYTES as u64);
        let error = storage
            .open("x", 2 * BYTES, BYTES)
            .expect_err("shorter than asked for");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(
            storage.open("y", BYTES, BYTES).expect_err("none").kind(),
            ErrorKind::NotFound
        );
    });
}

#[test]
fn a_mapping_outlives_the_name_of_its_file() {
    each(|storage| {
        let file = storage.create("x", BYTES, BYTES - 1024).expect("create");
        storage.remove("x").expect("remove");
        assert_eq!(
            storage.remove("x").expect_err("gone").kind(),
            ErrorKind::NotFound
        );
        file.handle.sync().expect("sync without a name");
        assert_eq!(file.mapping.len(), BYTES);
        storage
            .create("x", BYTES, BYTES - 1024)
            .expect("the name is free");
    });
}

#[test]
fn a_directory_has_one_owner_at_a_time() {
    each(|storage| {
        storage.lock().expect("first");
        if !storage.describe().contains("memory") {
            let other = DiskStorage::new(storage.describe()).expect("same directory");
            assert!(matches!(other.lock(), Err(LockError::Held(_))));
        } else {
            assert!(matches!(storage.lock(), Err(LockError::Held(_))));
        }
        storage.unlock();
        storage.lock().expect("again");
    });
}

#[test]
fn names_that_were_not_synced_may_or_may_not_survive_and_renames_are_whole() {
    let (mut with, mut without) = (0, 0);
    for seed in 0..200 {
        let storage = MemoryStorage::new();
        storage.write("old", b"1").expect("write");
        storage.sync_directory().expect("sync");
        storage.write("new", b"2").expect("write");
        storage.rename("new", "old").expect("rename");
        let after = storage.crash(seed);
        let content = after.read("old", 9).expect("one of both is there");
        assert!(content == b"1" || content == b"2");
        if content == b"2" {
            with += 1
        } else {
            without += 1
        }
    }
    assert!(with > 20, "{with} of 200 survived");
    assert!(without > 20, "{without} of 200 did not");
}
