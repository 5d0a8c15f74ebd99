//! The `skein` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    skein_server::cli::main()
}
