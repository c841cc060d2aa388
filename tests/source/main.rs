//! Rules for the source text itself: what is pure, who may use whom, no circles, one name for one thing.
//!
//! `clippy.toml` forbids methods as well, which only the compiler can tell apart. It holds for `src/core` and
//! `src/world/sim`, which turn those lints on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may fail loudly

mod circles;
mod dependencies;
mod keys;
mod kinds;
mod layers;
mod mutations;
mod names;
mod purity;
mod reader;
mod systems;
