//! The live panes: one per probe that is worth a pane, with an age beside every number.

use super::{Pane, Role, Text, ViewContext};
use crate::core::board::Freshness;
use crate::core::ids::ProbeId;
use crate::core::probe::{Probe, ProbeKind};
use crate::core::value::Value;
use crate::text::clean;
use crate::words;

/// Panes in the order of the design: replication, DNS, latency, then the rest.
pub(super) fn panes(context: &ViewContext) -> Vec<Pane> {
    let mut probes: Vec<(&ProbeId, &Probe)> = context.plan.probes.iter().collect();
    // One of each kind that is drawn comes first, so that a second database does not push DNS off the screen; of two
    // streams the one that flows.
    probes.sort_by_cached_key(|(id, _)| stands_still(context, id));
    let mut seen = [false; 4];
    probes.sort_by_cached_key(|(_, probe)| {
        let rank = rank(&probe.kind);
        let again = seen.get_mut(rank).is_some_and(|seen| std::mem::replace(seen, true));
        (again || rank == 3, rank)
    });
    probes.into_iter().map(|(id, probe)| pane(context, id, probe)).collect()
}

/// Whether replication stands still because nobody wants it to flow: before it begins, and once it was ended.
fn stands_still(context: &ViewContext, id: &ProbeId) -> bool {
    let good =
        context.board.latest(id).filter(|latest| latest.failure.is_none()).and_then(|latest| latest.good.as_ref());
    good.is_some_and(|(_, value)| matches!(value.at("state").and_then(Value::text), Some("absent" | "disabled")))
}

fn rank(kind: &ProbeKind) -> usize {
    match kind {
        ProbeKind::Replication(_) => 0,
        ProbeKind::Dns(_) => 1,
        ProbeKind::Http(_) => 2,
        ProbeKind::HttpJson(_) | ProbeKind::Sql(_) | ProbeKind::Command(_) | ProbeKind::Tcp(_) => 3,
    }
}

fn pane(context: &ViewContext, id: &ProbeId, probe: &Probe) -> Pane {
    let heading = probe.title.as_deref().map_or_else(|| id.to_string(), |title| clean(title).into_owned());
    let latest = context.board.latest(id);
    let fresh = context.board.freshness(context.plan, context.now, id);
    let mut lines = Vec::new();
    let mut summary = Text::default();
    let status = match latest {
        None => Text::new(Role::Unknown, "no reading yet"),
        Some(latest) => {
            if let Some((since, failure)) = &latest.failure {
                lines.push(Text::new(Role::NoGo, clean(&failure.what)));
                summary = lines.first().cloned().unwrap_or_default();
                let status = Text::new(Role::Unknown, format!("FAILING for {}", words::age(context.now.since(*since))));
                // The numbers below are older than the failure: they have an age of their own.
                match latest.good.as_ref().filter(|_| fresh != Freshness::Gone) {
                    Some((at, _)) => {
                        status.and(Role::Dim, format!(", read {} ago", words::age(context.now.since(*at))))
                    }
                    None => status,
                }
            } else {
                let age = latest.good.as_ref().map(|(at, _)| words::age(context.now.since(*at))).unwrap_or_default();
                match fresh {
                    Freshness::Fresh => Text::new(Role::Dim, age),
                    Freshness::Stale => Text::new(Role::Unknown, format!("STALE {age}")),
                    Freshness::Gone => Text::new(Role::Unknown, format!("NO DATA for {age}")),
                }
            }
        }
    };
    // After five intervals no number is shown at all.
    let value = latest.and_then(|latest| latest.good.as_ref()).map(|(_, value)| value);
    if let Some(value) = value.filter(|_| fresh != Freshness::Gone) {
        let mut numbers = body(probe, value);
        let failing = !lines.is_empty();
        if !failing {
            summary = in_one_line(probe, value, &numbers);
        }
        if failing || fresh == Freshness::Stale {
            let grey = |text: &mut Text| text.0.iter_mut().for_each(|piece| piece.role = Role::Dim);
            numbers.iter_mut().for_each(grey);
            if !failing {
                grey(&mut summary);
            }
        }
        lines.extend(numbers);
    }
    Pane { probe: id.clone(), title: heading, status, summary, lines, courses: courses(context, id, probe) }
}

/// The one line that says most: figures with their names.
fn in_one_line(probe: &Probe, value: &Value, lines: &[Text]) -> Text {
    match &probe.kind {
        ProbeKind::Http(http) => {
            let mut text = Text::new(Role::Dim, "p95");
            let mut errors = Text::new(Role::Dim, "  errors");
            for side in http.sides.keys() {
                let shown = number(value, &format!("{side}.p95")).map_or_else(|| "—".to_owned(), words::millis);
                text = text.and(Role::Dim, format!(" {} ", clean(side))).and(Role::Plain, format!("{shown} ms"));
                let share = number(value, &format!("{side}.errors"));
                let role = if share.is_some_and(|share| share > 0.0) { Role::NoGo } else { Role::Plain };
                let shown = share.map_or_else(|| "—".to_owned(), |share| format!("{:.1} %", share * 100.0));
                errors = errors.and(role, format!(" {shown}"));
            }
            text.0.extend(errors.0);
            text
        }
        ProbeKind::HttpJson(_) | ProbeKind::Sql(_) | ProbeKind::Command(_) | ProbeKind::Tcp(_) => {
            let shown = lines.iter().map(|line| line.to_plain().split_whitespace().collect::<Vec<_>>().join(" "));
            Text::plain(shown.collect::<Vec<_>>().join(" · "))
        }
        ProbeKind::Replication(_) | ProbeKind::Dns(_) => lines.first().cloned().unwrap_or_default(),
    }
}

