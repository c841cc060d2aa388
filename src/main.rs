//! The gonogo binary: all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    gonogo::cli::main(std::env::args_os())
}
