//! Rehearsals: the simulated world, its scenarios, the debrief and what a forecast learns from them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may fail loudly

mod automatic;
mod cloudwatch;
mod customers;
mod debrief;
mod documentation;
#[path = "../support/facts.rs"]
mod facts;
#[path = "../support/flip.rs"]
mod flip;
mod forecast;
mod latency;
mod readings;
mod replication;
mod resolvers;
mod route53;
mod scenarios;
mod simulated;
mod way_back;
