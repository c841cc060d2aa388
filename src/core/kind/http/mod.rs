//! The `http` probe, which compares latencies, and the `http` action, which sends one request.

pub mod action;
pub mod expect;
mod fields;
mod headers;
pub mod probe;
pub mod request;

pub use action::HttpAction;
pub use expect::HttpExpect;
pub use headers::{HEADER_NAMES, HEADER_VALUES, NO_HEADER, NO_HEADER_VALUE, is_header_value};
pub use probe::HttpProbe;
pub use request::{Method, ProfileRequest};
