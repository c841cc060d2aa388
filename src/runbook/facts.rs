//! What step ids and addresses in a runbook may look like.

use std::net::{IpAddr, SocketAddr};

/// Longest step id: it is part of file names.
const LONGEST_ID: usize = 64;

/// Whether `id` can name a step: `[a-z0-9][a-z0-9-]{0,63}`, safe in file names and easy to type.
pub(super) fn is_step_id(id: &str) -> bool {
    id.len() <= LONGEST_ID
        && id.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Whether `text` is `address` or `address:port`.
pub(super) fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok()
}
