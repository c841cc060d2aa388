//! Small facts about the outside that a runbook can get wrong: addresses, names, connection strings.

use std::net::{IpAddr, SocketAddr};

/// Longest step id: it is part of file names.
const LONGEST_ID: usize = 64;

/// Whether `id` can name a step: `[a-z0-9][a-z0-9-]{0,63}`, safe in file names and easy to type.
pub(super) fn is_step_id(id: &str) -> bool {
    id.len() <= LONGEST_ID
        && id.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Words that CEL keeps for itself (its language definition, "Syntax").
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// Whether `name` can be used as a word in expressions and templates.
pub(super) fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !RESERVED.contains(&name)
}

/// Whether `text` is `address` or `address:port`.
pub(super) fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok()
}

/// Whether `text` is `host:port`.
pub(super) fn is_host_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Whether `name` is `zone` itself or below it.
pub(super) fn is_in_zone(name: &str, zone: &str) -> bool {
    let plain = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
    let (name, zone) = (plain(name), plain(zone));
    name == zone || zone.is_empty() || name.strip_suffix(&zone).is_some_and(|rest| rest.ends_with('.'))
}
