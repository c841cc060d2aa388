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
        "old" | "mixed" => (Role::Active, state),
        "stale" => (Role::NoGo, "STALE"),
        "timeout" | "waiting" => (Role::Unknown, state),
        other => (Role::NoGo, other),
    }
}

/// The order of resolvers: first what needs the operator, then what takes longest.
fn place(resolver: &Value) -> (u8, i64) {
    let state = word(resolver, "state");
    let rank = match state.as_str() {
        "new" => 4,
        "old" | "mixed" => 2,
        "timeout" | "waiting" => 3,
        "stale" => 0,
        _ => 1,
    };
    (rank, int(resolver, "ttl").map_or(0, i64::wrapping_neg))
}

/// A number of seconds as minutes and seconds.
fn clock(seconds: i64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

fn dns_lines(name: &str, value: &Value) -> Vec<Text> {
    let list = |path| value.at(path).and_then(Value::list).unwrap_or_default();
    let servers = list("authoritative");
    let mut resolvers: Vec<&Value> = list("resolvers").iter().collect();
    resolvers.sort_by_key(|resolver| place(resolver));
    let ttl = int(value, "ttl").map_or_else(|| "?".to_owned(), |ttl| format!("{ttl} s"));
    // Counted here, since the reading's own counts are unknown while one resolver is unclear.
    let states: Vec<String> = resolvers.iter().map(|resolver| word(resolver, "state")).collect();
    let count = |wanted: &[&str]| states.iter().filter(|state| wanted.contains(&state.as_str())).count();
    let (old, new) = (count(&["old", "mixed", "stale"]), count(&["new"]));
    let unclear = states.len() - old - new;
    let mut second = Text::plain("authoritative ");
    for server in servers {
        let state = word(server, "state");
        let (role, text) = answer(&state);
        second = second.and(role, text.to_owned()).and(Role::Plain, " ");
    }
    let mut first = Text::new(Role::Strong, format!("{name}  "))
        .and(Role::Active, format!("old {old}"))
        .and(Role::Plain, " · ")
        .and(Role::Go, format!("new {new}"))
        .and(Role::Plain, " · ")
        .and(if unclear > 0 { Role::Unknown } else { Role::Dim }, format!("? {unclear}"));
    if let Some(eta) = int(value, "eta").filter(|eta| *eta > 0) {
        first = first.and(Role::Dim, format!(" · all new in {}", clock(eta)));
    }
    let mut lines = vec![first, second.and(Role::Dim, format!("ttl {ttl}"))];
    // Columns as narrow as possible, but never cut: an address without its last digits is another address.
    let widest = |path: &str| resolvers.iter().map(|resolver| crate::text::width(&word(resolver, path))).max();
    let (names, states) = (widest("name").unwrap_or(0), widest("state").unwrap_or(0));
    for resolver in resolvers {
        let state = word(resolver, "state");
        let (role, text) = answer(&state);
        let left = int(resolver, "ttl").map_or_else(String::new, |ttl| format!(" {}", clock(ttl)));
        lines.push(
            Text::plain(format!("{:<names$} ", word(resolver, "name")))
                .and(role, format!("{text:<states$}"))
                .and(Role::Dim, left)
                .and(Role::Dim, format!(" {}", word(resolver, "values")))
                .and(Role::Unknown, note(resolver)),
        );
    }
    lines
}

/// What else a server said, when there is something.
fn note(server: &Value) -> String {
    let note = word(server, "note");
    if note.is_empty() { note } else { format!(" {note}") }
}
