//! The pane of the `postgres.replication` probe.

use super::{Picture, int, number, word};
use crate::core::kind::ReplicationProbe;
use crate::core::kind::replication::{ReplicationState, heartbeat};
use crate::core::value::Value;
use crate::screen::{Role, Text};
use crate::words;

impl Picture for ReplicationProbe {
    fn lines(&self, value: &Value) -> Vec<Text> {
        replication(value)
    }
}

/// Seconds by which the heartbeat and the walsender may differ before it is said.
const DISAGREE: f64 = 2.0;

fn names(value: &Value) -> Vec<&str> {
    match value {
        Value::List(names) => names.iter().filter_map(Value::text).collect(),
        _ => Vec::new(),
    }
}

fn replication(value: &Value) -> Vec<Text> {
    let state = word(value, "state");
    let known = ReplicationState::from_word(&state);
    if known == Some(ReplicationState::Absent) {
        return vec![Text::new(Role::Unknown, state).and(Role::Plain, "  there is no subscription")];
    }
    let idle = known == Some(ReplicationState::Disabled);
    let stalls = word(value, "heartbeat") == heartbeat::STANDS;
    let role = match known {
        Some(ReplicationState::Streaming) if stalls => Role::Unknown,
        Some(ReplicationState::Streaming) => Role::Go,
        Some(ReplicationState::Copying | ReplicationState::Disabled) => Role::Unknown,
        _ => Role::NoGo,
    };
    let seconds = number(value, "seconds");
    let behind = seconds.map_or_else(|| "unknown".to_owned(), words::seconds);
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
    if stalls {
        lines.push(Text::new(Role::NoGo, heartbeat::STANDS));
    }
    // Where nothing is to flow, no beat is missed.
    if seconds.is_none() && !idle {
        lines.push(Text::new(Role::Unknown, format!("no heartbeat: {}", word(value, "heartbeat"))));
    } else if let (Some(beat), Some(walsender)) = (seconds, number(value, "replay_lag_s"))
        && (beat - walsender).abs() > DISAGREE.max(beat.min(walsender))
    {
        let walsender = words::seconds(walsender);
        lines.push(Text::new(Role::Unknown, format!("the walsender disagrees: behind {walsender}")));
    }
    let missing = value.at("tables_missing").map(names).unwrap_or_default();
    if !missing.is_empty() {
        lines.push(Text::new(Role::NoGo, format!("not replicated: {}", missing.join(", "))));
    }
    if let Some(errors) = int(value, "apply_errors").filter(|errors| *errors > 0) {
        lines.push(Text::new(Role::NoGo, words::count(usize::try_from(errors).unwrap_or(0), "apply error")));
    }
    lines
}
