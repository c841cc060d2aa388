//! The pane of the `dns` probe.

use super::{Picture, int, word};
use crate::core::kind::DnsProbe;
use crate::core::value::Value;
use crate::screen::{Role, Text};
use crate::text::clean;

impl Picture for DnsProbe {
    fn lines(&self, value: &Value) -> Vec<Text> {
        let name = format!("{} {}", clean(&self.name), self.record_type.as_str());
        dns_lines(&name, value)
    }
}

/// Role and short word of an answer.
fn answer(state: &str) -> (Role, &str) {
    match state {
        "new" => (Role::Go, "new"),
        "old" => (Role::Active, "old"),
        "stale" => (Role::NoGo, "STALE"),
        "timeout" => (Role::Unknown, "timeout"),
        other => (Role::NoGo, other),
    }
}

fn dns_lines(name: &str, value: &Value) -> Vec<Text> {
    let servers = value.at("authoritative").and_then(Value::list).unwrap_or_default();
    let resolvers = value.at("resolvers").and_then(Value::list).unwrap_or_default();
    let ttl = int(value, "ttl").map_or_else(|| "?".to_owned(), |ttl| format!("{ttl} s"));
    let (new, old, unclear) = (int(value, "new"), int(value, "old"), int(value, "unclear"));
    let shown = |count: Option<i64>| count.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let mut second = Text::plain("authoritative ");
    for server in servers {
        let state = word(server, "state");
        let (role, text) = answer(&state);
        second = second.and(role, text.to_owned()).and(Role::Plain, " ");
    }
    let mut lines = vec![
        Text::new(Role::Strong, format!("{name}  "))
            .and(Role::Active, format!("old {}", shown(old)))
            .and(Role::Plain, " · ")
            .and(Role::Go, format!("new {}", shown(new)))
            .and(Role::Plain, " · ")
            .and(if unclear.unwrap_or(0) > 0 { Role::Unknown } else { Role::Dim }, format!("? {}", shown(unclear))),
        second.and(Role::Dim, format!("ttl {ttl}")),
    ];
    // As narrow as they may be: an address without its last digits is another address.
    let widest = |path: &str| resolvers.iter().map(|resolver| crate::text::width(&word(resolver, path))).max();
    let (names, states) = (widest("name").unwrap_or(0), widest("state").unwrap_or(0));
    for resolver in resolvers {
        let state = word(resolver, "state");
        let (role, text) = answer(&state);
        let left = int(resolver, "ttl").map_or_else(String::new, |ttl| format!(" {}:{:02}", ttl / 60, ttl % 60));
        lines.push(
            Text::plain(format!("{:<names$} ", word(resolver, "name")))
                .and(role, format!("{text:<states$}"))
                .and(Role::Dim, left)
                .and(Role::Dim, format!(" {}", word(resolver, "values"))),
        );
    }
    lines
}
