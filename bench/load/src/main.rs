//! Drives a server with senders and viewers, and checks what the viewers get.

use std::process::ExitCode;

fn main() -> ExitCode {
    skein_load::cli::main()
}
