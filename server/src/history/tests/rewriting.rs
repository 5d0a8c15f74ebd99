//! What becomes of a history whose file cannot be rewritten.

use std::time::{Duration, Instant};

use crate::history::erase::EraseWhat;
use crate::history::limits::TICK_MS;
use crate::history::schema;
use crate::history::tests::{EVERY_MS, Rig, ana};

/// Rewriting takes as much room again as the file, so there may be none for it where rows still find some.
#[test]
fn a_file_that_cannot_be_rewritten_holds_nothing_up_and_is_tried_again_less_and_less_often() {
    let mut rig = Rig::new();
    rig.start(1, "ana");
    rig.start(2, "ben");
    rig.point(1, 0);
    rig.round();
    let reader = rusqlite::Connection::open(schema::file(rig.folder())).unwrap();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM point")
        .unwrap();
    let report = rig.erase(EraseWhat::User(ana()));
    assert!(!report.scrubbed);
    let (mut failures, mut last_tried) = (rig.metric("history_failures"), Instant::now());
    let (mut tries, mut rounds) = (0, 0);
    while tries < 2 {
        rig.point(2, EVERY_MS);
        rounds += 1;
        rig.sync();
        let wait = rig.worker.as_mut().unwrap().round();
        assert_eq!(wait, Duration::from_millis(TICK_MS), "it goes on as ever");
        assert_eq!(rig.counters().len(), rounds, "each round keeps what is new");
        if rig.metric("history_failures") > failures {
            (failures, tries) = (rig.metric("history_failures"), tries + 1);
            last_tried = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    reader.execute_batch("ROLLBACK").unwrap();
    rig.round();
    assert_eq!(rig.metric("history_scrub_due"), 1, "not at once");
    while rig.metric("history_scrub_due") == 1 {
        rig.round();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        last_tried.elapsed() > Duration::from_millis(TICK_MS * 3 / 2),
        "the second pause is longer"
    );
    assert_eq!(rig.metric("history_failures"), failures);
}
