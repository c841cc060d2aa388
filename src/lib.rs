//! gonogo: a terminal cockpit for migration day.

pub mod term;
pub mod text;
