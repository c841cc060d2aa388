//! The real program as a user meets it: on pipes, in a terminal, and as a replay.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may fail loudly

mod plain;
mod replay;
mod terminal;
