//! What a panic says in production: in a process of its own, because the hook is the whole process's.

use std::hint::black_box;
use std::process::Command;

use skein_server::app::traces;

/// Says to the process of the test that it is the one that panics.
const DEV: &str = "SKEIN_TEST_PANIC_DEV";

const LAT: &str = "45.267136";

/// Not a test: what the test runs.
#[test]
fn panics_with_a_place_in_its_words() {
    let Ok(dev) = std::env::var(DEV) else {
        return;
    };
    traces::leave_none(dev == "true");
    let lat: f64 = black_box(LAT).parse().unwrap();
    assert!(lat < 0.0, "not a place: {lat}");
}

fn said(dev: bool) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "panics_with_a_place_in_its_words", "--nocapture"])
        .env(DEV, dev.to_string())
        .output()
        .unwrap();
    assert!(!output.status.success(), "it panics");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_panic_in_production_says_no_place() {
    let said = said(false);
    assert!(said.contains("panicked at"), "{said}");
    assert!(said.contains("panics.rs"), "{said}");
    assert!(!said.contains("45.2"), "{said}");
}

#[test]
fn a_panic_in_dev_mode_says_all() {
    let said = said(true);
    assert!(said.contains(LAT), "{said}");
}
