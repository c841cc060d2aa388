//! gonogo: a terminal cockpit for migration day.

pub mod clock;
pub mod core;
pub mod world;
