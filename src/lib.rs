//! gonogo: a terminal cockpit for migration day.

pub mod core;
pub mod journal;
pub mod world;
