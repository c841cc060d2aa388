//! The lab, and the bundled cutover driven through it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may fail loudly

#[cfg(feature = "aws")]
mod cloudwatch;
mod cutover;
#[cfg(feature = "aws")]
mod dns_tool;
#[cfg(feature = "aws")]
mod example;
mod outside;
#[cfg(feature = "aws")]
mod route53;
