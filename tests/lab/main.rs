//! The lab, and the bundled cutover driven through it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may fail loudly

mod cutover;
mod outside;
#[cfg(feature = "aws")]
mod route53;
