//! The pane of the `dns` probe.

use super::{Picture, int, number, word};
use crate::core::kind::DnsProbe;
use crate::core::value::Value;
use crate::screen::{Role, Text};
use crate::text::clean;

impl Picture for DnsProbe {
    fn lines(&self, value: &Value) -> Vec<Text> {
        let name = format!("{} {}", clean(&self.name), self.record_type.as_str());
        let mut lines = head(&name, value);
        lines.extend(resolver_lines(value));
        lines
    }

    fn zoomed(&self, value: &Value) -> Vec<Text> {
        let name = format!("{} {}", clean(&self.name), self.record_type.as_str());
        let mut lines = head(&name, value);
        lines.extend(server_lines(value));
        lines.extend(bars(value));
        lines
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

fn list<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    value.at(path).and_then(Value::list).unwrap_or_default()
}

/// The resolvers, worst first: what needs the operator, then those that have not moved yet, the longest TTL first.
fn resolvers(value: &Value) -> Vec<&Value> {
    let mut resolvers: Vec<&Value> = list(value, "resolvers").iter().collect();
    resolvers.sort_by_key(|resolver| place(resolver));
    resolvers
}

/// The counts, and what the authoritative servers say.
fn head(name: &str, value: &Value) -> Vec<Text> {
    let servers = list(value, "authoritative");
    let ttl = int(value, "ttl").map_or_else(|| "?".to_owned(), |ttl| format!("{ttl} s"));
    // Counted here, since the reading's own counts are unknown while one resolver is unclear.
    let states: Vec<String> = list(value, "resolvers").iter().map(|resolver| word(resolver, "state")).collect();
    let count = |wanted: &[&str]| states.iter().filter(|state| wanted.contains(&state.as_str())).count();
    let (old, new) = (count(&["old", "mixed", "stale"]), count(&["new"]));
    let unclear = states.len() - old - new;
    let mut second = Text::plain("authoritative ");
    for server in servers {
        let state = word(server, "state");
        let (role, text) = answer(&state);
        second = second.and(role, text.to_owned()).and(Role::Plain, " ");
    }
    let shares: Vec<f64> = servers.iter().filter_map(|server| number(server, "share")).collect();
    let mut first = Text::new(Role::Strong, format!("{name}  "));
    if !shares.is_empty() {
        // Where only a share is to be new, resolvers that have it are not counted.
        let shares: Vec<String> = shares.iter().map(|share| format!("{:.0} %", share * 100.0)).collect();
        first = first.and(Role::Plain, format!("new in {} of the answers", shares.join(", ")));
        return vec![first, second.and(Role::Dim, format!("ttl {ttl}"))];
    }
    first = first
        .and(Role::Active, format!("old {old}"))
        .and(Role::Plain, " · ")
        .and(Role::Go, format!("new {new}"))
        .and(Role::Plain, " · ")
        .and(if unclear > 0 { Role::Unknown } else { Role::Dim }, format!("? {unclear}"));
    if let Some(eta) = int(value, "eta").filter(|eta| *eta > 0) {
        first = first.and(Role::Dim, format!(" · all new in {}", clock(eta)));
    }
    vec![first, second.and(Role::Dim, format!("ttl {ttl}"))]
}

/// The widest of these words, in columns.
fn widest(of: &[&Value], path: &str) -> usize {
    of.iter().map(|one| crate::text::width(&word(one, path))).max().unwrap_or(0)
}

fn resolver_lines(value: &Value) -> Vec<Text> {
    let resolvers = resolvers(value);
    // Columns as narrow as possible, but never cut: an address without its last digits is another address.
    let (names, states) = (widest(&resolvers, "name"), widest(&resolvers, "state"));
    let line = |resolver: &&Value| {
        let state = word(resolver, "state");
        let (role, text) = answer(&state);
        let left = int(resolver, "ttl").map_or_else(String::new, |ttl| format!(" {}", clock(ttl)));
        Text::plain(format!("{:<names$} ", word(resolver, "name")))
            .and(role, format!("{text:<states$}"))
            .and(Role::Dim, left)
            .and(Role::Dim, format!(" {}", word(resolver, "values")))
            .and(Role::Unknown, note(resolver))
    };
    resolvers.iter().map(line).collect()
}

/// Every authoritative server in a line of its own.
fn server_lines(value: &Value) -> Vec<Text> {
    let servers: Vec<&Value> = list(value, "authoritative").iter().collect();
    let (names, states) = (widest(&servers, "server"), widest(&servers, "state"));
    let line = |server: &&Value| {
        let state = word(server, "state");
        let (role, text) = answer(&state);
        let ttl = int(server, "ttl").map_or_else(String::new, |ttl| format!(" ttl {ttl} s"));
        Text::plain(format!("{:<names$} ", word(server, "server")))
            .and(role, format!("{text:<states$}"))
            .and(Role::Dim, ttl)
            .and(Role::Dim, format!(" {} {}", word(server, "values"), word(server, "aaaa")).trim_end().to_owned())
            .and(Role::Unknown, note(server))
    };
    servers.iter().map(line).collect()
}

/// Columns of a bar.
const BAR: usize = 12;

/// Every resolver with a bar of the time that it keeps its answer, when it is expected to be new, and how often it has
/// changed.
fn bars(value: &Value) -> Vec<Text> {
    let resolvers = resolvers(value);
    let (names, states) = (widest(&resolvers, "name"), widest(&resolvers, "state"));
    let longest = resolvers.iter().filter_map(|one| int(one, "ttl")).max().unwrap_or(0).max(1);
    let line = |resolver: &&Value| {
        let state = word(resolver, "state");
        let (role, text) = answer(&state);
        let ttl = int(resolver, "ttl");
        let filled = ttl.map_or(0, |ttl| {
            let (ttl, longest) = (usize::try_from(ttl).unwrap_or(0), usize::try_from(longest).unwrap_or(1));
            ttl * BAR / longest
        });
        let bar = if ttl.is_some() { "=".repeat(filled) } else { "?".to_owned() };
        let eta = match int(resolver, "eta") {
            Some(0) => String::new(),
            Some(eta) => format!(" new in {}", clock(eta)),
            None => " no ETA".to_owned(),
        };
        let flips = match (int(resolver, "flips"), int(resolver, "flipped")) {
            (Some(flips), Some(ago)) if flips > 0 => format!(" changed {flips}x, {} ago", clock(ago)),
            _ => String::new(),
        };
        Text::plain(format!("{:<names$} ", word(resolver, "name")))
            .and(role, format!("{text:<states$}"))
            .and(Role::Dim, format!(" [{bar:<BAR$}] {:>6}", ttl.map_or_else(|| "?".to_owned(), clock)))
            .and(Role::Plain, eta)
            .and(Role::Dim, flips)
            .and(Role::Dim, format!(" {}", word(resolver, "values")))
            .and(Role::Unknown, note(resolver))
    };
    resolvers.iter().map(line).collect()
}

/// What else a server said, when there is something.
fn note(server: &Value) -> String {
    let note = word(server, "note");
    if note.is_empty() { note } else { format!(" {note}") }
}
