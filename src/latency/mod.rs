//! Latency: what was measured, and whether it is as good as a baseline that was recorded before.
//!
//! [`LatencySamples`] are the requests of one kind on one side over one stretch of time. [`judge`](judge::judge) holds
//! two of them against each other and answers PASS, FAIL or INCONCLUSIVE. A [`BaselineFile`] keeps recordings of them,
//! and [`BaselineWatch`] holds what a probe measures against one. Nothing here measures, reads a file or a clock, or draws
//! chance of its own: whoever judges the same samples again gets the same answer.

#![deny(clippy::disallowed_macros, clippy::disallowed_methods, clippy::disallowed_types)] // see clippy.toml

pub mod file;
pub mod judge;
pub mod samples;
pub mod watch;

pub use file::{BaselineError, BaselineFile, BaselineRecording, BaselineRequest, BaselineSubject};
pub use judge::{Judgement, LatencyVerdict, can_pass, fewest_to_pass, judge, judge_fixed};
pub use samples::LatencySamples;
pub use watch::{BaselineWatch, WatchedSide, judged_reading, nearest_recording};
