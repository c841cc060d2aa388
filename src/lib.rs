//! gonogo: a terminal cockpit for migration day.

pub mod cli;
pub mod clock;
pub mod cockpit;
pub mod contain;
pub mod core;
pub mod driver;
pub mod explain;
pub mod history;
pub mod journal;
#[cfg(feature = "lab")]
pub mod lab;
pub mod pace;
pub mod plain;
pub mod rehearsal;
pub mod replay;
pub mod run_view;
pub mod runbook;
pub mod sample_log;
pub mod scenario;
pub mod screen;
pub mod session;
pub mod term;
pub mod text;
pub mod ui;
pub mod words;
pub mod world;