fn courses(context: &ViewContext, id: &ProbeId, probe: &Probe) -> Vec<(String, Vec<Option<f64>>)> {
    let wanted: Vec<(String, String)> = match &probe.kind {
        ProbeKind::Replication(_) => vec![("seconds behind".to_owned(), "seconds".to_owned())],
        ProbeKind::Http(http) => http.sides.keys().map(|side| (side.clone(), format!("{side}.last"))).collect(),
        _ => Vec::new(),
    };
    wanted
        .into_iter()
        .filter_map(|(name, path)| {
            let series = context.history.series(id, &path)?;
            Some((name, series.points().map(|(_, value)| value).collect()))
        })
        .collect()
}

fn body(probe: &Probe, value: &Value) -> Vec<Text> {
    match &probe.kind {
        ProbeKind::Replication(_) => replication(value),
        ProbeKind::Dns(dns) => {
            let name = format!("{} {}", clean(&dns.name), dns.record_type.as_str());
            dns_lines(&name, value)
        }
        ProbeKind::Http(http) => latency(http.sides.keys().map(String::as_str), value),
        ProbeKind::HttpJson(_) | ProbeKind::Sql(_) | ProbeKind::Command(_) | ProbeKind::Tcp(_) => fields(value),
    }
}

fn number(value: &Value, path: &str) -> Option<f64> {
    value.at(path).and_then(Value::number)
}

fn int(value: &Value, path: &str) -> Option<i64> {
    value.at(path).and_then(Value::int)
}

fn word(value: &Value, path: &str) -> String {
    value.at(path).and_then(Value::text).map(|text| clean(text).into_owned()).unwrap_or_default()
}

fn replication(value: &Value) -> Vec<Text> {
    let state = word(value, "state");
    if state == "absent" {
        return vec![Text::new(Role::Unknown, state).and(Role::Plain, "  there is no subscription")];
    }
    let role = match state.as_str() {
        "streaming" => Role::Go,
        "copying" | "disabled" => Role::Unknown,
        _ => Role::NoGo,
    };
    let behind = number(value, "seconds").map_or_else(|| "unknown".to_owned(), words::seconds);
    let bytes = int(value, "bytes").map_or_else(|| "unknown".to_owned(), words::bytes);
    let kept = int(value, "retained_bytes").map_or_else(|| "?".to_owned(), words::bytes);
    let ready = int(value, "tables_ready").map_or_else(|| "?".to_owned(), |n| n.to_string());
    let tables = int(value, "tables").map_or_else(|| "?".to_owned(), |n| n.to_string());
    let oldest = number(value, "oldest_transaction_s").map_or_else(|| "unknown".to_owned(), words::seconds);
    let mut lines = vec![
        Text::new(role, state)
            .and(Role::Plain, "  behind ")
            .and(Role::Strong, behind)
            .and(Role::Plain, "  ")
            .and(Role::Strong, bytes),
        Text::plain(format!("slot keeps {kept}  {}", word(value, "wal_status"))),
        Text::plain(format!("tables {ready} of {tables} ready  oldest transaction {oldest}")),
    ];
    if let Some(errors) = int(value, "apply_errors").filter(|errors| *errors > 0) {
        lines.push(Text::new(Role::NoGo, words::count(usize::try_from(errors).unwrap_or(0), "apply error")));
    }
    lines
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

fn latency<'a>(sides: impl Iterator<Item = &'a str> + Clone, value: &Value) -> Vec<Text> {
    // As narrow as it may be: a table that is broken over lines is no table.
    let name = sides.clone().map(crate::text::width).max().unwrap_or(0).max(2);
    let mut lines = vec![Text::new(
        Role::Dim,
        format!("{:<name$}{:>6}{:>5}{:>5}{:>7}{:>4}", "ms", "p50", "p95", "p99", "errors", "n"),
    )];
    for side in sides {
        let Some(figures) = value.at(side) else { continue };
        let shown = |path: &str| number(figures, path).map_or_else(|| "—".to_owned(), words::millis);
        let errors = number(figures, "errors");
        let share = errors.map_or_else(|| "—".to_owned(), |share| format!("{:.1}%", share * 100.0));
        let samples = int(figures, "samples").unwrap_or(0);
        let role = if errors.is_some_and(|share| share > 0.0) { Role::NoGo } else { Role::Plain };
        let mut line = Text::new(Role::Strong, format!("{:<name$}", clean(side)))
            .and(Role::Plain, format!("{:>6}{:>5}{:>5}", shown("p50"), shown("p95"), shown("p99")))
            .and(role, format!("{share:>7}"))
            .and(Role::Dim, format!("{samples:>4}"));
        let failure = word(figures, "failure");
        if !failure.is_empty() {
            line = line.and(Role::NoGo, format!("  {failure}"));
        }
        lines.push(line);
    }
    lines
}

/// Fields as `name value`, several on a line as they fit.
fn fields(value: &Value) -> Vec<Text> {
    let Value::Map(map) = value else { return Vec::new() };
    map.iter()
        .map(|(name, value)| {
            let shown = match (name.as_str(), value) {
                (name, value) if name.ends_with("_ms") => {
                    value.number().map_or_else(|| value.to_string(), |ms| words::seconds(ms / 1_000.0))
                }
                (name, Value::Int(count)) if name.ends_with("bytes") => words::bytes(*count),
                (_, Value::Text(text)) => clean(text).into_owned(),
                (_, value) => value.to_string(),
            };
            Text::new(Role::Dim, format!("{:<18} ", clean(name))).and(Role::Plain, shown)
        })
        .collect()
}
