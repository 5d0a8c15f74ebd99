//! The `skein` binary.

#![deny(clippy::print_stdout)]

use std::process::ExitCode;

fn main() -> ExitCode {
    skein_server::cli::main()
}
