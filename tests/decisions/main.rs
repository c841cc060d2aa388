//! What decisions mean, one example each: pure, without a world.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at what it did not expect"
)]

mod bench;
mod half_done;
mod tries;
