//! What a server that dies must not leave behind: positions and tokens of its memory in a core file, or
//! in what a panic says.

use std::any::Any;
use std::panic::{self, PanicHookInfo};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// What stands in the place of words that may hold what users sent.
const WITHHELD: &str = "its words are withheld, they may hold positions; `dev` mode shows them";

/// Sees to it, for the whole process. In dev mode panics say all they know, and debuggers may look.
pub fn leave_none(dev: bool) {
    no_core_file();
    if !dev {
        no_core_dump();
        panic::set_hook(Box::new(|info| eprintln!("{}", said(info))));
    }
}

fn no_core_file() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core files cannot be turned off; set `ulimit -c 0`");
    }
}

/// Where a program collects cores it does so whatever the limit says, but not of such a process. Nor may
/// others of the same user look into its memory. What is mapped needs no `MADV_DONTDUMP` then.
fn no_core_dump() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "core dumps cannot be turned off");
    }
}

/// Thread and place of a panic, and its words where they are the program's own. Those that were put
/// together at run time may hold values.
fn said(info: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let place = info
        .location()
        .map_or("nowhere".into(), ToString::to_string);
    format!(
        "thread {thread} panicked at {place}: {}",
        words(info.payload())
    )
}

fn words(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().unwrap_or(&WITHHELD)
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use crate::app::traces::{WITHHELD, words};

    #[test]
    fn a_panic_says_its_own_words_and_no_values() {
        let said = |code: fn()| words(&*catch_unwind(code).expect_err("it panics"));
        assert_eq!(said(|| panic!("no such row")), "no such row");
        let with_value = || {
            let lat = std::hint::black_box(45.27);
            assert!(lat < 0.0, "not a place: {lat}");
        };
        assert_eq!(said(with_value), WITHHELD);
        let unwrapped = || {
            let place: Result<(), f64> = std::hint::black_box(Err(45.27));
            place.expect("a place");
        };
        assert_eq!(said(unwrapped), WITHHELD);
        assert!(!said(unwrapped).contains("45"));
    }
}
