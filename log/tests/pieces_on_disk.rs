//! What the kernel is told of a mapped file: single pages are asked for one by one, large pieces in
//! the largest pages it has, and a file may change from one to the other and back.

mod common;

use std::fs;
use std::path::Path;

use common::skip;
use skein_log::{CachePieces, DiskStorage, Storage};

const FILE_BYTES: usize = 8 << 20;

/// Flags of the mapping of a file, see `proc(5)`: `rr` reads nothing around, `hg` wants large pages.
fn flags(path: &Path) -> Vec<String> {
    let maps = fs::read_to_string("/proc/self/smaps").expect("a kernel that tells");
    let path = path.to_str().expect("a plain name");
    let mut lines = maps.lines().skip_while(|line| !line.ends_with(path));
    let line = lines.find_map(|line| line.strip_prefix("VmFlags: "));
    let flags = line.expect("the file is mapped").split_whitespace();
    flags.map(str::to_owned).collect()
}

#[test]
fn the_kernel_is_told_in_what_pieces_a_file_is_best_held() {
    if !Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
        skip::say("pieces of a file", "this kernel has no large pages");
        return;
    }
    // The folder of the build: one for temporary files may be memory.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let storage = DiskStorage::new(directory.path()).expect("a directory");
    let file = storage.create("a.seg", FILE_BYTES, FILE_BYTES - 4096);
    let file = file.expect("a file");
    let path = directory.path().join("a.seg");
    let has = |flag: &str| flags(&path).iter().any(|it| it == flag);
    let (one_by_one, large) = (|| has("rr"), || has("hg"));

    assert!(one_by_one() && !large(), "{:?}", flags(&path));
    file.handle.populate(0..4 << 20, CachePieces::Pages);
    assert!(one_by_one() && !large(), "{:?}", flags(&path));
    file.handle.populate(4 << 20..8 << 20, CachePieces::Large);
    assert!(one_by_one() && large(), "{:?}", flags(&path));
    file.handle.populate(0..4096, CachePieces::Pages);
    assert!(one_by_one() && !large(), "{:?}", flags(&path));
}
