//! Decisions, and the engine that carries them out, without a real world.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may fail loudly

mod decisions;
mod fast_forward;
mod faults;
mod properties;
