//! The live world against real things: databases, name servers, web servers and commands on loopback.

mod command;
mod dns;
mod http;
mod pg;
mod replication;
mod sql;
mod support;
