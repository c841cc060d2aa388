//! The record of a run: what is stored, what survives a crash, and what shows that it was changed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may fail loudly

mod crash;
mod packs;
mod record;
mod support;
mod verify;
mod writer;
