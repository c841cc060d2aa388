//! gonogo: a terminal cockpit for migration day.

pub mod core;
pub mod runbook;
pub mod world;
