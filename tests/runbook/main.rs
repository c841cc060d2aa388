//! Runbooks and scenarios as files: what is read, and what is refused with which words.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may fail loudly

mod cloudwatch;
mod kinds;
#[path = "../support/monsters.rs"]
mod monsters;
mod runbook_files;
mod scenario_files;
mod substance;
