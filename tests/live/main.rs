//! The live world against real things: databases, name servers, web servers and commands on loopback.

// Helpers outside test functions fail tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod as_of;
#[cfg(all(feature = "aws", feature = "lab"))]
mod cloudwatch;
mod command;
mod diagnostics;
mod dns;
mod few_files;
#[path = "../support/flip.rs"]
mod flip;
mod http;
mod names;
mod pg;
mod pg_connections;
mod pgbouncer;
mod quoting;
mod replication;
mod replication_faults;
mod replication_fields;
mod replication_gaps;
mod replication_moved;
mod replication_states;
#[cfg(all(feature = "aws", feature = "lab"))]
mod route53;
mod secrets;
mod sql;
mod sql_ends;
mod support;
mod tcp;
mod tls;
