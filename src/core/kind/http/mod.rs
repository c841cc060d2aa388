//! The `http` probe, which compares latencies, and the `http` action, which sends one request.

pub mod action;
pub mod expect;
mod fields;
pub mod probe;
pub mod request;

pub use action::HttpAction;
pub use expect::HttpExpect;
pub use probe::HttpProbe;
pub use request::{Method, ProfileRequest};
