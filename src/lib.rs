//! gonogo: a terminal cockpit for migration day.

pub mod lab;
