//! The screen: golden pictures of it, and what every key does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may fail loudly

#[path = "../support/facts.rs"]
mod facts;
mod golden;
mod keys;
