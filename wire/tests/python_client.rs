//! A client written from `docs/PROTOCOL.md` alone, in another language, reads our golden frames
//! and sees what a viewer should see: the page is complete.
//!
//! The story is in `golden/watch.txt`, what it should print in `golden/watch.jsonl`. Needs
//! `python3` (3.10 or later); without it the test says so and checks nothing.

mod golden_file;
#[path = "../../tests/src/skip.rs"]
mod skip;

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

#[test]
fn a_client_written_from_the_page_sees_the_story() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/skein_watch.py");
    let output = Command::new("python3")
        .arg("-B") // nothing is written beside the sources
        .arg(script)
        .args(["--chat", "geese", "--self-test"])
        .arg(golden_file::path("watch.txt"))
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip::say("the Python client", "there is no python3");
            return;
        }
        output => output.expect("python3 starts"),
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let printed = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    golden_file::compare(&golden_file::path("watch.jsonl"), &printed);
}
