//! Requests as they were measured, and the figures over them. The live and the simulated world use the same.
//!
//! Times are microseconds on a clock of the one who measures; nothing here reads a clock.

mod sample;
mod series;
mod settled;
mod totals;

pub use sample::{RequestFailure, RequestOutcome, RequestPhases, RequestSample};
pub use series::{RequestNumber, RequestSeries, RequestUse, UNMEASURED};
