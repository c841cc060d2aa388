//! The gonogo binary.

use std::process::ExitCode;

use gonogo::lab::{LabOptions, supervisor};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let served = match (arguments.next().as_deref(), arguments.next()) {
        (Some("lab-serve"), Some(options)) => LabOptions::from_argument(&options).and_then(supervisor::serve),
        _ => return ExitCode::from(2),
    };
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
