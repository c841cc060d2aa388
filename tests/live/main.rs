//! The live world against real things: databases, name servers, web servers and commands on loopback.

mod command;
mod http;
mod pg;
mod sql;
mod support;
